"""Checks of `distribute.*` against the other settings and the backend. Imports no Keras."""

import re

from vit_keras.config.compose import get_setting
from vit_keras.config.fields import options
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.export.preflight import backend_name

ADDRESS = re.compile(r".+:\d{1,5}")
# Settings that a training of several processes has at their defaults -> what to do instead.
OF_ONE_PROCESS = {
    "train.folds": "train each by data.fold",
    "train.sample_predictions": "use vit-keras predict",
    "train.export": "use vit-keras export",
    "pretrained.baseline": "train it by vit-keras train",
}


def check(config: Config) -> None:
    """Refuse processes that cannot meet, or cannot train with these settings.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    settings = config.distribute
    if settings.model_parallel > 1:
        _check_model_parallel(config)
    if settings.processes in (1, "auto"):
        for name in ("process_id", "coordinator"):
            if (value := getattr(settings, name)) is not None:
                raise SettingError(
                    f"distribute.{name}={value} has no effect with "
                    f"distribute.processes={settings.processes}; set distribute.processes to the "
                    "number of processes, or leave it out"
                )
    if settings.processes == 1:
        return
    if (backend := backend_name()) != "jax":
        raise SettingError(
            f"distribute.processes={settings.processes} needs JAX, and the backend is {backend}; "
            "set KERAS_BACKEND=jax"
        )
    if settings.processes != "auto":
        _check_addresses(config)
    for name, way_out in OF_ONE_PROCESS.items():
        if (value := get_setting(config, name)) != options()[name].default:
            raise SettingError(
                f"{name}={value} needs one process, and there are distribute.processes="
                f"{settings.processes}; leave it out, and {way_out} afterwards"
            )


def _check_model_parallel(config: Config) -> None:
    parts = config.distribute.model_parallel
    if (backend := backend_name()) != "jax":
        raise SettingError(
            f"distribute.model_parallel={parts} needs JAX, and the backend is {backend}; set "
            "KERAS_BACKEND=jax"
        )
    if config.distribute.processes != 1:
        raise SettingError(
            f"distribute.model_parallel={parts} needs one process, and there are "
            f"distribute.processes={config.distribute.processes}; leave one of the two out"
        )


def _check_addresses(config: Config) -> None:
    settings = config.distribute
    for name, example in (("process_id", "0"), ("coordinator", "10.0.0.1:1234")):
        if getattr(settings, name) is None:
            raise SettingError(
                f"distribute.processes={settings.processes} needs distribute.{name}, such as "
                f"{example}; or set distribute.processes=auto under Slurm, Kubernetes or Open MPI"
            )
    if int(settings.process_id or 0) >= settings.processes:
        raise SettingError(
            f"distribute.process_id={settings.process_id} is none of distribute.processes="
            f"{settings.processes}; they are numbered from 0 to {settings.processes - 1}"
        )
    if not ADDRESS.fullmatch(str(settings.coordinator)):
        raise SettingError(
            f"distribute.coordinator={settings.coordinator} is no address of process 0; write it "
            "as host:port, such as 10.0.0.1:1234"
        )
