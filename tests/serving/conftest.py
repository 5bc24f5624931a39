"""A run with an ONNX file, written once for all tests of the service."""

import pytest

from helpers.exported_runs import exported_digits


@pytest.fixture(scope="session")
def served_run(tmp_path_factory):
    return exported_digits(tmp_path_factory.mktemp("served"))
