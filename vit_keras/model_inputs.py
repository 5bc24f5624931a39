"""Images of any size as a model takes them."""

import keras
import numpy as np
from keras import ops

from vit_keras.training_model import as_input


def fitted(images: np.ndarray, model: keras.Model) -> np.ndarray:
    """(B, x, y, c) uint8 -> (B, X, Y, C) uint8: resized as in training, grey repeated."""
    pixels = as_input(ops.convert_to_tensor(images, "float32"), model.input_shape[1:])
    return ops.convert_to_numpy(pixels).round().clip(0, 255).astype("uint8")
