"""TensorFlow's start without what its C++ side says on a machine that has no GPU.

TF_CPP_MIN_LOG_LEVEL does not reach these lines: they are written while the library loads, before
its logging is set up. Whatever is not one of them is passed on.
"""

import logging
import os
import re
import sys
import tempfile

EXPECTED = re.compile(
    r"WARNING: All log messages before absl::InitializeLog"
    r"|I0000 .*(oneDNN custom operations are on|Could not find cuda drivers)"
    r"|E0000 .*failed call to cuInit"
)
# What TFDS says through absl of its own code, whenever a part of a set's features is decoded.
OF_TFDS = "`FeatureConnector.dtype` is deprecated"


def import_keras() -> None:
    """Import Keras and look for devices, keeping the expected lines from standard error."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no XLA and CPU feature notes later on
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            import keras

            if keras.backend.backend() == "tensorflow":
                import tensorflow as tf

                tf.config.list_physical_devices()
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if not EXPECTED.match(line):
                    print(line, file=sys.stderr)
    # Only now: a logger that is asked for before Keras imports absl is not one of absl's kind.
    logging.getLogger("absl").addFilter(_not_of_tfds)


def _not_of_tfds(record: logging.LogRecord) -> bool:
    return OF_TFDS not in record.getMessage()
