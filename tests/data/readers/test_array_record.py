"""Data sets of TFDS prepared as ArrayRecord: lazy, and the same images as TFDS itself reads."""

import logging
import sys

import numpy as np
import pytest

from vit_keras import SettingError
from vit_keras.config.schema import DataConfig
from vit_keras.data import registry
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.readers import array_record
from vit_keras.data.splits import load_splits

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("tensorflow")
pytest.importorskip("array_record")

NAMES = ["ash", "elm"]


def pixels(split, index, channels):
    shape = (8, 12, channels)
    return np.random.default_rng([index, len(split)]).integers(0, 256, shape).astype("uint8")


class Twigs(tfds.core.GeneratorBasedBuilder):
    """PNG images of one size, with a further feature between image and label."""

    VERSION = tfds.core.Version("1.0.0")
    channels = 3

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(8, 12, self.channels), encoding_format="png"),
            "a_place": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=NAMES),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
        return {name: self._generate_examples(name) for name in ("train", "test")}

    def _generate_examples(self, split):
        for index in range(20 if split == "train" else 6):
            image = pixels(split, index, self.channels)
            yield index, {"image": image, "label": index % 2, "a_place": "wood"}


class GreyTwigs(Twigs):
    VERSION = tfds.core.Version("1.0.0")
    channels = 1


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets")
    tfds.disable_progress_bar()
    before = logging.getLogger().handlers[:]
    for builder in (Twigs, GreyTwigs):
        builder(data_dir=str(root), file_format="array_record").download_and_prepare()
    logging.getLogger().handlers[:] = before
    return root


def config(root, name="twigs", **settings):
    return DataConfig(name=name, tfds_dir=str(root), **settings)


@pytest.fixture(params=["in place", "copied"])
def large(request, monkeypatch):
    """Images that are read from where they lie, and small ones, which are copied."""
    if request.param == "in place":
        monkeypatch.setattr(array_record, "SMALL", 0)


@pytest.mark.parametrize("name", ["twigs", "grey_twigs"])
def test_images_are_lazy_and_those_that_tfds_reads(root, name, large):
    source = registry.read_dataset(config(root, name))
    assert source.class_names == NAMES
    assert source.info == registry.dataset_info(config(root, name))
    assert source.image_counts == registry.image_counts(config(root, name))
    builder = tfds.builder_from_directory(str(root / name / "1.0.0"))
    for split, read in source.as_dict().items():
        assert isinstance(read.images, LazyImages)
        expected = list(builder.as_data_source(split))
        order = np.random.default_rng(0).permutation(len(expected))
        np.testing.assert_array_equal(
            read.images[order], np.stack([expected[index]["image"] for index in order])
        )
        np.testing.assert_array_equal(read.labels, [one["label"] for one in expected])
    np.testing.assert_array_equal(read.images[1], expected[1]["image"])


def test_a_run_has_the_same_data_from_memory_and_streamed(root, large):
    held, streamed = (load_splits(config(root, cache_mb=size), 0) for size in (100, 0))
    assert isinstance(held.train.images, np.ndarray)
    assert isinstance(streamed.train.images, LazyImages)
    for one, other in zip(held.as_dict().values(), streamed.as_dict().values(), strict=True):
        np.testing.assert_array_equal(one.images, other.images[:])
        np.testing.assert_array_equal(one.labels, other.labels)


def test_a_second_start_reads_no_image(root, large, monkeypatch):
    before = registry.read_dataset(config(root)).train
    monkeypatch.setattr(
        array_record.ArrayRecordImages, "examples", lambda *_: pytest.fail("it reads the images")
    )
    after = registry.read_dataset(config(root)).train
    assert after.images.fingerprint == before.images.fingerprint
    np.testing.assert_array_equal(after.labels, before.labels)


def test_a_missing_package_is_named(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "array_record.python.array_record_module", None)
    with pytest.raises(SettingError, match=r"needs array_record .*pip install 'vit-keras-lab\[rec"):
        registry.read_dataset(config(root))


def test_a_damaged_file_is_named(root, tmp_path):
    folder = tmp_path / "twigs" / "1.0.0"
    folder.mkdir(parents=True)
    for file in (root / "twigs" / "1.0.0").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    shard = next(folder.glob("twigs-train.array_record-*"))
    shard.write_bytes(shard.read_bytes()[:-1000])
    with pytest.raises(SettingError, match=f"{shard.name} is damaged"):
        registry.read_dataset(config(tmp_path))
