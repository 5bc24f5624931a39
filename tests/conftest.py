"""What the tests share: quiet backends, and the data sets that may lie on this machine."""

import os
import signal
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session")
def tfds_dir():
    """Prepared TensorFlow Datasets; TFDS_DATA_DIR says where."""
    root = os.environ.get("TFDS_DATA_DIR")
    if not root or not Path(root).is_dir():
        pytest.skip("needs data sets: set TFDS_DATA_DIR to a folder with cifar10, cifar100, mnist")
    return root


@pytest.fixture
def ctrl_c():
    """What Ctrl-C does in a terminal; a test run in the background may have it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
