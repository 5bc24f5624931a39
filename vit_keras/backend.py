"""TensorFlow's start without what its C++ side says on a machine that has no GPU.

TF_CPP_MIN_LOG_LEVEL does not reach these lines: they are written while the library loads, before
its logging is set up. Whatever is not one of them is passed on.
"""

import logging
import os
import platform
import re
import sys
import tempfile
from typing import NamedTuple

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


def devices() -> list[str]:
    """The devices that the backend computes on, GPUs by their name."""
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
    """The most memory that this process held so far, in MB of 10^6 bytes: `host`, and `gpu`."""
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


class Precision(NamedTuple):
    """A Keras dtype policy and why it was chosen."""

    policy: str
    reason: str


def precision(asked: str) -> Precision:
    """What `train.precision` means on this machine: `auto` is resolved, the rest taken as it is."""
    if asked != "auto":
        return Precision(asked, "as train.precision asks")
    capability = _compute_capability()
    if capability is None:
        return Precision("float32", "no GPU: half precision is emulated or slower on most CPUs")
    name = f"GPU of compute capability {capability[0]}.{capability[1]}"
    if capability >= (8, 0):
        return Precision("mixed_bfloat16", f"{name}: bfloat16 in hardware, no loss scaling needed")
    return Precision("mixed_float16", f"{name}: float16 in hardware, with loss scaling")


def _compute_capability() -> tuple[int, int] | None:
    """Of the first GPU that the backend sees; None without one."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
        return details.get("compute_capability", (0, 0)) if gpus else None
    import jax

    device = jax.devices()[0]
    if device.platform != "gpu":
        return None
    major, _, minor = str(getattr(device, "compute_capability", "0.0")).partition(".")
    return int(major), int(minor or 0)


def _cpu() -> str:
    return f"CPU {platform.machine()}"
