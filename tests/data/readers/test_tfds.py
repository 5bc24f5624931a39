"""Data sets of TFDS: found, described and read from prepared files; invalid ones are refused."""

import io
import json
import logging
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vit_keras import SettingError, load_config
from vit_keras.config.schema import DataConfig
from vit_keras.data import dataset, decode, download, registry, resize
from vit_keras.data.readers import tfds_images, tfds_index
from vit_keras.data.readers.tfds_metadata import Features
from vit_keras.data.splits import load_splits, train_image_count

tfds = pytest.importorskip("tensorflow_datasets")
pytest.importorskip("tensorflow")

TREES = ["ash", "elm", "oak"]


def random_photo(split, index):
    """Each its own size; a smooth picture, so that two ways to resize it agree."""
    rows, columns = 20 + index % 3 * 4, 24
    y, x = np.mgrid[:rows, :columns]
    wave = 127 + 120 * np.sin(y / 7 + index) * np.cos(x / 9 + len(split))
    return np.repeat(wave[..., None], 3, axis=-1).round().astype("uint8")


class Leaves(tfds.core.GeneratorBasedBuilder):
    """Images of no one size, a third feature, and a validation split in the place of a test one."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=TREES),
            "place": tfds.features.Text(),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
        return {
            "train": self._generate_examples("train"),
            "validation": self._generate_examples("v"),
        }

    def _generate_examples(self, split):
        for index in range(12 if split == "train" else 6):
            yield index, {"image": random_photo(split, index), "label": index % 3, "place": "wood"}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Prepared once: TFDS needs some seconds for it."""
    root = tmp_path_factory.mktemp("sets")
    tfds.disable_progress_bar()
    before = logging.getLogger().handlers[:]
    Leaves(data_dir=str(root)).download_and_prepare()
    logging.getLogger().handlers[:] = before
    return root


@pytest.fixture
def copy(root, tmp_path):
    shutil.copytree(root, tmp_path / "sets")
    return tmp_path / "sets"


def leaves(root, name="leaves", **settings):
    return DataConfig(name=name, tfds_dir=str(root), **settings)


def test_a_set_is_described_by_its_files(root):
    assert tfds_index.features(leaves(root)) == Features("image", "label", None, 3, 3)
    assert registry.dataset_info(leaves(root, image_size=[8, 10])) == dataset.DatasetInfo(
        (8, 10), 3, 3
    )
    assert registry.class_names(leaves(root)) == TREES
    assert registry.image_counts(leaves(root)) == {"train": 12, "test": 6}


@pytest.mark.parametrize("name", ["leaves", "leaves:1.2.0"])
def test_images_of_many_sizes_are_cut_and_resized(name, root):
    splits = load_splits(leaves(root, name, image_size=[10, 12], validation_fraction=0.25), 0)
    assert splits.class_names == TREES
    assert [len(part.labels) for part in (splits.train, splits.validation)] == [9, 3]
    assert splits.test.images.shape == (6, 10, 12, 3)
    np.testing.assert_array_equal(np.sort(splits.test.labels), [0, 0, 1, 1, 2, 2])
    expected = [
        resize.resize_to_size(random_photo("v", index), (10, 12), "crop") for index in range(6)
    ]
    ours = {image.tobytes() for image in splits.test.images}
    assert ours == {image.tobytes() for image in expected}


def test_an_image_size_is_asked_for(root):
    with pytest.raises(SettingError, match=r"data\.image_size is not set.*data\.name=leaves"):
        load_config("data=tfds", "data.name=leaves", f"data.tfds_dir={root}", "model=cifar")


def test_the_configuration_of_any_set_is_checked(root):
    words = ("data=tfds", "data.name=leaves", f"data.tfds_dir={root}", "model=cifar")
    config = load_config(*words, "data.image_size=16", "train.batch_size=4")
    assert config.data.name == "leaves"
    with pytest.raises(SettingError, match=r"train.batch_size=12 is more than the 11 images"):
        load_config(*words, "data.image_size=16", "train.batch_size=12")


def test_a_set_without_a_split_to_test_on_has_a_fifth_held_out(copy):
    file = copy / "leaves" / "1.2.0" / "dataset_info.json"
    info = json.loads(file.read_text())
    info["splits"] = [split for split in info["splits"] if split["name"] == "train"]
    file.write_text(json.dumps(info))
    config = leaves(copy, image_size=8)
    counts = registry.image_counts(config)
    assert counts == {"train": 12}
    one, other = (load_splits(config, seed) for seed in (0, 1))
    assert train_image_count(config, counts) == len(one.train.labels)
    assert len(one.test.labels) == 2
    np.testing.assert_array_equal(one.test.images, other.test.images)


def test_the_newest_version_is_read_unless_one_is_named(copy):
    home = copy / "leaves"
    for version in ("1.10.0", "incomplete.JH5KNX_9.0.0"):
        shutil.copytree(home / "1.2.0", home / version)
    assert tfds_index.prepared(leaves(copy)).name == "1.10.0"
    assert tfds_index.prepared(leaves(copy, "leaves:1.2.0")).name == "1.2.0"
    with pytest.raises(SettingError, match=r"has leaves:1\.2\.0, leaves:1\.10\.0; name one"):
        registry.dataset_info(leaves(copy, "leaves:2.0.0"))


def test_configurations_are_named(copy):
    """As TFDS lays them out; the default is the one that it wrote down."""
    home = copy / "leaves"
    for config in ("green", "red"):
        shutil.copytree(home / "1.2.0", home / config / "1.2.0")
    shutil.rmtree(home / "1.2.0")
    assert tfds_index.prepared(leaves(copy, "leaves/red:1.2.0")) == home / "red" / "1.2.0"
    with pytest.raises(SettingError, match=r"configurations green, red .*data\.name=leaves/green"):
        registry.dataset_info(leaves(copy))
    (home / ".config").mkdir()
    (home / ".config" / "metadata.json").write_text('{"default_config_name": "red"}')
    assert tfds_index.prepared(leaves(copy)) == home / "red" / "1.2.0"
    assert list(download.prepared(str(copy))) == ["leaves/green:1.2.0", "leaves/red:1.2.0"]


def changed(file, old, new):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "phrase"),
    [
        ("image_feature.Image", "video_feature.Video", r"has image \(Video\), label"),
        ('"label":', '"labels":', "no image classification"),
        ("uint8", "float32", "images of float32, and only uint8"),
        ("{", "[", "features.json is damaged; delete its folder"),
    ],
)
def test_a_set_that_cannot_be_trained_on_is_refused_with_what_it_has(old, new, phrase, copy):
    changed(copy / "leaves" / "1.2.0" / "features.json", old, new)
    with pytest.raises(SettingError, match=phrase):
        registry.dataset_info(leaves(copy, image_size=8))


def test_a_set_without_a_training_split_is_refused(copy):
    changed(copy / "leaves" / "1.2.0" / "dataset_info.json", '"train"', '"extra"')
    with pytest.raises(SettingError, match="has the splits extra, validation and no train"):
        registry.dataset_info(leaves(copy, image_size=8))


@pytest.mark.parametrize(
    ("name", "phrase"),
    [
        ("fashion_mnits", "is unknown; did you mean fashion_mnist"),
        ("fashion_mnist", "is not prepared under data.tfds_dir="),
        ("xxxxxxxxxx", "is unknown; known: cifar10, cifar100, digits, mnist, folder, npz"),
    ],
)
def test_a_set_that_is_not_here_is_refused_with_what_may_be_meant(name, phrase, root):
    with pytest.raises(SettingError) as caught:
        registry.dataset_info(leaves(root, name))
    assert phrase in str(caught.value)


def test_a_set_to_download_is_described_by_tfds(root):
    config = leaves(root, "fashion_mnist", download=True)
    assert registry.dataset_info(config) == dataset.DatasetInfo((28, 28), 1, 10)
    assert registry.image_counts(config) is None


def test_pinned_and_newest_tfds_version_have_the_same_fingerprint(tfds_dir):
    plain, pinned = (DataConfig(name=n, tfds_dir=tfds_dir) for n in ("cifar100", "cifar100:3.0.2"))
    assert load_splits(plain, 0).fingerprint == load_splits(pinned, 0).fingerprint


class Photos(tfds.core.GeneratorBasedBuilder):
    """JPEGs as a camera writes them: turned by EXIF, one of them damaged."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(encoding_format="jpeg"),
            "label": tfds.features.ClassLabel(names=TREES),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for index in range(9):
            yield index, {"image": turned_photo(index), "label": index % 3}


def turned_photo(index):
    image = Image.fromarray(random_photo("photo", index))
    image.getexif()[0x0112] = 1 + index % 8
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95, exif=image.getexif())
    content = file.getvalue()
    return content if index != 8 else content[: len(content) // 2] + content[-2:]


def test_photos_of_a_set_are_decoded_as_those_of_a_folder(tmp_path):
    """TensorFlow ignores the orientation: 100% as a folder, 25% as a TFDS set."""
    tfds.disable_progress_bar()
    before = logging.getLogger().handlers[:]
    Photos(data_dir=str(tmp_path)).download_and_prepare()
    logging.getLogger().handlers[:] = before
    size = (20, 22)
    config = leaves(tmp_path, "photos", image_size=list(size), resize_mode="stretch")
    splits = load_splits(config, 0)
    (finding,) = splits.findings
    assert (finding.problem, finding.class_name) == ("skipped", "oak")
    assert finding.file.startswith("train[")
    expected = [decode.decode_bytes(turned_photo(index), size, "stretch") for index in range(8)]
    ours = {image.tobytes() for image in splits.all.images}
    assert ours == {image.tobytes() for image in expected}


@pytest.mark.parametrize("name", ["cifar100", "mnist"])
def test_pixels_of_well_known_sets_are_those_of_tensorflow(name, tfds_dir):
    config = DataConfig(name=name, tfds_dir=tfds_dir)
    builder = tfds.builder_from_directory(str(tfds_index.prepared(config)))
    features = tfds_index.features(config)
    ours, theirs = (
        tfds_images.read_split(builder, "test[:300]", features, features.size, one)[0]
        for one in (config, replace(config, decoder_version=1))
    )
    np.testing.assert_array_equal(ours.images, theirs.images)
    np.testing.assert_array_equal(ours.labels, theirs.labels)
