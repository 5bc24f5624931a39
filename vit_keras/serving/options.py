"""The settings of a service."""

from dataclasses import dataclass

from vit_keras.io import parallel
from vit_keras.validators import check_fields, setting


@dataclass(frozen=True)
class ServiceOptions:
    """What one service accepts; each is an option of `vit-keras serve`.

    Raises:
        SettingError: a value is out of its bounds.
    """

    workers: int = setting(
        parallel.available_cores(), "Requests that are computed at a time.", at_least=1
    )
    queue: int = setting(
        16, "Requests that wait for a worker; more are answered by 503.", at_least=0
    )
    timeout: float = setting(
        30.0, "Seconds that a request may take to arrive, and then to wait for a worker.", above=0
    )
    max_megabytes: int = setting(32, "Largest body of a request, in MB.", at_least=1)
    max_megapixels: float = setting(
        50.0, "Largest image, in million pixels, whatever its file has.", above=0
    )
    max_images: int = setting(32, "Most images of a request.", at_least=1)
    refresh: float = setting(
        5.0, "Seconds between two looks at the alias of a registered model.", above=0
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def max_bytes(self) -> int:
        return self.max_megabytes * 1_000_000
