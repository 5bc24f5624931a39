"""Change the number of channels of a pretrained ViT's first layer: RGB -> grey -> C, grey -> RGB.

Letters: P patch side, C channels, D width. The first layer is linear, so all are exact: the patch
projection of a grey image repeated in three channels is that of the summed kernel, and that of a
grey image repeated in C channels is that of the kernel divided by C.
"""

from dataclasses import replace

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.pretrained.infer_architecture import InferredModel
from vit_keras.pretrained.weight_files import WeightFile
from vit_keras.pretrained.weight_format import PATCH, PATCH_BIAS

BT_601 = (0.299, 0.587, 0.114)  # grey = 0.299 R + 0.587 G + 0.114 B, as images are read


def rgb_kernel(grey: np.ndarray, axis: int) -> np.ndarray:
    """A patch kernel of grey images -> that of RGB images: `axis` from 1 to 3 channels."""
    shape = [1] * grey.ndim
    shape[axis] = 3
    return np.ascontiguousarray(grey * np.asarray(BT_601, "float32").reshape(shape))


def with_channels(
    weight_file: WeightFile, inferred: InferredModel, channels: int | None
) -> tuple[WeightFile, InferredModel]:
    """The weights and the architecture for images of `channels`; None for the file's.

    Raises:
        SettingError: the file has other channels than RGB, and than these.
    """
    if channels in (None, inferred.channels):
        return weight_file, inferred
    if inferred.channels != 3:
        raise SettingError(
            f"channels={channels} cannot be made of handle={weight_file.path}, which takes "
            f"{inferred.channels}; use {inferred.channels}"
        )
    if inferred.arch.stem != "patch":
        raise SettingError(
            f"channels={channels} cannot be made of handle={weight_file.path}, whose stem is "
            f"{inferred.arch.stem} and no linear map of patches; use 3"
        )
    return _summed(weight_file, inferred, channels or 1)


def _summed(
    weight_file: WeightFile, inferred: InferredModel, channels: int
) -> tuple[WeightFile, InferredModel]:
    """RGB weights summed, and shared out to C channels: the logits of a grey image in all are kept.

    With x the grey value, m and s the mean and deviation of a channel, and M and S those of grey:
    k (x - m) / s = k S / s · (x - M) / S + k (M - m) / s.
    Each of the C channels gets the sum of the kernels k S / s, divided by C.
    """
    arch, mappings = inferred.arch, inferred.weight_format.mappings
    (kernel_name,), (bias_name,) = mappings[PATCH].names, mappings[PATCH_BIAS].names
    layout = mappings[PATCH].layout
    flat = layout.to_ours(weight_file.weights[kernel_name])  # (PPC, D)
    kernel = flat.astype("float64").reshape(-1, 3, flat.shape[-1])  # (PP, C, D)
    mean, std = (np.broadcast_to(v, 3).astype("float64") for v in (arch.pixel_mean, arch.pixel_std))
    grey_mean, grey_std = float(mean.mean().round(12)), float(std.mean().round(12))
    kernel /= std[:, None]
    shift = np.tensordot(grey_mean - mean, kernel.sum(axis=0), 1)  # (D,)
    grey = grey_std * kernel.sum(axis=1)  # (PP, D)
    shared = np.repeat(grey[:, None], channels, axis=1) / channels  # (PP, C, D)
    ours = shared.reshape(-1, grey.shape[-1]).astype("float32")
    weights = {**weight_file.weights, kernel_name: layout.to_theirs(ours, arch)}
    if bias_name not in weights and inferred.weight_format.lacks(bias_name):
        weights[bias_name] = np.zeros_like(shift)
    if (
        bias_name in weights and weights[bias_name].shape == shift.shape
    ):  # else it is reported when it is loaded
        weights[bias_name] = (weights[bias_name] + shift).astype("float32")
    return replace(weight_file, weights=weights), replace(
        inferred, channels=channels, arch=replace(arch, pixel_mean=grey_mean, pixel_std=grey_std)
    )
