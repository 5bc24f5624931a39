"""Random numbers equal Threefry's on every backend, and no two draws are the same."""

import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from vit_keras.augment import prng

pytestmark = pytest.mark.jax

IMAGES = 2000
# Random123's kat_vectors, threefry2x32 20: key, counter, and what comes out.
KNOWN = [
    ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
]


def words(*values):
    return [ops.convert_to_tensor(np.uint32(value)) for value in values]


def drawn(seed, *names, batch=IMAGES):
    made = prng.random_numbers(prng.make_key(seed), batch, names)
    return {name: ops.convert_to_numpy(part) for name, part in made.items()}


@pytest.mark.parametrize(("key", "counter", "answer"), KNOWN)
def test_threefry_gives_the_published_answers(key, counter, answer):
    assert [int(word) for word in prng.threefry(words(*key), words(*counter))] == list(answer)


def test_threefry_is_that_of_jax():
    threefry = pytest.importorskip("jax.extend.random").threefry_2x32
    key, places = np.array([7, 2**31 + 5], "uint32"), np.arange(64, dtype="uint32")
    theirs = np.asarray(threefry(key, places))
    left, right = prng.threefry(words(*key), [ops.convert_to_tensor(places[:32])] * 2)
    left, right = prng.threefry(
        words(*key), [ops.convert_to_tensor(part) for part in np.split(places, 2)]
    )
    ours = np.concatenate([ops.convert_to_numpy(left), ops.convert_to_numpy(right)])
    np.testing.assert_array_equal(ours, theirs)


def test_every_number_is_uniform_and_apart_from_the_others():
    numbers = np.concatenate(list(drawn(3, *prng.NUMBERS_PER_IMAGE).values()), axis=1)
    assert numbers.shape == (IMAGES, sum(prng.NUMBERS_PER_IMAGE.values()))
    assert numbers.min() >= 0
    assert numbers.max() < 1
    assert min(stats.kstest(column, "uniform").pvalue for column in numbers.T) > 1e-5
    related = np.corrcoef(numbers.T) - np.eye(numbers.shape[1])
    assert np.abs(related).max() < 6 / np.sqrt(IMAGES)


def test_draws_are_independent_of_other_draws():
    alone, beside = drawn(3, "flip"), drawn(3, "crop", "flip", "erase")
    np.testing.assert_array_equal(alone["flip"], beside["flip"])


def test_a_larger_batch_begins_with_the_same_numbers():
    np.testing.assert_array_equal(drawn(3, "crop")["crop"][:5], drawn(3, "crop", batch=5)["crop"])


def test_a_generator_gives_other_numbers_each_step_the_first_those_of_its_seed():
    generator = keras.random.SeedGenerator(2**32 - 1)
    first, second = (drawn(generator, "flip")["flip"] for _ in range(2))
    np.testing.assert_array_equal(first, drawn(2**32 - 1, "flip")["flip"])
    assert not np.array_equal(first, second)


def test_whole_numbers_are_as_likely_and_never_too_large():
    largest = np.float32(1 - 2**-24)
    assert [int(prng.randint(largest, count)) for count in (1, 14, 31, 224)] == [0, 13, 30, 223]
    made = ops.convert_to_numpy(prng.randint(drawn(3, "flip")["flip"], 14))
    assert stats.chisquare(np.bincount(made.ravel(), minlength=14)).pvalue > 1e-4


def test_noise_has_every_level_as_often_and_no_two_images_the_same():
    made = ops.convert_to_numpy(prng.noise(prng.make_key(1), 6, (32, 32, 3)))
    assert made.shape == (6, 32, 32, 3)
    counts = np.bincount(made.astype(int).ravel(), minlength=256)
    assert len(counts) == 256
    assert stats.chisquare(counts).pvalue > 1e-4
    for pair in (made[0], made[1]), (made[0, :, :-1], made[0, :, 1:]), (made[0, :-1], made[0, 1:]):
        assert abs(np.corrcoef(pair[0].ravel(), pair[1].ravel())[0, 1]) < 0.1
