"""Where JAX keeps the steps that it has compiled."""

import os
import subprocess
import sys

import pytest

CACHED = """
import sys
from vit_keras import backend
backend.import_keras()
import jax
print(jax.config.jax_compilation_cache_dir)
"""


@pytest.mark.slow
@pytest.mark.parametrize("told", [None, "elsewhere"])
def test_jax_keeps_compiled_steps_where_it_is_not_told_otherwise(told, tmp_path):
    pytest.importorskip("jax", reason="needs jax: pip install jax")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "XDG_CACHE_HOME": str(tmp_path)}
    environment |= {"JAX_COMPILATION_CACHE_DIR": told} if told else {}
    shown = subprocess.run(
        [sys.executable, "-c", CACHED],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    place = shown.stdout.strip()
    assert place == told if told else place.startswith(str(tmp_path / "vit_keras" / "jax"))
