"""How long a test waits for what has to happen: a slow or busy machine is not a failure."""

import time
import urllib.error
import urllib.request

PATIENCE = 300  # seconds


def until(condition):
    """The first true value of `condition()`."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, f"it did not come to pass within {PATIENCE} s"
        time.sleep(0.02)
    return found


def answers(url):
    """Whether a server is there that calls itself ready."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE):
            return True
    except (urllib.error.URLError, ConnectionError):
        return False
