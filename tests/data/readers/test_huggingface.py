"""Parquet files of encoded images: read lazily, row by row, as files of a folder are."""

import io
import json
import os
import sys

import numpy as np
import pytest
from PIL import Image

from helpers.image_files import SIZE, pixels, write
from vit_keras import SettingError
from vit_keras.config.schema import DataConfig
from vit_keras.data import duplicates, registry
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.readers import parquet_columns, parquet_files, record_copy
from vit_keras.data.splits import load_splits, train_image_count

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
pytestmark = pytest.mark.jax

NAMES = ["ant", "bee"]
# As the schema of ylecun/mnist on the hub has it.
FEATURES = {
    "image": {"_type": "Image"},
    "label": {"names": NAMES, "_type": "ClassLabel"},
}


def png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "png")
    return file.getvalue()


def write_rows(path, contents, labels, features=FEATURES, columns=("image", "label"), **options):
    """A Parquet file as Hugging Face's `datasets` writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [
        None if one is None else {"bytes": one, "path": f"{i}.png"}
        for i, one in enumerate(contents)
    ]
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    table = pyarrow.table({columns[0]: pyarrow.array(images, kind), columns[1]: labels})
    if features:
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    parquet.write_table(table, path, **options)
    return path


def config(path, **settings):
    return DataConfig(name="huggingface", path=str(path), image_size=list(SIZE), **settings)


@pytest.fixture(scope="module")
def arrays():
    return {
        "train": [pixels([1, i]) for i in range(24)],
        "test": [pixels([2, i]) for i in range(6)],
    }


@pytest.fixture
def hub(tmp_path, arrays):
    """A folder as the hub lays it out, of two shards to train on and one to test on."""
    root = tmp_path / "set"
    train = [png(array) for array in arrays["train"]]
    labels = [i % 2 for i in range(24)]
    for shard in range(2):
        part = slice(12 * shard, 12 * shard + 12)
        name = f"train-{shard:05d}-of-00002.parquet"
        write_rows(root / "data" / name, train[part], labels[part], row_group_size=5)
    test = [png(array) for array in arrays["test"]]
    write_rows(root / "data" / "test-00000-of-00001.parquet", test, [0, 1] * 3)
    return root


def test_rows_are_read_in_any_order_as_they_were_written(hub, arrays):
    source = registry.read_dataset(config(hub))
    assert source.class_names == NAMES
    assert source.image_counts == {"train": 24, "test": 6} == registry.image_counts(config(hub))
    for name, split in source.as_dict().items():
        assert isinstance(split.images, LazyImages)
        order = np.random.default_rng(0).permutation(len(split.labels))
        np.testing.assert_array_equal(split.images[order], np.stack(arrays[name])[order])
        np.testing.assert_array_equal(split.labels, np.arange(len(split.labels)) % 2)
    assert source.train.images.files[13].path == "data/train-00001-of-00002.parquet#1"


def test_a_run_has_the_same_data_from_memory_and_streamed(hub):
    held, streamed = (load_splits(config(hub, cache_mb=size), 0) for size in (100, 0))
    for one, other in zip(held.as_dict().values(), streamed.as_dict().values(), strict=True):
        assert isinstance(one.images, np.ndarray)
        assert isinstance(other.images, LazyImages)
        np.testing.assert_array_equal(one.images, other.images[:])
        np.testing.assert_array_equal(one.labels, other.labels)
    counts = registry.image_counts(config(hub))
    assert train_image_count(config(hub), counts) == len(held.train.labels)


def test_the_same_images_in_a_folder_have_the_same_fingerprint(tmp_path):
    for label in NAMES:
        write(tmp_path / "photos" / label, 6)
    files = [tmp_path / "photos" / label / f"{i}.png" for label in NAMES for i in range(6)]
    rows = [file.read_bytes() for file in files]
    path = write_rows(tmp_path / "all.parquet", rows, [0] * 6 + [1] * 6)
    folder = DataConfig(name="folder", path=str(tmp_path / "photos"), image_size=list(SIZE))
    splits = [load_splits(one, 3) for one in (folder, config(path))]
    assert splits[0].fingerprint == splits[1].fingerprint


def test_a_second_start_reads_no_image(hub, monkeypatch):
    before = registry.read_dataset(config(hub)).train.images
    monkeypatch.setattr(parquet_columns, "examples", lambda *_: pytest.fail("it reads the images"))
    after = registry.read_dataset(config(hub)).train.images
    assert after.fingerprint == before.fingerprint
    np.testing.assert_array_equal(after[5], before[5])


def test_a_changed_file_is_read_again_and_its_old_copy_removed(hub, scans, arrays):
    registry.read_dataset(config(hub))
    path = hub / "data" / "test-00000-of-00001.parquet"
    other = [pixels([3, i]) for i in range(4)]
    write_rows(path, [png(array) for array in other], [1, 0, 1, 0])
    os.utime(path, ns=(0, 10**9))
    test = registry.read_dataset(config(hub)).test
    np.testing.assert_array_equal(test.images[:], np.stack(other))
    np.testing.assert_array_equal(test.labels, [1, 0, 1, 0])
    assert len(list((scans / "records").iterdir())) == 3


def test_a_lost_copy_is_made_again_and_a_lost_image_named(hub, scans):
    images = registry.read_dataset(config(hub)).train.images
    for file in (scans / "records").iterdir():
        file.write_bytes(b"")
    with pytest.raises(SettingError, match=r"train-00000-of-00002\.parquet#3 could be read when"):
        images[3]
    again = registry.read_dataset(config(hub)).train.images
    assert again[3].shape == (*SIZE, 3)


def test_damaged_rows_are_skipped_and_named(tmp_path, arrays):
    good = png(arrays["train"][0])
    rows = [good, good[:60], b"no image", None, b"", png(arrays["train"][1]), good]
    path = write_rows(tmp_path / "train.parquet", rows, [0, 1, 0, 1, 0, 1, None])
    source = registry.read_dataset(config(path))
    assert len(source.train.labels) == 2
    found = {finding.file: finding for finding in source.findings}
    assert {one: found[f"train.parquet#{one}"].problem for one in range(1, 5)} == dict.fromkeys(
        range(1, 5), "skipped"
    )
    assert found["train.parquet#3"].detail == "no bytes of an image"
    assert found["train.parquet#6"].problem == "no_label"
    np.testing.assert_array_equal(source.train.images[1], arrays["train"][1])
    with pytest.raises(SettingError, match=r"data\.on_bad_file=skip"):
        registry.read_dataset(config(path, on_bad_file="fail"))


def test_labels_may_be_text_or_numbers_without_names(tmp_path, arrays):
    rows = [png(array) for array in arrays["train"][:4]]
    text = write_rows(tmp_path / "text.parquet", rows, ["b", "a", "b", "a"], features=None)
    source = registry.read_dataset(config(text))
    assert (source.class_names, source.train.labels.tolist()) == (["a", "b"], [1, 0, 1, 0])
    numbers = write_rows(tmp_path / "numbers.parquet", rows, [10, 9, 9, 10], features=None)
    source = registry.read_dataset(config(numbers))
    assert (source.class_names, source.train.labels.tolist()) == (["9", "10"], [1, 0, 0, 1])


def test_images_may_be_plain_binary(tmp_path, arrays):
    rows = [png(array) for array in arrays["train"][:4]]
    table = pyarrow.table({"photo": pyarrow.array(rows, pyarrow.binary()), "class": [0, 1, 0, 1]})
    parquet.write_table(table, tmp_path / "x.parquet")
    images = registry.read_dataset(config(tmp_path)).train.images
    np.testing.assert_array_equal(images[:], np.stack(arrays["train"][:4]))


def test_a_test_split_without_labels_is_left_out(hub):
    path = hub / "data" / "test-00000-of-00001.parquet"
    write_rows(path, [png(pixels(1))] * 3, [-1] * 3)
    assert registry.image_counts(config(hub)) == {"train": 24}
    assert registry.read_dataset(config(hub)).test is None


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (["default/train/0000.parquet", "default/test/0000.parquet"], ["train", "test"]),
        (["set-train.parquet", "set-valid.parquet"], ["train", "validation"]),
        (["a.parquet", "b.parquet"], ["", ""]),
    ],
)
def test_splits_are_those_of_files_or_folders(names, splits, tmp_path):
    for name in names:
        write_rows(tmp_path / name, [png(pixels(1))], [0])
    assert [file.split for file in parquet_files.find(config(tmp_path))] == splits


REFUSED = {
    "two sets": (["a/train-0.parquet", "b/train-0.parquet"], "data sets of their own"),
    "mixed": (["train.parquet", "more.parquet"], "more.parquet is named after no split"),
    "test alone": (["test.parquet", "val.parquet"], "and none of train"),
    "nothing": ([], "has no .parquet file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unclear_files_are_refused(case, tmp_path):
    names, message = REFUSED[case]
    for name in names:
        write_rows(tmp_path / name, [png(pixels(1))], [0])
    with pytest.raises(SettingError, match=message):
        registry.image_counts(config(tmp_path))


def test_columns_that_are_not_clear_are_asked_for(tmp_path):
    fine = {**FEATURES, "fine": FEATURES["label"]}
    path = write_rows(tmp_path / "x.parquet", [png(pixels(1))] * 2, [0, 1], fine)
    table = parquet.read_table(path)
    parquet.write_table(table.append_column("fine", pyarrow.array([1, 0])), path)
    with pytest.raises(SettingError, match=r"columns label, fine; name one by data\.label_column"):
        registry.dataset_info(config(path))
    labels = registry.read_dataset(config(path, label_column="fine")).train.labels
    np.testing.assert_array_equal(labels, [1, 0])
    with pytest.raises(SettingError, match=r"data\.image_column=x is none of"):
        registry.dataset_info(config(path, image_column="x", label_column="fine"))


def test_other_files_are_refused_by_name(tmp_path, monkeypatch):
    table = tmp_path / "paths.parquet"
    parquet.write_table(pyarrow.table({"image": ["a.png"], "label": ["a"]}), table)
    with pytest.raises(SettingError, match="for paths of image files use data=csv"):
        registry.dataset_info(config(table))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    with pytest.raises(SettingError, match="is a damaged Parquet file"):
        registry.dataset_info(config(broken))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SettingError, match=r"pip install 'vit-keras-lab\[records\]'"):
        registry.dataset_info(config(write_later := tmp_path / "broken.parquet"))
    assert write_later.exists()


def test_a_full_disk_is_refused_before_anything_is_copied(hub, monkeypatch, scans):
    full = type("Usage", (), {"free": 10})
    monkeypatch.setattr(record_copy.shutil, "disk_usage", lambda _: full)
    with pytest.raises(SettingError, match="XDG_CACHE_HOME to a folder on a larger disk"):
        registry.read_dataset(config(hub))
    assert not (scans / "records").exists()


def test_a_name_of_the_hub_is_fetched(hub, monkeypatch):
    asked = []

    def fetch(name, download):
        asked.append((name, download))
        if not download:
            raise OSError("not in the cache")
        return str(hub)

    monkeypatch.setattr(parquet_files, "_fetch", fetch)
    with pytest.raises(SettingError, match=r"data\.download=true fetches it"):
        registry.image_counts(config("ylecun/mnist"))
    assert registry.image_counts(config("ylecun/mnist", download=True)) == {"train": 24, "test": 6}
    assert asked[0] == ("ylecun/mnist", False)
    with pytest.raises(SettingError, match="is not there"):
        registry.image_counts(config("no/such/path.parquet"))


def test_duplicates_across_splits_are_found(hub, arrays):
    path = hub / "data" / "test-00000-of-00001.parquet"
    write_rows(path, [png(arrays["train"][4]), png(pixels(9))], [0, 1])
    splits = load_splits(config(hub, cache_mb=0), 0)
    found = duplicates.find_duplicates(splits.as_dict(), NAMES)
    assert [finding.file for finding in found] == ["data/test-00000-of-00001.parquet#0"]
