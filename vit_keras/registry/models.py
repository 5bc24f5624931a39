"""Versions and aliases in MLflow's registry, and the download of a version."""

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit_keras.cache import cache_folder
from vit_keras.errors import SettingError
from vit_keras.registry.package import package_digest
from vit_keras.runs.saved_run import PACKAGE
from vit_keras.text import first_line
from vit_keras.tracking import store

CHAMPION, CHALLENGER = "champion", "challenger"
DIGEST = "digest"  # tag of a version: of its package
ADDRESS = re.compile(r"models:/(?P<name>[^/@]+)(@(?P<alias>[\w.-]+)|/(?P<version>\d+))")
FOLDER = "models"  # of the cache


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        name: of the model.
        number: of the version, as MLflow counts them.
        run_id: of the MLflow run that it was registered from.
        tags: of the version.
    """

    name: str
    number: str
    run_id: str
    tags: dict[str, str]

    def __str__(self) -> str:
        return f"{self.name} version {self.number}"


class RegisteredModels:
    """MLflow's registry at one address. Every error of it is one line.

    Args:
        uri: of the store; a checked one.
    """

    def __init__(self, uri: str) -> None:
        self.uri = store.absolute_store(uri)
        with self.in_one_line():
            self.client: Any = store.client(self.uri)

    def by_alias(self, name: str, alias: str) -> Version | None:
        """The version that an alias points at; None if there is none.

        Raises:
            SettingError: there is no such model, or the registry does not answer.
        """
        with self.in_one_line():
            aliases = self._model(name).aliases
            return self.by_number(name, aliases[alias]) if alias in aliases else None

    def by_number(self, name: str, number: str) -> Version:
        """A version by its number.

        Raises:
            SettingError: there is none.
        """
        from mlflow.exceptions import MlflowException

        with self.in_one_line():
            try:
                found = self.client.get_model_version(name, str(number))
            except MlflowException as error:
                if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                    raise
                raise SettingError(f"name={name} has no version {number}") from None
            return Version(name, str(found.version), found.run_id, dict(found.tags))

    def _model(self, name: str) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self.client.get_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise SettingError(
                f"name={name} is no registered model; vit-keras register RUN --name {name}"
            ) from None

    def add(self, name: str, run_id: str, artifact: str, tags: dict[str, str], text: str) -> str:
        """Register the artefact of a run as a new version, and return its number."""
        from mlflow.exceptions import MlflowException

        with self.in_one_line():
            try:
                self.client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            source = f"runs:/{run_id}/{artifact}"
            made = self.client.create_model_version(name, source, run_id, tags, description=text)
            return str(made.version)

    def versions(self, name: str) -> list[Version]:
        """All versions of a model, none of one that is not there; the newest first."""
        with self.in_one_line():
            found = self.client.search_model_versions(f"name = '{_checked(name)}'")
        versions = [Version(name, str(v.version), v.run_id, dict(v.tags)) for v in found]
        return sorted(versions, key=lambda one: -int(one.number))

    def set_alias(self, name: str, alias: str, number: str) -> None:
        with self.in_one_line():
            self.client.set_registered_model_alias(name, alias, number)

    def delete_alias(self, name: str, alias: str) -> None:
        with self.in_one_line():
            self.client.delete_registered_model_alias(name, alias)

    def tag(self, version: Version, tags: dict[str, str]) -> None:
        """Set tags of a version."""
        with self.in_one_line():
            for key, value in tags.items():
                self.client.set_model_version_tag(version.name, version.number, key, value)

    def download(self, version: Version) -> Path:
        """The package of a version, from the cache if it is there.

        Raises:
            SettingError: it cannot be had, or is not what was registered.
        """
        digest = version.tags.get(DIGEST, "")
        folder = cache_folder() / FOLDER / digest
        if digest and (folder / PACKAGE).is_file() and package_digest(folder) == digest:
            return folder
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".new-") as place:
            with self.in_one_line():
                from mlflow.artifacts import download_artifacts

                uri = self.client.get_model_version_download_uri(version.name, version.number)
                found = Path(download_artifacts(artifact_uri=uri, dst_path=place))
            if not digest or package_digest(found) != digest:
                raise SettingError(
                    f"{version} is not what was registered: its files have another digest than its "
                    "tag; register the run again"
                )
            shutil.rmtree(folder, ignore_errors=True)
            with contextlib.suppress(OSError):  # another process has put it there
                found.rename(folder)
        return folder

    @contextlib.contextmanager
    def in_one_line(self) -> Iterator[None]:
        """Turn the errors of MLflow, of the network and of a database into a `SettingError`."""
        try:
            yield
        except SettingError:
            raise
        except Exception as error:  # MLflow, requests and SQLAlchemy have no common base
            raise SettingError(
                f"MLflow's registry at {self.uri} cannot be used ({first_line(error)}); check "
                "--uri, or try again"
            ) from None


def find(models: RegisteredModels, address: str) -> Version:
    """The version at `models:/signs@champion` or `models:/signs/3`.

    Raises:
        SettingError: it is no such address, or points at nothing.
    """
    parts = ADDRESS.fullmatch(address)
    if parts is None:
        raise SettingError(
            f"{address} is no address of a registered model; use models:/name@champion or "
            "models:/name/3"
        )
    name, alias = parts["name"], parts["alias"]
    if alias is None:
        return models.by_number(name, parts["version"])
    found = models.by_alias(name, alias)
    if found is None:
        raise SettingError(
            f"{address} points at nothing: the model has no alias {alias}; vit-keras promote {name}"
        )
    return found


def check_name(name: str) -> None:
    """Refuse a name that cannot stand in an address.

    Raises:
        SettingError: naming it.
    """
    if not re.fullmatch(r"[\w][\w .-]{0,99}", name):
        raise SettingError(
            f"name={name} is no name of a model; use letters, digits, hyphens and underscores"
        )


def _checked(name: str) -> str:
    check_name(name)
    return name
