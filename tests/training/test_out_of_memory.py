"""Missing memory, in each backend's words, ends in a line that says what takes less."""

import importlib.util

import numpy as np
import pytest

from helpers.trained_runs import SMALL, trained
from vit_keras import load_config
from vit_keras.errors import ResourceError
from vit_keras.training import estimate, out_of_memory, train
from vit_keras.training.training_model import TrainingModel


def python():
    raise MemoryError


def numpy():
    np.empty((1 << 28, 1 << 28), np.uint8)


def tensorflow():
    import tensorflow as tf

    raise tf.errors.ResourceExhaustedError(
        None, None, "Graph execution error:\n\nOOM when allocating tensor with shape[9,9]\n" * 9
    )


def tensorflow_in_the_input_pipeline():
    import tensorflow as tf

    raise tf.errors.UnknownError(None, None, "MemoryError: Unable to allocate 9. GiB\nTraceback")


def jax():
    import jax

    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nhlo")


CAUSES = [python, numpy, tensorflow, tensorflow_in_the_input_pipeline, jax]


def raising(cause):
    package = cause.__name__.partition("_")[0]
    if package in ("tensorflow", "jax") and not importlib.util.find_spec(package):
        pytest.skip(f"needs {package}")
    return lambda *args, **settings: cause()


@pytest.mark.parametrize("cause", CAUSES)
def test_a_step_that_needs_too_much_names_what_takes_less(cause, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingModel, "fit", raising(cause))
    with pytest.raises(ResourceError) as caught:
        trained(tmp_path / "run")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 500
    assert message.startswith("train.batch_size=32 ")
    assert "train.batch_size=16 with optim.gradient_accumulation_steps=2" in message
    assert "vit-keras estimate" in message
    assert "Traceback" in (tmp_path / "run" / "train.log").read_text()


def test_one_image_in_a_batch_is_not_halved(tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingModel, "fit", raising(python))
    with pytest.raises(ResourceError, match=r"use a smaller model or data\.image_size; "):
        trained(tmp_path / "run", "train.batch_size=1")


def test_images_that_do_not_fit_name_their_settings(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "load_splits", raising(numpy))
    with pytest.raises(ResourceError, match=r"data\.name=digits .*data\.limit"):
        trained(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_estimate_that_needs_too_much_says_so(monkeypatch):
    monkeypatch.setattr(TrainingModel, "fit", raising(numpy))
    with pytest.raises(ResourceError, match=r"train\.batch_size=16 with"):
        estimate.estimate(load_config(*SMALL))


@pytest.mark.parametrize("error", [RuntimeError("no such device"), ValueError("out of memory")])
def test_other_errors_are_as_they_were(error):
    with pytest.raises(type(error)) as caught, out_of_memory.in_one_line(load_config()):
        raise error
    assert caught.value is error
