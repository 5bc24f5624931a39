"""A command imports Keras without the packages that only other programs use with it."""

import os
import subprocess
import sys

import pytest

UNUSED = ["matplotlib", "pandas", "scipy", "sklearn"]

OF_COMMAND = """
import importlib, sys
from vit_keras import backend
backend.leave_out_unused()
backend.import_keras()
import keras
print(keras.backend.backend())
unused = sys.argv[1:]
print(*(name for name in unused if name in sys.modules))
for name in unused:  # the command itself finds them
    importlib.import_module(name)
from sklearn.linear_model import LogisticRegression
from scipy import sparse
import pandas
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
print(model.predict(pandas.DataFrame([[1.0, 2.0]]).to_numpy(), verbose=0).shape)
"""

OF_ANOTHER_PROGRAM = """
from vit_keras import backend
backend.import_keras()
import keras, sklearn
print(isinstance(keras.wrappers.SKLearnClassifier(lambda X, y: None), sklearn.base.BaseEstimator))
"""


def printed(code, *words, keras_backend="tensorflow"):
    done = subprocess.run(
        [sys.executable, "-c", code, *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "KERAS_BACKEND": keras_backend},
    )
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("keras_backend", ["tensorflow", "jax"])
def test_a_command_leaves_out_what_it_does_not_use(keras_backend):
    unused = [*UNUSED, "jax"]
    if keras_backend == "jax":
        pytest.importorskip("jax", reason="needs jax: pip install jax")
        unused = [name for name in UNUSED if name != "scipy"]  # JAX imports SciPy
    lines = printed(OF_COMMAND, *unused, keras_backend=keras_backend)
    assert lines == [keras_backend, "", "(1, 1)"]


@pytest.mark.slow
def test_another_program_has_all_of_keras():
    assert printed(OF_ANOTHER_PROGRAM) == ["True"]
