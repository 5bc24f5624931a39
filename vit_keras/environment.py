"""What a run ran on: `environment.json`, and the memory that it took."""

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras

from vit_keras.optim import Precision

PACKAGES = ("vit-keras-lab", "keras", "tensorflow", "jax", "numpy", "tensorflow-datasets")


def describe(precision: Precision, data_fingerprint: str) -> dict[str, Any]:
    """Versions, device, git commit and data fingerprint, as `environment.json` holds them."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions(),
        "backend": keras.backend.backend(),
        "devices": devices(),
        "precision": precision.policy,
        "precision_reason": precision.reason,
        "git_commit": _git_commit(),
        "data_fingerprint": data_fingerprint,
        "command": sys.argv,
    }


def versions() -> dict[str, str]:
    """Of the packages that a figure depends on, those that are installed."""
    return {name: version for name in PACKAGES if (version := _version(name))}


def devices() -> list[str]:
    """The devices that the backend computes on, GPUs by their name."""
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
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"]
        return None
    import jax

    return (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use")


def _cpu() -> str:
    return f"CPU {platform.machine()}"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of this code, `-dirty` behind it with changes; None outside a checkout."""
    describe_command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(
            describe_command,
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
