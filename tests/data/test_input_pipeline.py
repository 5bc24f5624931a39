"""Batches: their order depends on (seed, epoch) only, and no image is lost or repeated."""

import collections
import itertools
import os
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest

from helpers.paths import ROOT
from helpers.waiting import until
from vit_keras.data import input_pipeline
from vit_keras.data.dataset import Split

pytestmark = pytest.mark.jax

COUNT, BATCH = 22, 5  # 4 batches, and 2 images over
STEPS = COUNT // BATCH


@pytest.fixture(params=["tensorflow", "jax"], autouse=True)
def backend(request, monkeypatch):
    """Each kind of stream; neither needs a backend to compute with."""
    if request.param == "tensorflow":
        pytest.importorskip("tensorflow")
    monkeypatch.setattr(keras.backend, "backend", lambda: request.param)
    return request.param


def split(count=COUNT):
    """Images that say their place in every pixel; labels that are ten times the place."""
    images = np.broadcast_to(np.arange(count, dtype="uint8")[:, None, None, None], (count, 2, 3, 1))
    return Split(images.copy(), np.arange(count, dtype="int32") * 10)


def places(batch):
    """Which images a batch is made of; each has to come with its own label."""
    ((images, labels),) = batch
    images, labels = np.asarray(images), np.asarray(labels)
    assert (images.dtype, labels.dtype) == ("uint8", "int32")
    assert images.shape[1:] == (2, 3, 1)
    np.testing.assert_array_equal(images[:, 0, 0, 0].astype(int) * 10, labels)
    return images[:, 0, 0, 0].tolist()


def epochs(count, seed=0, first_epoch=0):
    """The batches of so many epochs, as lists of places."""
    stream = input_pipeline.training_batches(split(), BATCH, seed, first_epoch, prefetch=2)
    read = [places(batch) for batch in itertools.islice(iter(stream), count * STEPS)]
    return [read[start : start + STEPS] for start in range(0, len(read), STEPS)]


def in_turn(stream):
    """What Keras reads of a stream: by index where it is a PyDataset."""
    by_index = isinstance(stream, keras.utils.PyDataset)
    return (stream[index] for index in range(len(stream))) if by_index else stream


def flat(lists):
    return list(itertools.chain.from_iterable(lists))


@pytest.mark.parametrize("epoch", [1, 2, 4])
def test_an_epoch_does_not_depend_on_those_before_it(epoch):
    """A run that is resumed there sees what it would have seen."""
    assert epochs(5 - epoch, first_epoch=epoch) == epochs(5)[epoch:]


def test_an_epoch_has_whole_batches_of_different_images():
    for epoch in epochs(3):
        assert [len(batch) for batch in epoch] == [BATCH] * STEPS
        assert len(set(flat(epoch))) == STEPS * BATCH


def test_epochs_and_seeds_differ_in_order():
    assert len({str(epoch) for seed in range(3) for epoch in epochs(3, seed)}) == 9


def test_every_image_has_its_turn():
    """Those that are over in one epoch are not over in all."""
    assert set(flat(flat(epochs(6)))) == set(range(COUNT))


def flips(first_epoch=0, seed=0, repeats=1):
    """Of two epochs of an alternating flip: (epoch, image) -> whether it is mirrored, each copy."""
    stream = input_pipeline.training_batches(
        split(20), 4, seed, first_epoch, prefetch=2, repeats=repeats, alternating_flip=True
    )
    found = collections.defaultdict(list)
    for number, batch in enumerate(itertools.islice(iter(stream), 10)):
        ((images, labels, flipped),) = batch
        assert np.asarray(flipped).dtype == bool
        epoch, order = number // 5 + first_epoch, places(((images, labels),))
        for place, is_flipped in zip(order, np.asarray(flipped), strict=True):
            found[epoch, place].append(bool(is_flipped))
    return found


@pytest.mark.parametrize("first_epoch", [0, 3])
def test_an_alternating_flip_mirrors_each_image_in_one_of_two_epochs(first_epoch):
    found = flips(first_epoch)
    for place in range(20):
        assert found[first_epoch, place] + found[first_epoch + 1, place] in (
            [True, False],
            [False, True],
        )
    first = [found[first_epoch, place] for place in range(20)]
    assert 4 <= sum(one == [True] for one in first) <= 16


def test_an_alternating_flip_goes_on_where_a_run_is_resumed():
    whole, resumed = flips(0), flips(1)
    assert {key: whole[key] for key in whole if key[0] == 1} == {
        key: resumed[key] for key in resumed if key[0] == 1
    }
    assert whole != flips(0, seed=1)


def test_an_alternating_flip_mirrors_one_of_two_copies():
    assert {tuple(sorted(copies)) for copies in flips(repeats=2).values()} == {(False, True)}


@pytest.mark.parametrize("count", [1, 4, 5, 20, COUNT])
def test_evaluation_reads_every_image_once_in_order_each_time(count):
    stream = input_pipeline.evaluation_batches(split(count), BATCH, prefetch=2)
    for _ in range(2):
        read = [places(batch) for batch in in_turn(stream)]
        assert flat(read) == list(range(count))
        assert {len(batch) for batch in read[:-1]} <= {BATCH}
    assert len(stream) == -(-count // BATCH)


def test_fewer_steps_begin_each_epoch_as_the_whole_one():
    """What the other batches would have been is left out, and the next epoch is another."""
    stream = input_pipeline.training_batches(split(), BATCH, 0, 0, prefetch=2, steps=2)
    read = [places(batch) for batch in itertools.islice(iter(stream), 6)]
    assert [read[:2], read[2:4], read[4:]] == [epoch[:2] for epoch in epochs(3)]


@pytest.mark.parametrize(("size", "repeats"), [(6, 2), (6, 3), (10, 2), (12, 4), (9, 3), (20, 5)])
def test_copies_are_never_opposite_to_themselves(size, repeats):
    """MixUp's partner of place i is place B - 1 - i; of odd batches, the middle has no other."""
    images = input_pipeline.repeated_indices(np.arange(size // repeats), repeats)
    assert (np.bincount(images) == repeats).all()
    same = np.flatnonzero(images == images[::-1])
    assert same.tolist() == ([size // 2] if size % 2 else [])


@pytest.mark.parametrize("first_epoch", [0, 2])
def test_repeated_images_fill_a_batch_and_share_an_epoch(first_epoch):
    def read(first, count):
        stream = input_pipeline.training_batches(split(), 6, 0, first, prefetch=2, repeats=3)
        return [places(batch) for batch in itertools.islice(iter(stream), count * 3)]

    whole = read(0, 4)
    assert read(first_epoch, 4 - first_epoch) == whole[first_epoch * 3 :]
    for start in range(0, len(whole), 3):
        epoch = whole[start : start + 3]  # 22 // 6 batches, as without copies
        for batch in epoch:
            assert sorted(np.unique(batch, return_counts=True)[1].tolist()) == [3, 3]
        assert len(set(flat(epoch))) == 6
    assert len({str(sorted(set(flat(whole[i : i + 3])))) for i in range(0, 12, 3)}) == 4


class Clock:
    """Time that passes when it is told to."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def passes(self, seconds):
        self.now += seconds


def test_waiting_is_what_a_batch_took_after_it_was_asked_for(monkeypatch, backend):
    """Batches that take 3 s to make, steps of 1 s."""
    clock, wait = Clock(monkeypatch), input_pipeline.DataWait()

    load = wait.timed_loader(lambda _: clock.passes(3), is_ahead=backend == "tensorflow")
    numbers = itertools.count()
    for epoch in range(2):
        wait.on_epoch_begin(epoch)
        for index in range(4):
            wait.on_train_batch_begin(index)
            load(next(numbers))
            clock.passes(1)
            wait.on_train_batch_end(index)
        assert wait.share == pytest.approx(3 / 4)
        clock.passes(50)  # validation is no waiting, and no training


def test_batches_that_are_ready_are_not_waited_for(monkeypatch):
    """Made 2 s each in a thread, while a step takes 5 s: only the first is waited for."""
    clock, wait = Clock(monkeypatch), input_pipeline.DataWait()
    wait.timed_loader(lambda number: None, is_ahead=True)
    wait.on_epoch_begin(0)
    for index in range(4):
        wait.on_train_batch_begin(index)
        if not index:
            clock.passes(7)  # the step is compiled before it reads
            wait.ready.update({i: (clock.now + 2 * i, clock.now + 2 * i + 2) for i in range(4)})
            clock.passes(2)
        clock.passes(5)
        wait.on_train_batch_end(index)
    assert wait.share == pytest.approx(2 / (7 + 2 + 4 * 5))


@pytest.mark.parametrize(("load", "share"), [(3, 17 / 25), (0.5, 0.5 / 8.5)])
def test_waiting_is_known_of_calls_of_several_steps(load, share, monkeypatch):
    """Batches that take `load` seconds each; two calls of four steps of 1 s."""
    clock, wait = Clock(monkeypatch), input_pipeline.DataWait()
    wait.timed_loader(lambda number: None, is_ahead=True)
    wait.on_epoch_begin(0)
    begun = clock.now
    ends = [begun + load * (number + 1) for number in range(8)]
    for first in (0, 4):
        wait.on_train_batch_begin(first)
        for number in range(first, first + 4):
            wait.ready[number] = ends[number] - load, ends[number]
            clock.now = max(clock.now, ends[number]) + 1
        wait.on_train_batch_end(first + 3)
    assert wait.share == pytest.approx(share)


def threads():
    return [one for one in threading.enumerate() if one.name.startswith("batches")]


def test_jax_prepares_batches_in_threads_that_end_with_the_stream(backend):
    if backend == "tensorflow":
        pytest.skip("tf.data has threads of its own")
    images, labels = split()
    loaded, gone = [], threading.Event()

    class Images:
        def __getitem__(self, index):
            loaded.append(threading.current_thread().name)
            if gone.is_set():
                raise OSError("no such file")
            return images[index]

    stream = input_pipeline.training_batches(Split(Images(), labels), BATCH, 0, 0, prefetch=2)
    assert not threads()
    assert places(next(stream)) == epochs(1)[0][0]
    until(lambda: len(loaded) >= 3)  # two ahead, though nobody asked
    assert len(loaded) == 3
    assert all(name.startswith("batches") for name in loaded)
    assert places(next(stream)) == epochs(1)[0][1]  # in order, whichever is ready first
    gone.set()
    with pytest.raises(OSError, match="no such file"):
        list(itertools.islice(stream, 4))  # those that are prepared come first
    assert not threads()

    gone.clear()
    stream = input_pipeline.training_batches(Split(Images(), labels), BATCH, 0, 0, prefetch=2)
    next(stream)
    assert threads()
    stream.close()
    assert not threads()


def test_tensorflow_gets_a_data_set_of_its_own(backend):
    streams = (
        input_pipeline.training_batches(split(), BATCH, 0, 0, prefetch=2),
        input_pipeline.evaluation_batches(split(), BATCH, prefetch=2),
    )
    for stream in streams:
        module = type(stream).__module__
        assert module.startswith("tensorflow.") == (backend == "tensorflow")


@pytest.mark.slow
def test_jax_needs_no_tensorflow(backend):
    """Neither to read batches, nor to train and measure on them."""
    if backend == "tensorflow":
        pytest.skip("it is TensorFlow")
    pytest.importorskip("jax")
    script = """
import sys
sys.modules["tensorflow"] = None
import keras, numpy as np
from vit_keras import build_splits
from vit_keras.data.dataset import Split
from vit_keras.data.input_pipeline import evaluation_batches, training_batches

class Model(keras.Model):
    def __init__(self):
        super().__init__()
        self.dense = keras.layers.Dense(3)
    def call(self, inputs):
        images, labels = inputs
        logits = self.dense(keras.ops.cast(images, "float32"))
        self.add_loss(keras.ops.mean(keras.losses.sparse_categorical_crossentropy(labels, logits)))
        return logits

images = np.arange(160.0).reshape(10, 4, 4)
assert len(build_splits((images, [0, 1] * 5)).test.labels) == 2
split = Split(np.ones((10, 4), "uint8"), np.zeros(10, "int32"))
model = Model()
model.compile("sgd")
validation = evaluation_batches(split, 4, 2)
model.fit(
    training_batches(split, 4, 0, 0, 2),
    steps_per_epoch=2, epochs=2, validation_data=validation, verbose=0,
)
assert keras.backend.backend() == "jax"
assert model.predict(validation, verbose=0).shape == (10, 3)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
