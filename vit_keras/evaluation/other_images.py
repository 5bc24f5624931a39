"""Images of none of a run's classes, that its OOD score is measured against. Imports no Keras.

They become the model's input as those of a prediction do: grey for a model of grey images, say.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vit_keras.config import compose
from vit_keras.data import decode, registry
from vit_keras.data.dataset import Split
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.errors import SettingError, did_you_mean
from vit_keras.io import parallel
from vit_keras.logs import log
from vit_keras.predict import inputs
from vit_keras.predict.inputs import Item
from vit_keras.runs.saved_run import SavedRun
from vit_keras.text import counted

MAX_IMAGES = 10_000  # evenly spaced among those there are


@dataclass(frozen=True)
class OtherImages:
    """Where other images come from.

    Attributes:
        word: a file, a folder or a glob, or the name of a data set.
        files: paths of image files; empty for a data set.
    """

    word: str
    files: Sequence[str] = ()

    def read(self, saved: SavedRun) -> Split:
        """(m, X, Y, C) uint8 at the model's size; the labels say nothing.

        Raises:
            SettingError: none can be read, or they cannot have the channels of the model.
        """
        shape, options = saved.model.input_shape[1:], PixelOptions.of(saved.config.data)

        def pixels(item: Item) -> np.ndarray | None:
            try:
                return inputs.to_pixels(item, shape, saved.config.data.resize_mode, options)
            except (OSError, decode.UnreadableError):
                return None

        decoded = parallel.map_in_threads(pixels, self._items(saved), None, "other data")
        images = [one for one in decoded if one is not None]
        if not images:
            raise SettingError(f"ood={self.word}: none of its images can be read; name others")
        return Split(np.stack(images), np.zeros(len(images), np.int32))

    def _items(self, saved: SavedRun) -> list[Item]:
        if self.files:
            return [Item(file, file) for file in _evenly_spaced(self.files)]
        log.info("reading %s", self.word)
        source = registry.read_dataset(_data_config(saved, self.word))
        images: Any = (source.test or source.train).images
        chosen = images[np.array(_evenly_spaced(range(len(images))))]
        return list(inputs.iter_items(chosen, PixelOptions.of(saved.config.data)))


def find_other_images(saved: SavedRun, word: str | None) -> OtherImages | None:
    """Find the images of `--ood`; None without.

    Raises:
        SettingError: there are none, or they are the run's own data.
    """
    if word is None:
        return None
    data = saved.config.data
    if word in registry.WELL_KNOWN:
        if word == data.name:
            raise SettingError(
                f"ood={word} is the data of run={saved.path}; name data of other classes"
            )
        registry.image_counts(_data_config(saved, word))
        return OtherImages(word)
    if not os.path.lexists(os.path.expanduser(word)) and not any(one in word for one in "*?["):
        hint = did_you_mean(word, registry.WELL_KNOWN)
        raise SettingError(f"ood={word} is no folder of images and no data set{hint}")
    files = inputs.find_image_files([word])
    if data.path and data.name in registry.OF_FILES:
        own = os.path.realpath(os.path.expanduser(data.path))
        inside = [file for file in files if os.path.realpath(file).startswith(own + os.sep)]
        if inside:
            raise SettingError(
                f"ood={word} has {counted(len(inside), 'image[s]')} of the data of "
                f"run={saved.path}; name images of other classes"
            )
    return OtherImages(word, files)


def _data_config(saved: SavedRun, name: str) -> Any:
    return compose.with_data(saved.config, [f"data={name}"]).data


def _evenly_spaced(items: Sequence[Any]) -> list[Any]:
    chosen = np.unique(np.linspace(0, len(items) - 1, MAX_IMAGES).astype(int))
    return [items[index] for index in chosen]
