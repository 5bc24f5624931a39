"""The Keras backend: silent start-up, devices and peak memory."""

import hashlib
import logging
import os
import platform
import re
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from vit_keras.cache import cache_folder

# What TensorFlow's C++ code prints on a machine without a GPU. TF_CPP_MIN_LOG_LEVEL does not
# silence these lines: they are written while the library loads, before its logging is set up.
EXPECTED = re.compile(
    r"WARNING: All log messages before absl::InitializeLog"
    r"|I0000 .*(oneDNN custom operations are on|Could not find cuda drivers)"
    r"|E0000 .*failed call to cuInit"
)
PROC = Path("/proc/self")
JAX_CACHE_BYTES = 2**30  # the steps that were used last
INTERVAL = 0.1  # seconds between two samples of the memory
# What TFDS logs about its own code whenever it decodes a part of the features of a data set.
TFDS_WARNING = "`FeatureConnector.dtype` is deprecated"


_importing = threading.Lock()
_is_imported = False


def import_keras() -> None:
    """Import Keras and find the devices, without the expected lines on standard error.

    Once; a second thread waits until it is done.
    """
    global _is_imported
    with _importing:
        if not _is_imported:
            _import_keras()
            _is_imported = True


def _import_keras() -> None:
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
            elif keras.backend.backend() == "jax":
                _keep_compiled_steps()
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


def _keep_compiled_steps() -> None:
    """Let JAX keep the steps that it compiles, unless it was told itself whether and where.

    They are computed by the same code as at first, so that results stay equal bit for bit.
    """
    import jax

    config: Any = jax.config  # whose attributes no type checker knows
    if config.jax_compilation_cache_dir or not config.jax_enable_compilation_cache:
        return
    try:
        folder = cache_folder() / "jax" / _processor()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # a home that is read-only, or none
        return
    config.update("jax_compilation_cache_dir", str(folder))
    config.update("jax_compilation_cache_max_size", JAX_CACHE_BYTES)


def _processor() -> str:
    """A name for this kind of CPU: code that was compiled for another one may not run on it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = ("model name", "flags", "Features")  # the last is that of ARM
    first = {line.partition("\t")[0]: line for line in lines if line.startswith(names)}
    text = f"{platform.machine()} {platform.processor()} {sorted(first.values())}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def has_gpu_device() -> bool:
    """Whether this process sees a GPU of NVIDIA or AMD; known without a backend's import."""
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    found = [*Path("/dev").glob("nvidia[0-9]*"), *Path("/dev").glob("kfd")]
    return bool(found) and not is_hidden


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


def replicas() -> int:
    """Copies of a model that share each batch: of `keras.distribution`, or of `tf.distribute`."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.get_strategy().num_replicas_in_sync
    distribution = keras.distribution.distribution()
    return distribution.num_model_replicas if distribution else 1


def reset_peak_memory() -> None:
    """Measure the peak memory from now on, and not from the start of the process."""
    _reset_host_peak()
    if has_tensorflow_gpu():
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")


def peak_memory_mb() -> dict[str, float]:
    """Peak memory since `reset_peak_memory`, in MB of 10^6 bytes: `host`, and a GPU's as `gpu`.

    That of a GPU under JAX is since the start of the process.
    """
    peaks = {"host": _host_peak() / 1e6}
    if (gpu := _gpu_peak()) is not None:
        peaks["gpu"] = gpu / 1e6
    return {name: round(peak, 1) for name, peak in peaks.items()}


def has_gpu() -> bool:
    """Whether the backend computes on a GPU."""
    import keras

    if keras.backend.backend() == "tensorflow":
        return has_tensorflow_gpu()
    import jax

    return jax.devices()[0].platform == "gpu"


def has_tensorflow_gpu() -> bool:
    """Whether the backend is TensorFlow, and has a GPU."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _gpu_peak() -> int | None:
    import keras

    if has_tensorflow_gpu():
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    if keras.backend.backend() == "tensorflow":
        return None
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def _cpu() -> str:
    return f"CPU {platform.machine()}"


# `getrusage` gives the peak of the whole life of the process, or of the one that started it if that
# is more: Linux keeps it over `exec`. /proc has that of this program alone, and can begin again.


class _Sampler:
    """Samples the resident memory in a thread, where Linux does not keep its peak."""

    def __init__(self) -> None:
        self.highest = _resident()
        self.stopped = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.stopped.wait(INTERVAL):
            self.highest = max(self.highest, _resident())


_sampler: _Sampler | None = None


def _reset_host_peak() -> None:
    """Begin again with the resident memory of now."""
    global _sampler
    if _sampler is not None:
        _sampler.stopped.set()
    _sampler = None if _reset_by_kernel() else _Sampler()


def _host_peak() -> int:
    """Highest resident memory since the reset, or since the start of the process, in bytes."""
    if _sampler is not None:
        return max(_sampler.highest, _resident())
    return _status("VmHWM") or _lifetime_peak()


def _reset_by_kernel() -> bool:
    """Let Linux count again; False on another system, or where a container forbids it."""
    if _status("VmHWM") is None:
        return False
    try:
        (PROC / "clear_refs").write_text("5")  # `man proc_pid_clear_refs`
    except OSError:
        return False
    return True


def _resident() -> int:
    """Resident memory now; without /proc and psutil, the highest so far."""
    if (found := _status("VmRSS")) is not None:
        return found
    try:
        import psutil
    except ImportError:
        return _lifetime_peak()
    return psutil.Process().memory_info().rss


def _status(name: str) -> int | None:
    """The value of a line of /proc/self/status, such as `VmHWM:  1968 kB`."""
    try:
        lines = (PROC / "status").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) * 1024 if found else None


def _lifetime_peak() -> int:
    import resource

    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
