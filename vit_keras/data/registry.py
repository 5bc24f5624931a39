"""Data sources by `data.name`: a new source is a module in `readers/` and a line in `READERS`.

Checks before training read no image and do not import TensorFlow.
"""

from typing import Protocol

from vit_keras.config.schema import DataConfig
from vit_keras.data.dataset import DatasetInfo, SourceData
from vit_keras.data.readers import digits, folder, huggingface, npz, table, tfds, tfds_index
from vit_keras.errors import SettingError


class Reader(Protocol):
    """The functions that the module of a data source has."""

    def read(self, config: DataConfig) -> SourceData:
        """The images, labels and class names; images of files are not decoded yet."""

    def info(self, config: DataConfig) -> DatasetInfo:
        """The size of the images and the number of classes, without reading an image."""

    def class_names(self, config: DataConfig) -> list[str] | None:
        """The class names, without reading an image; None if they are not known yet."""

    def image_counts(self, config: DataConfig) -> dict[str, int] | None:
        """The number of images of each split (train, validation, test) that the source has.

        Checks that the files are there. None for a data set that is still to be downloaded.
        """


READERS: dict[str, Reader] = {
    "digits": digits,
    "folder": folder,
    "csv": table,
    "huggingface": huggingface,
    "npz": npz,
}
OF_FILES = ("folder", "csv")  # whose images are files
LAZY = (*OF_FILES, "huggingface")  # whose images are decoded when they are used
OF_PATH = (*LAZY, "npz")  # that are read from data.path
OF_SEVERAL_LABELS = (*OF_FILES, "npz")  # whose images can have several labels
OTHER_NAMES: Reader = tfds  # every other name is a data set of TensorFlow Datasets
IN_MEMORY = "arrays"  # the name of data that a Python program passes to `train_model`
WELL_KNOWN = {"digits": digits.INFO, **tfds.WELL_KNOWN}


def read_dataset(config: DataConfig) -> SourceData:
    """Read the data set `config.name`.

    Raises:
        SettingError: the data set is absent, cannot be downloaded, or is damaged.
    """
    return _reader(config).read(config)


def dataset_info(config: DataConfig) -> DatasetInfo:
    """The size of the images and the number of classes, without reading an image.

    Raises:
        SettingError: the data set is absent, or its description is incomplete.
    """
    return _reader(config).info(config)


def class_names(config: DataConfig) -> list[str] | None:
    """The names of all classes, without reading an image; None if they are not known yet."""
    return _reader(config).class_names(config)


def image_counts(config: DataConfig) -> dict[str, int] | None:
    """The number of images of each split of the source; None if it is still to be downloaded.

    Raises:
        SettingError: a data set is absent or has lost files.
    """
    return _reader(config).image_counts(config)


def is_lazy(config: DataConfig) -> bool:
    """Whether images are decoded when they are used, where they do not fit into `data.cache_mb`."""
    is_of_tfds = config.name not in (*READERS, IN_MEMORY)
    return config.name in LAZY or (is_of_tfds and tfds_index.is_array_record(config))


def _reader(config: DataConfig) -> Reader:
    if config.name == IN_MEMORY:
        raise SettingError(
            f"data.name={IN_MEMORY} is data that a Python program passes to vit_keras.train_model("
            "config, data=...); pass the same data there, or save arrays by np.savez and use "
            "data=npz"
        )
    return READERS.get(config.name, OTHER_NAMES)
