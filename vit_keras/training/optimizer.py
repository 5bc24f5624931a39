"""How the weights move: schedule, weight decay, and the precision that it is computed in."""

from typing import Any

import keras
from keras import ops

from vit_keras.config.schema import OptimConfig


def learning_rate_schedule(
    config: OptimConfig, epochs: int, steps_per_epoch: int, first_step: int = 0
) -> Any:
    """Linear warm-up from 0, then a cosine down to `final_lr_fraction` of the peak.

    Loshchilov & Hutter 2017 (SGDR), eq. 5 with one cycle, in steps of one batch; it begins at
    `first_step` of the run.
    """
    schedule = _schedule(config, epochs * steps_per_epoch)
    return OffsetSchedule(first_step, schedule) if first_step else schedule


class OffsetSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that begins at a later step than the optimizer's count."""

    def __init__(self, first_step: int, schedule: Any) -> None:
        self.first_step, self.schedule = first_step, schedule

    def __call__(self, step):
        # A batch whose update was skipped, in float16, is not counted.
        return self.schedule(ops.maximum(step - self.first_step, 0))

    def get_config(self):
        return {"first_step": self.first_step, "schedule": self.schedule}


def _schedule(config: OptimConfig, steps: int) -> Any:
    warmup = min(round(config.warmup_ratio * steps), steps - 1)
    rest = dict(decay_steps=steps - warmup, alpha=config.final_lr_fraction)
    schedule = keras.optimizers.schedules.CosineDecay
    if not warmup:
        return schedule(config.learning_rate, **rest)
    return schedule(0.0, warmup_target=config.learning_rate, warmup_steps=warmup, **rest)


class _LayerRates:
    """Mixed into an optimizer: variables that learn at shares of the rate, or joined later.

    A variable that joined at update s has taken t - s updates when the optimizer counts t. Adam
    corrects its averages for their start at zero by t (Kingma & Ba 2015, algorithm 1); the factor
    here makes that t - s, as an optimizer that counts for each variable has it.
    """

    def set_rates(self, shares: dict[str, float], decay: float) -> None:
        """By variable path; `decay` is the decoupled weight decay, on kernels alone."""
        self._shares, self._decay = shares, decay

    def build(self: Any, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)  # type: ignore[misc]
        # Kept and not worked out again: an optimizer that scales the loss skips some batches.
        self.joined = [
            self.add_variable((), "zeros", "int", name=f"{v.path.replace('/', '_')}_joined")
            for v in variables
        ]

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        of = self._trainable_variables[index]
        rate = ops.cast(learning_rate, variable.dtype) * self._shares[of.path]
        if self._decay and of.name.endswith("kernel"):
            self.assign_sub(variable, variable * rate * self._decay)
        if hasattr(self, "beta_1"):
            run = self.iterations + 1
            own = ops.cast(run - self.joined[index], variable.dtype)
            rate *= self._correction(own) / self._correction(ops.cast(run, variable.dtype))
        super().update_step(gradient, variable, rate)  # type: ignore[misc]

    def _correction(self: Any, updates: Any) -> Any:
        return ops.sqrt(1 - self.beta_2**updates) / (1 - self.beta_1**updates)


def build_optimizer(
    config: OptimConfig,
    model: keras.Model,
    rate: Any,
    shares: dict[str, float] | None = None,
    is_joined: bool = False,
) -> Any:
    """The optimizer that `config` names, built for `model`.

    Weight decay is decoupled and acts on kernels alone: biases, normalisations, the class token
    and the position embedding are left out.

    Args:
        config: its kind and numbers.
        model: its trainable variables are those that will move.
        rate: a schedule.
        shares: variable path -> its share of the rate, where they differ.
        is_joined: whether some variable begins later in the run than others; `carry_over` says.
    """
    adam = dict(beta_1=config.beta_1, beta_2=config.beta_2)
    decay = dict(weight_decay=config.weight_decay or None)
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "adamw": (keras.optimizers.AdamW, {**adam, "weight_decay": config.weight_decay}),
        "adam": (keras.optimizers.Adam, {**adam, **decay}),
        "sgd": (keras.optimizers.SGD, dict(momentum=config.momentum, nesterov=True, **decay)),
    }
    kind, own = kinds[config.name]
    paths = [variable.path for variable in model.trainable_variables]
    by_layer = shares is not None or is_joined
    if by_layer:
        kind = keras.optimizers.SGD if config.name == "sgd" else keras.optimizers.Adam
        kind = type(f"LayerRates{kind.__name__}", (_LayerRates, kind), {})
        own.pop("weight_decay", None)  # the mixin's, instead
    result = kind(
        name=config.name,
        learning_rate=rate,
        global_clipnorm=config.clip_norm,
        use_ema=config.ema_momentum is not None,
        ema_momentum=config.ema_momentum
        or 0.99,  # Keras checks the number even when it is not used
        gradient_accumulation_steps=config.gradient_accumulation_steps
        if config.gradient_accumulation_steps > 1
        else None,
        **own,
    )
    if by_layer:
        result.set_rates(shares or dict.fromkeys(paths, 1.0), config.weight_decay)
    elif config.weight_decay:
        undecayed = [v for v in model.trainable_variables if not v.name.endswith("kernel")]
        result.exclude_from_weight_decay(var_list=undecayed)
    return result


def transfer_optimizer_state(old: Any, new: Any) -> None:
    """Give `new`, which is built, the step count and the averages that `old` has for its variables.

    A variable that `old` did not train joins now: its averages start at zero, and the average of
    the weight itself at its value.
    """
    kept = {variable.path: variable for variable in old.variables}
    for variable in new.variables:
        if variable.path in kept and "learning_rate" not in variable.path:
            variable.assign(kept[variable.path])
    trained = {variable.path for variable in _inner(old)._trainable_variables}
    inner: Any = _inner(new)
    for index, variable in enumerate(inner._trainable_variables):
        if variable.path in trained:
            continue
        # Copies, because JAX gives each buffer away, once.
        if hasattr(inner, "joined"):
            inner.joined[index].assign(ops.copy(inner.iterations))
        if inner.use_ema:
            inner._model_variables_moving_average[index].assign(ops.copy(variable))


def _inner(optimizer: Any) -> Any:
    """What Keras may have wrapped to scale the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)
