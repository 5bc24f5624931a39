"""A database of MLflow without runs, for each test its own copy."""

import shutil

import pytest

from vit_keras.tracking import store


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory):
    """Making its tables takes MLflow seconds."""
    pytest.importorskip("mlflow", reason="needs the extra `tracking`")
    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    store.client(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def uri(empty_database, tmp_path):
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path / 'mlflow.db'}"
