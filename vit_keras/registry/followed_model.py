"""The registered model at an address, opened again where its alias points at another version."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from vit_keras.errors import SettingError
from vit_keras.registry.models import RegisteredModels, Version, find

Model = TypeVar("Model")
PREFIX = "models:/"


def is_registered(run: str) -> bool:
    """Whether `run` is the address of a registered model, and no folder."""
    return run.startswith(PREFIX)


class FollowedModel(Generic[Model]):
    """What a service gets of the registry.

    Attributes:
        can_move: whether the address has an alias, which can point at another version.

    Args:
        uri: of the registry.
        address: `models:/signs@champion` or `models:/signs/3`.
        open_model: opens and checks the package in a folder, given what it is called.
    """

    def __init__(self, uri: str, address: str, open_model: Callable[[Path, str], Model]) -> None:
        self.address, self.can_move = address, "@" in address
        self._open_model, self._models = open_model, RegisteredModels(uri)
        self._seen: Version | None = None  # opened last, or refused

    def open(self) -> Model:
        """The model that the address points at now.

        Raises:
            SettingError: it points at nothing, or what it points at cannot be used.
        """
        self._seen = version = find(self._models, self.address)
        return self._open_model(self._models.download(version), str(version))

    def newer(self) -> Model | None:
        """As `open`, if the alias has moved since the last look; otherwise None.

        A version that cannot be used is tried once, until the alias moves again.

        Raises:
            SettingError: as `open`.
        """
        version = find(self._models, self.address)
        if self._seen is not None and version.number == self._seen.number:
            return None
        folder = self._models.download(version)
        self._seen = version
        try:
            return self._open_model(folder, str(version))
        except SettingError as error:
            raise SettingError(f"{version} cannot be served: {error}") from None
