"""The devices that share each batch: `keras.distribution` on JAX, `tf.distribute` on TensorFlow.

Parallelism is set up around a training and is no part of the model: whatever is built in the scope
is copied to each device, and each batch is divided among them.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import keras

from vit_keras.config.schema import DistributeConfig
from vit_keras.errors import SettingError
from vit_keras.text import counted
from vit_keras.validators import divisors

# Variables of an encoder block that `distribute.model_parallel` divides, by their path -> how: the
# first kernel of attention and MLP by columns and the second by rows, so that a device goes from
# one to the other with its own columns (Shoeybi et al. 2019, "Megatron-LM", section 3).
LAYOUT = {
    r"(.*/)?encoder_block_\d+/(attention/qkv|mlp/hidden)/kernel": (None, "model"),
    r"(.*/)?encoder_block_\d+/(attention/qkv|mlp/hidden)/bias": ("model",),
    r"(.*/)?encoder_block_\d+/(attention/projection|mlp/output)/kernel": ("model", None),
}
Scope = Callable[[], contextlib.AbstractContextManager[Any]]


def resolve(config: DistributeConfig, usable: Callable[[int], int] = int) -> Scope:
    """Makes contexts in which the devices that `distribute` asks for share a training.

    A distribution that the program has set itself stays. One device needs none.

    Args:
        config: the settings `distribute.*`.
        usable: how many of a number of devices `devices=auto` takes.

    Raises:
        SettingError: there are fewer devices.
    """
    is_tensorflow = keras.backend.backend() == "tensorflow"
    processes = [_tensorflow_devices(config)] if is_tensorflow else _jax_devices()
    names = min(processes, key=len)
    is_auto = config.devices == "auto"
    count = len(names) if is_auto else config.devices
    if is_auto and len(processes) == 1 and not _is_set_by_program():
        count = usable(count)
    if count > len(names):
        raise SettingError(
            f"distribute.devices={count} is more than the {counted(len(names), 'device[s]')} that "
            f"{keras.backend.backend()} has here; use {len(names)} or less, or auto"
        )
    if count % config.model_parallel:
        raise SettingError(
            f"distribute.model_parallel={config.model_parallel} does not divide the "
            f"{counted(count, 'device[s]')}; use one of "
            f"{', '.join(map(str, divisors(count, 1, count)))}"
        )
    if _is_set_by_program() or count * len(processes) == 1:
        return contextlib.nullcontext
    if is_tensorflow:
        import tensorflow as tf

        return tf.distribute.MirroredStrategy(names[:count]).scope
    names = [name for of_process in processes for name in of_process[:count]]
    if config.model_parallel > 1:
        return _model_parallel(names, config.model_parallel).scope
    # Keras would let each process make all of a batch.
    return keras.distribution.DataParallel(devices=names, auto_shard_dataset=False).scope


def _model_parallel(names: list[str], parts: int) -> keras.distribution.ModelParallel:
    """A distribution of which `parts` devices hold a model, and train on a share of each batch."""
    shape = (len(names) // parts, parts)
    mesh = keras.distribution.DeviceMesh(shape, ("batch", "model"), devices=names)
    layout = keras.distribution.LayoutMap(mesh)
    for pattern, axes in LAYOUT.items():
        layout[pattern] = axes
    return keras.distribution.ModelParallel(
        layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False
    )


def largest_share(model: keras.Model) -> float:
    """Of the parameters of `model`, the largest part that a device holds."""
    held: dict[Any, int] = {}
    for weight in model.weights:
        for shard in weight.value.addressable_shards:
            held[shard.device] = held.get(shard.device, 0) + shard.data.size
    return max(held.values()) / model.count_params()


def _is_set_by_program() -> bool:
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.distribute.has_strategy()
    return keras.distribution.distribution() is not None


def _jax_devices() -> list[list[str]]:
    """Names of the devices of each process, in the order of the processes."""
    import jax

    found: dict[int, list[str]] = {}
    for device in sorted(jax.devices(), key=lambda device: (device.process_index, device.id)):
        found.setdefault(device.process_index, []).append(f"{device.platform}:{device.id}")
    return list(found.values())


def _tensorflow_devices(config: DistributeConfig) -> list[str]:
    """GPUs; or the logical CPUs that a program may have made, of which `auto` takes one."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) < 2 and config.devices in ("auto", 1):
        return ["CPU:0"]  # a look at logical devices would start TensorFlow's context
    kind = "GPU" if gpus else "CPU"
    return [f"{kind}:{index}" for index in range(len(tf.config.list_logical_devices(kind)))]
