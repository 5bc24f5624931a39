"""How the weights move: schedule, weight decay, and the precision that it is computed in."""

from typing import Any, NamedTuple

import keras

from vit_keras.config import OptimConfig


class Precision(NamedTuple):
    """A Keras dtype policy and why it was chosen."""

    policy: str
    reason: str


def learning_rate(config: OptimConfig, epochs: int, steps_per_epoch: int) -> Any:
    """Linear warm-up from 0, then a cosine down to `final_learning_rate` of the peak.

    Loshchilov & Hutter 2017 (SGDR), eq. 5 with one cycle, in steps of one batch.
    """
    steps = epochs * steps_per_epoch
    warmup = min(round(config.warmup_ratio * steps), steps - 1)
    rest = dict(decay_steps=steps - warmup, alpha=config.final_learning_rate)
    schedule = keras.optimizers.schedules.CosineDecay
    if not warmup:
        return schedule(config.learning_rate, **rest)
    return schedule(0.0, warmup_target=config.learning_rate, warmup_steps=warmup, **rest)


def optimizer(config: OptimConfig, model: keras.Model, rate: Any) -> Any:
    """The optimizer that `config` names, built for `model`.

    Weight decay is decoupled and acts on kernels alone: biases, normalisations, the class token
    and the position embedding are left out.
    """
    adam = dict(beta_1=config.beta_1, beta_2=config.beta_2)
    decay = dict(weight_decay=config.weight_decay or None)
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "adamw": (keras.optimizers.AdamW, {**adam, "weight_decay": config.weight_decay}),
        "adam": (keras.optimizers.Adam, {**adam, **decay}),
        "sgd": (keras.optimizers.SGD, dict(momentum=config.momentum, nesterov=True, **decay)),
    }
    kind, own = kinds[config.name]
    result = kind(
        name=config.name,
        learning_rate=rate,
        global_clipnorm=config.clip_norm,
        use_ema=config.ema is not None,
        ema_momentum=config.ema or 0.99,  # Keras checks the number even when it is not used
        gradient_accumulation_steps=config.accumulate_steps
        if config.accumulate_steps > 1
        else None,
        **own,
    )
    if config.weight_decay:
        undecayed = [v for v in model.trainable_variables if not v.name.endswith("kernel")]
        result.exclude_from_weight_decay(var_list=undecayed)
    return result


def precision(asked: str) -> Precision:
    """What `train.precision` means on this machine: `auto` is resolved, the rest taken as it is."""
    if asked != "auto":
        return Precision(asked, "as train.precision asks")
    capability = _compute_capability()
    if capability is None:
        return Precision("float32", "no GPU: half precision is emulated or slower on most CPUs")
    name = f"GPU of compute capability {capability[0]}.{capability[1]}"
    if capability >= (8, 0):
        return Precision("mixed_bfloat16", f"{name}: bfloat16 in hardware, no loss scaling needed")
    return Precision("mixed_float16", f"{name}: float16 in hardware, with loss scaling")


def _compute_capability() -> tuple[int, int] | None:
    """Of the first GPU that the backend sees; None without one."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        details = tf.config.experimental.get_device_details(gpus[0]) if gpus else {}
        return details.get("compute_capability", (0, 0)) if gpus else None
    import jax

    device = jax.devices()[0]
    if device.platform != "gpu":
        return None
    major, _, minor = str(getattr(device, "compute_capability", "0.0")).partition(".")
    return int(major), int(minor or 0)
