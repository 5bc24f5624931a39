"""The environment of a run, for `environment.json`: versions, devices, git commit."""

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras

from vit_keras.backend import devices
from vit_keras.data.dataset import Splits
from vit_keras.training.precision import Precision

PACKAGES = ("vit-keras-lab", "keras", "tensorflow", "jax", "numpy", "tensorflow-datasets")


def describe(precision: Precision, splits: Splits) -> dict[str, Any]:
    """Versions, device, git commit and what the data are, as `environment.json` holds them."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": versions(),
        "backend": keras.backend.backend(),
        "devices": devices(),
        "precision": precision.policy,
        "precision_reason": precision.reason,
        "git_commit": _git_commit(),
        "data_fingerprint": splits.fingerprint,
        "images": splits.image_counts,
        "command": sys.argv,
    }


def versions() -> dict[str, str]:
    """Versions of the installed packages that results depend on."""
    return {name: version for name in PACKAGES if (version := _version(name))}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of this code, with `-dirty` if there are changes; None outside a checkout."""
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
