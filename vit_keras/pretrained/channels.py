"""Change the number of channels of a pretrained ViT's first layer: RGB -> grey, grey -> RGB.

Letters: P patch side, C channels, D width. The first layer is linear, so both are exact: the patch
projection of a grey image repeated in three channels is that of the summed kernel.
"""

from dataclasses import replace

import numpy as np

from vit_keras.errors import SettingError
from vit_keras.pretrained.infer_architecture import InferredModel
from vit_keras.pretrained.name_maps import PATCH, PATCH_BIAS
from vit_keras.pretrained.weight_files import WeightFile

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
        SettingError: the file has other channels, and they cannot be summed to one.
    """
    if channels in (None, inferred.channels):
        return weight_file, inferred
    if channels != 1 or inferred.channels != 3:
        possible = "1 or 3" if inferred.channels == 3 else f"{inferred.channels}"
        raise SettingError(
            f"channels={channels} cannot be made of handle={weight_file.path}, which takes "
            f"{inferred.channels}; use {possible}"
        )
    if inferred.arch.stem != "patch":
        raise SettingError(
            f"channels=1 cannot be made of handle={weight_file.path}, whose stem is "
            f"{inferred.arch.stem} and no linear map of patches; use 3"
        )
    return _summed(weight_file, inferred)


def _summed(weight_file: WeightFile, inferred: InferredModel) -> tuple[WeightFile, InferredModel]:
    """RGB weights summed to one channel: the same logits as for a grey image as R = G = B.

    With x the grey value, m and s the mean and deviation of a channel, and M and S those of grey:
    k (x - m) / s = k S / s · (x - M) / S + k (M - m) / s.
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
    grey = (grey_std * kernel.sum(axis=1)).astype("float32")
    weights = {**weight_file.weights, kernel_name: layout.to_theirs(grey, arch)}
    if (
        bias_name in weights and weights[bias_name].shape == shift.shape
    ):  # else it is reported when it is loaded
        weights[bias_name] = (weights[bias_name] + shift).astype("float32")
    return replace(weight_file, weights=weights), replace(
        inferred, channels=1, arch=replace(arch, pixel_mean=grey_mean, pixel_std=grey_std)
    )
