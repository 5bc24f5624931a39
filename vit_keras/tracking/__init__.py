"""Runs in MLflow: what a run directory holds is sent there, while it is written and afterwards.

    store      the address of MLflow's store, and a client of it
    state      `tracking.json` of a run directory: what was sent, and what was not
    sync       sends what a run directory has and MLflow does not
    sender     the process that does so while a run trains
    follow     starts that process, and tells it of each epoch

The run directory is the queue: `history.csv` and the other files are written first, whether MLflow
can be reached or not, and `tracking.json` notes how much of them has arrived. MLflow is imported by
`sync` alone, in a process without Keras: its import takes seconds, its requests as long as the
network does, and it draws from Python's random numbers, which an exact resume restores.
"""
