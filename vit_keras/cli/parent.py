"""A job ends with the process that started it, also where that is killed and cannot say so.

By prctl(2) on Linux, in the job itself: a function that `subprocess` runs between fork and exec
(`preexec_fn`) is unsafe beside the threads of TensorFlow, JAX or Ray.
"""

import ctypes
import os
import signal
import sys

VARIABLE = "VIT_KERAS_PARENT"
PR_SET_PDEATHSIG = 1  # linux/prctl.h


def environment() -> dict[str, str]:
    """That of a job of this process."""
    return {**os.environ, VARIABLE: str(os.getpid())}


def end_with_parent() -> None:
    """Get SIGTERM when the process that started this job ends, as when a scheduler takes it back.

    Raises:
        SystemExit: it has ended already.
    """
    parent = os.environ.pop(VARIABLE, None)  # it is not that of this job's own jobs
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(parent):
        sys.exit(128 + signal.SIGTERM)
