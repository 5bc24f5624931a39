"""The program `preprocess.py` that goes out beside a model, in parts, as a module of their own."""

from vit_keras.data.preprocess.load import load_image

__all__ = ["load_image"]
