"""About how long a training takes on this computer, in a moment and without training anything.

The floating-point operations of the model, by the rate of a matrix product in NumPy; `vit-keras
estimate` measures real steps instead. Imports no Keras.

    T tokens of width D, L blocks with an MLP of width M
"""

import functools
import os
import time
from pathlib import Path

import numpy as np

from vit_keras.config import stages
from vit_keras.config.schema import Config
from vit_keras.data import splits
from vit_keras.model.architecture import VARIANTS, Architecture, architecture, grid
from vit_keras.runs.saved_run import open_run
from vit_keras.text import counted
from vit_keras.training import preflight

# By the times that the recipes digits, folder, mnist and finetune_digits state, on two Zen 4 cores
# of 208 GFLOP/s: 0.8 to 1.1 times those.
EFFICIENCY = 0.8  # of the rate of a matrix product
STEP_SECONDS = 0.006  # of a step, whatever its size
EPOCH_SECONDS = 0.35  # of its end: validation, curves, files
START_SECONDS = 15.0  # to import Keras, read the images and build the model
STAGE_SECONDS = 8.0  # to compile its first step
# A long training tries mixed_bfloat16, where a processor computes in it (`train.precision=auto`).
LONG, BFLOAT16 = 600.0, 1.6  # seconds from which on, and how much faster
BFLOAT16_FLAGS = ("avx512_bf16", "amx_bf16")
BACKWARD = 2  # passes as long as the forward one
SIDE = 1024  # of the matrices that are multiplied
GPU = "/dev/nvidiactl"  # there, the rate of NumPy tells nothing


def rough_seconds(config: Config, train_images: int) -> float | None:
    """Of the whole training; None on a computer with a GPU, or of a model that is not known.

    Args:
        config: of the training.
        train_images: number of images to train on.
    """
    flops = forward_flops(config)
    if flops is None or os.path.exists(GPU):
        return None
    batch = min(int(config.train.batch_size), train_images)
    steps = train_images // batch
    step = STEP_SECONDS + batch * flops * (1 + BACKWARD) / (EFFICIENCY * matmul_rate())
    seconds = START_SECONDS
    for stage in stages.plan(config):
        seconds += STAGE_SECONDS + stage.epochs * (steps * step + EPOCH_SECONDS)
    is_faster = seconds > LONG and config.train.precision == "auto" and _has_bfloat16()
    return seconds / BFLOAT16 if is_faster else seconds


@functools.cache
def _has_bfloat16() -> bool:
    try:
        return any(flag in Path("/proc/cpuinfo").read_text() for flag in BFLOAT16_FLAGS)
    except OSError:  # of another system
        return False


def forward_flops(config: Config) -> float | None:
    """Floating-point operations of an image; None if it is not known before a download."""
    arch = _architecture(config)
    if arch is None:
        return None
    rows, columns = grid(splits.image_size(config.data), arch.patch_size)
    tokens, width = rows * columns, arch.width
    kernels = 3 if arch.mlp == "swiglu" else 2
    block = 2 * tokens * (4 * width**2 + kernels * width * arch.mlp_dim) + 4 * tokens**2 * width
    return arch.depth * block + _stem_flops(arch, tokens)


def _stem_flops(arch: Architecture, tokens: int) -> float:
    """Of three channels: one linear map, or two convolutions of 64 and D channels."""
    if arch.stem == "patch":
        return 2 * tokens * arch.patch_size**2 * 3 * arch.width
    return 2 * tokens * 9 * (16 * 3 * 64 + 4 * 64 * arch.width)


def _architecture(config: Config) -> Architecture | None:
    handle = config.pretrained.handle
    if handle is None:
        return preflight.architecture(config.model)
    if (Path(str(handle)) / "best.keras").is_file():
        return preflight.architecture(open_run(Path(str(handle))).config.model)
    variant = next((name for name in VARIANTS if name in str(handle).replace("-", "")), None)
    return architecture(variant) if variant else None


@functools.cache  # of a computer
def matmul_rate() -> float:
    """Floating-point operations a second of a float32 matrix product in NumPy."""
    matrix = np.ones((SIDE, SIDE), np.float32)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        matrix @ matrix
        seconds.append(time.perf_counter() - started)
    return 2 * SIDE**3 / min(seconds)


def in_words(seconds: float) -> str:
    """150 -> `about 3 minutes`."""
    if seconds < 45:
        return "less than a minute"
    minutes = max(1, round(seconds / 60))
    if minutes < 90:
        rounded = minutes if minutes < 10 else round(minutes / 5) * 5
        return f"about {counted(rounded, 'minute[s]')}"
    return f"about {counted(round(minutes / 60), 'hour[s]')}"
