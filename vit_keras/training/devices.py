"""Several devices: what of the settings they cannot do, and how many share a batch."""

import keras

from vit_keras import backend
from vit_keras.config.compose import get_setting
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.logs import log
from vit_keras.training import batch_size, distribution, preflight
from vit_keras.validators import divisors

# Settings with which TensorFlow's strategies work.
IN_STRATEGY = {"train.jit_compile": "auto", "optim.gradient_accumulation_steps": "1"}


def usable(config: Config, count: int) -> int:
    """Of `count` devices those that `distribute.devices=auto` takes: all that divide each batch.

    It refuses nothing: a training that needs one device takes one.
    """
    if config.distribute.model_parallel > 1:
        return count
    reason, found = "", count
    fault = _strategy_fault(config) if keras.backend.backend() == "tensorflow" else ""
    if batch_size.is_auto(config):
        reason, found = "train.batch_size=auto is measured on one device", 1
    elif fault:
        reason, found = f"{fault} does not work on several with TensorFlow", 1
    elif config.train.batch_size % count:
        found = max(divisors(config.train.batch_size, 1, count))
        reason = f"more do not divide train.batch_size={config.train.batch_size}"
    if found < count:
        log.warning("devices: %d of %d, as %s", found, count, reason)
    return found


def check(config: Config) -> None:
    """Refuse settings that do not work on the devices that the program has chosen.

    Raises:
        SettingError: batches that cannot be divided among them, or what TensorFlow cannot do in the
            scope of a `tf.distribute` strategy.
    """
    replicas, devices = backend.replicas(), backend.devices_in_use()
    if devices == 1:
        return
    _check_model_parallel(config)
    if batch_size.is_auto(config):
        raise SettingError(
            f"train.batch_size=auto is measured on one device, and there are {devices}; set a "
            f"number that {replicas} divides, or distribute.devices=1"
        )
    _check_batches(config.train.batch_size, replicas)
    if keras.backend.backend() == "tensorflow":
        _check_strategy(config)


def _check_model_parallel(config: Config) -> None:
    parts = config.distribute.model_parallel
    if parts == 1 or config.pretrained.handle is not None:  # whose sizes are not known yet
        return
    architecture = preflight.architecture(config.model)
    for name in ("width", "mlp_dim"):
        if (size := getattr(architecture, name)) % parts:
            raise SettingError(
                f"distribute.model_parallel={parts} does not divide model.{name}={size}; use one "
                f"of {', '.join(map(str, divisors(size, 1)))}"
            )


def report(config: Config, vit: keras.Model) -> None:
    """Log how many devices share each batch, or divide `vit`, if several do."""
    replicas, size, parts = backend.replicas(), config.train.batch_size, 0
    if keras.backend.backend() == "jax":
        parts = config.distribute.model_parallel
    if replicas > 1:
        of_each = size // replicas
        log.info("devices: %d share each batch of %d images, %d each", replicas, size, of_each)
    if parts > 1:
        log.info(
            "devices: %d divide the encoder blocks among them; one has at most %.0f%% of the "
            "parameters",
            *(parts, 100 * distribution.largest_share(vit)),
        )
    if replicas > 1 and keras.backend.backend() == "tensorflow":
        log.info("XLA is off: TensorFlow's strategies for several devices cannot use it")


def _check_batches(asked: int, replicas: int) -> None:
    if asked % replicas:
        below, above = asked // replicas * replicas, -(-asked // replicas) * replicas
        sizes = " or ".join(str(size) for size in (below, above) if size)
        raise SettingError(
            f"train.batch_size={asked} cannot be divided among {replicas} devices; use {sizes}, "
            "or fewer distribute.devices"
        )


def _check_strategy(config: Config) -> None:
    if fault := _strategy_fault(config):
        name = fault.partition("=")[0]
        raise SettingError(
            f"{fault} does not work in the scope of a tf.distribute strategy; use "
            f"{name}={IN_STRATEGY[name]}, or train on several devices with KERAS_BACKEND=jax"
        )


def _strategy_fault(config: Config) -> str:
    """A setting, with its value, that TensorFlow's strategies cannot do; empty if there is none."""
    for name, way_out in IN_STRATEGY.items():
        if str(value := get_setting(config, name)).lower() not in (way_out, "false"):
            return f"{name}={value}"
    return ""
