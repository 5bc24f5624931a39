"""Peak memory of the process and of its GPU."""

import sys
import threading
from pathlib import Path

from vit_keras.backend import has_tensorflow_gpu

PROC = Path("/proc/self")
INTERVAL = 0.1  # seconds between two samples of the memory


def reset() -> None:
    """Measure the peak memory from now on, and not from the start of the process."""
    _reset_host_peak()
    if has_tensorflow_gpu():
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")


def in_mb() -> dict[str, float]:
    """Peak memory since `reset`, in MB of 10^6 bytes: `host`, and a GPU's as `gpu`.

    That of a GPU under JAX is since the start of the process.
    """
    peaks = {"host": _host_peak() / 1e6}
    if (gpu := _gpu_peak()) is not None:
        peaks["gpu"] = gpu / 1e6
    return {name: round(peak, 1) for name, peak in peaks.items()}


def _gpu_peak() -> int | None:
    import keras

    if has_tensorflow_gpu():
        import tensorflow as tf

        return tf.config.experimental.get_memory_info("GPU:0")["peak"]
    if keras.backend.backend() == "tensorflow":
        return None
    import jax

    return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


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
