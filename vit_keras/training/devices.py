"""Several devices: what of the settings they cannot do, before anything slow."""

import keras

from vit_keras import backend
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.training import batch_size


def check(config: Config) -> None:
    """Refuse settings that do not work on the devices that the program has chosen.

    Raises:
        SettingError: batches that cannot be divided among them, or what TensorFlow cannot do in the
            scope of a `tf.distribute` strategy.
    """
    replicas = backend.replicas()
    if replicas == 1:
        return
    if batch_size.is_auto(config):
        raise SettingError(
            f"train.batch_size=auto is measured on one device, and there are {replicas}; set a "
            f"number that {replicas} divides"
        )
    _check_batches(config.train.batch_size, replicas)
    if keras.backend.backend() == "tensorflow":
        _check_strategy(config)


def _check_batches(asked: int, replicas: int) -> None:
    if asked % replicas:
        below, above = asked // replicas * replicas, -(-asked // replicas) * replicas
        sizes = " or ".join(str(size) for size in (below, above) if size)
        raise SettingError(
            f"train.batch_size={asked} cannot be divided among {replicas} devices; use {sizes}"
        )


def _check_strategy(config: Config) -> None:
    for name, value, way_out in (
        ("train.jit_compile", config.train.jit_compile, "auto"),
        ("optim.gradient_accumulation_steps", config.optim.gradient_accumulation_steps, "1"),
    ):
        if str(value).lower() not in (way_out, "false"):
            raise SettingError(
                f"{name}={value} does not work in the scope of a tf.distribute strategy; use "
                f"{name}={way_out}, or train on several devices with KERAS_BACKEND=jax and "
                "keras.distribution.DataParallel"
            )
