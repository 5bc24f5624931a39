"""LazyImages behaves like an array but reads images from their files."""

import keras
import numpy as np
import pytest
from PIL import Image

from helpers.image_files import SIZE, config, write
from vit_keras import SettingError
from vit_keras.data import batch_memory, input_pipeline
from vit_keras.data.lazy_images import LazyImages
from vit_keras.data.splits import load_splits

pytestmark = pytest.mark.jax


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("photos")
    for name in ("ant", "bee"):
        write(root / name, 20)
    return root


@pytest.fixture
def both(root):
    """The same splits, in memory and in files."""
    return load_splits(config(root), 0), load_splits(config(root, cache_mb=0), 0)


INDICES = {
    "slice": slice(3, 17, 2),
    "array": np.array([5, 0, 5, 11]),
    "negative": np.array([-1, -3]),
    "mask": np.arange(29) % 3 == 0,
    "none": np.array([], int),
    "one": 4,
}


@pytest.mark.parametrize("kind", INDICES)
def test_an_index_gives_what_it_gives_of_an_array(kind, both):
    held, streamed = (splits.train.images for splits in both)
    assert isinstance(held, np.ndarray)
    assert isinstance(streamed, LazyImages)
    assert (streamed.shape, streamed.dtype, len(streamed)) == (held.shape, held.dtype, len(held))
    index = INDICES[kind]
    np.testing.assert_array_equal(streamed[index], held[index])
    assert streamed[index].dtype == "uint8"


def test_taking_some_decodes_none(both, monkeypatch):
    held, streamed = (splits.train for splits in both)
    with monkeypatch.context() as context:
        context.setattr(LazyImages, "_decode", lambda *_: pytest.fail("it decodes"))
        few = streamed.take(np.array([7, 2, 2])).take(np.array([2, 0]))
    np.testing.assert_array_equal(few.images[:], held.images[[2, 7]])
    np.testing.assert_array_equal(few.labels, held.labels[[2, 7]])


@pytest.mark.parametrize("workers", [1, 3])
def test_an_epoch_is_the_same_as_one_from_memory(root, both, workers):
    streamed = load_splits(config(root, cache_mb=0, workers=workers), 0).train
    streams = (
        input_pipeline.training_batches(s, 8, 5, 2, prefetch=2) for s in (both[0].train, streamed)
    )
    for _, one, other in zip(range(7), *streams, strict=False):
        for a, b in zip(one[0], other[0], strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_evaluation_reads_every_image_in_order(both):
    held, streamed = (splits.test for splits in both)
    stream = input_pipeline.evaluation_batches(streamed, 3, prefetch=2)
    parts = [batch[0] for _, batch in zip(range(len(stream)), stream, strict=False)]
    images, labels = (np.concatenate([np.asarray(p[i]) for p in parts]) for i in range(2))
    np.testing.assert_array_equal(images, held.images)
    np.testing.assert_array_equal(labels, held.labels)


def test_the_fingerprint_follows_from_the_files_and_how_they_are_read(root, both):
    streamed = both[1]
    again = load_splits(config(root, cache_mb=0, workers=1), 0)
    assert again.fingerprint == streamed.fingerprint
    for other in (
        load_splits(config(root, cache_mb=0, resize_mode="pad"), 0),
        load_splits(config(root, cache_mb=0, classes=["bee", "ant"]), 0),
        load_splits(config(root, cache_mb=0), 1),
    ):
        assert other.fingerprint != streamed.fingerprint


def vanish(path):
    path.unlink()


def break_it(path):
    path.write_bytes(b"no image any more")


@pytest.mark.parametrize("change", [vanish, break_it])
def test_a_file_that_goes_bad_in_training_is_named(change, tmp_path):
    for name in ("ant", "bee"):
        write(tmp_path / "photos" / name, 6)
    images = load_splits(config(tmp_path / "photos", cache_mb=0), 0).train.images
    path = tmp_path / "photos" / images.files[3].path
    change(path)
    with pytest.raises(SettingError) as caught:
        images[:]
    assert str(path) in str(caught.value)
    assert "run.resume" in str(caught.value)
    assert images.failure is caught.value


def test_a_limit_on_memory_decides(root):
    """40 images of 4 x 6 x 3 bytes are far less than a megabyte."""
    assert isinstance(load_splits(config(root, cache_mb=1), 0).train.images, np.ndarray)
    few = load_splits(config(root, cache_mb=0), 0)
    assert isinstance(few.test.images, LazyImages)
    assert few.test.images[0].shape == (*SIZE, 3)
    assert Image.fromarray(few.test.images[0]).size == SIZE[::-1]


@pytest.mark.parametrize("place", ["memory", "files"])
def test_tensorflow_takes_the_memory_of_a_batch_as_it_is(place, root, monkeypatch):
    """Of memory that is not aligned, as NumPy's own, it makes a copy."""
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    split = load_splits(config(root, **({"cache_mb": 0} if place == "files" else {})), 0).train
    kept, empty = [], batch_memory.empty
    monkeypatch.setattr(batch_memory, "empty", lambda *what: kept.append(empty(*what)) or kept[-1])
    stream = iter(input_pipeline.training_batches(split, 4, 0, 0, prefetch=1))
    ((images, _),) = next(stream)
    assert isinstance(images, tf.Tensor)
    assert np.asarray(memoryview(images)).ctypes.data in [array.ctypes.data for array in kept]
