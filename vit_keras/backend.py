"""The Keras backend: silent start-up, devices and peak memory."""

import logging
import os
import platform
import re
import sys
import tempfile

# What TensorFlow's C++ code prints on a machine without a GPU. TF_CPP_MIN_LOG_LEVEL does not
# silence these lines: they are written while the library loads, before its logging is set up.
EXPECTED = re.compile(
    r"WARNING: All log messages before absl::InitializeLog"
    r"|I0000 .*(oneDNN custom operations are on|Could not find cuda drivers)"
    r"|E0000 .*failed call to cuInit"
)
# What TFDS logs about its own code whenever it decodes a part of the features of a data set.
TFDS_WARNING = "`FeatureConnector.dtype` is deprecated"


def import_keras() -> None:
    """Import Keras and find the devices, without the expected lines on standard error."""
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
    # After the import: a logger created before absl is imported would not be of absl's class.
    logging.getLogger("absl").addFilter(_is_not_tfds_warning)


def _is_not_tfds_warning(record: logging.LogRecord) -> bool:
    return TFDS_WARNING not in record.getMessage()


def devices() -> list[str]:
    """Names of the devices that the backend computes on."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return [detail.get("device_name", "GPU") for detail in details] or [_cpu()]
    import jax

    found = jax.devices()
    return [_cpu() if device.platform == "cpu" else device.device_kind for device in found]


def peak_memory_mb() -> dict[str, float]:
    """Peak memory of this process so far, in MB of 10^6 bytes: `host`, and a GPU's as `gpu`."""
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    peaks = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6}
    if (gpu := _gpu_peak()) is not None:
        peaks["gpu"] = gpu / 1e6
    return {name: round(peak, 1) for name, peak in peaks.items()}


def _gpu_peak() -> int | None:
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return None
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def _cpu() -> str:
    return f"CPU {platform.machine()}"
