"""The address of MLflow's store, and a client of it. MLflow is imported by `client` alone."""

import importlib.util
import os
import re
from pathlib import Path
from typing import Any

from vit_keras.config.schema import Config
from vit_keras.config.schema.tracking import NONE
from vit_keras.errors import SettingError

ENVIRONMENT = "MLFLOW_TRACKING_URI"  # MLflow's own variable
DATABASE = "mlflow.db"
FILES = ".mlflow"  # folder of artefacts beside a database: hidden, as it has copies of runs
SCHEMES = ("http", "https", "sqlite", "postgresql", "mysql", "mssql")
INSTALL = 'pip install "vit-keras-lab[tracking]"'
# MLflow would try for minutes to reach a server, ask for updates and count its users.
SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}


def store_of(config: Config) -> str:
    """The store of a run: `tracking.uri`, MLflow's variable, or a database beside the runs."""
    return absolute_store(config.tracking.uri or default_store(config.run.root))


def default_store(root: str | Path) -> str:
    """MLflow's variable, or the database in the folder of the runs."""
    return os.environ.get(ENVIRONMENT) or f"sqlite:///{Path(root).expanduser() / DATABASE}"


def absolute_store(uri: str) -> str:
    """`sqlite:///runs.db` with the path from the root, so that it is the same from anywhere."""
    if not uri.startswith("sqlite:///") or uri == "sqlite:///:memory:":
        return uri
    path = os.path.abspath(os.path.expanduser(uri.removeprefix("sqlite:///")))
    return f"sqlite:///{path}"


def check_store(uri: str, setting: str = "tracking.uri") -> None:
    """Refuse an address that is none of MLflow's, and packages that are missing.

    Raises:
        SettingError: naming the setting and what to do.
    """
    scheme = re.split(r"[:+]", uri)[0]
    if scheme not in SCHEMES or "://" not in uri:
        raise SettingError(
            f"{setting}={uri} is no store of MLflow; use http://host:port or sqlite:///file.db"
        )
    check_installed(setting, uri)


def check_installed(setting: str, uri: str) -> None:
    """Refuse to go on without MLflow and, for a database, what it reads that by.

    Raises:
        SettingError: naming the package and how to install it.
    """
    packages = ["mlflow"] if uri.startswith("http") else ["mlflow", "sqlalchemy", "alembic"]
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise SettingError(f"{setting}={uri} needs {package}, not installed here: {INSTALL}")


def check_tracking(config: Config) -> None:
    """Refuse a tracking that cannot work, before anything slow starts.

    Raises:
        SettingError: naming the setting.
    """
    if config.tracking.name != NONE:
        check_store(store_of(config))


def client(uri: str) -> Any:
    """A client of MLflow's store of runs and of registered models; the database is made if need be.

    Raises:
        SettingError: the folder of the database cannot be made.
    """
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if (folder := database_folder(uri)) is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingError(f"{folder} cannot be made ({error.strerror})") from None
    import mlflow

    # Downloads of a registered model find the store by these alone.
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return mlflow.MlflowClient(uri, uri)


def database_folder(uri: str) -> Path | None:
    """The folder of a database in a file; None of a server."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///")).parent


def experiment_id(client: Any, uri: str, name: str) -> str:
    """The id of an experiment, which is made if there is none of that name."""
    found = client.get_experiment_by_name(name)
    if found is None:
        folder = database_folder(uri)
        location = None if folder is None else (folder / FILES).as_uri()
        return client.create_experiment(name, location)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return found.experiment_id
