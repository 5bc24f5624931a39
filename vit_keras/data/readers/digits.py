"""scikit-learn's digits: 1,797 grey images of 8x8 pixels, without a test split and a download."""

import numpy as np

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import DatasetInfo, SourceData, Split

INFO = DatasetInfo((8, 8), 1, 10)
IMAGES = 1797


def read(config: DataConfig) -> SourceData:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    train = Split(images, digits.target.astype(np.int32))
    return SourceData(train, None, None, class_names(config))


def info(config: DataConfig) -> DatasetInfo:
    return INFO


def class_names(config: DataConfig) -> list[str]:
    return [str(digit) for digit in range(10)]


def image_counts(config: DataConfig) -> dict[str, int]:
    return {"train": IMAGES}
