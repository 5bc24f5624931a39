"""The queue of trainings, and the processes that run it."""
