"""Optimizer, weight decay and per-layer learning rates; the schedule is in `learning_rate.py`."""

from typing import Any

import keras
from keras import ops

from vit_keras.config.schema import OptimConfig
from vit_keras.training import muon

CLASSES = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "sgd": keras.optimizers.SGD,
    "lion": keras.optimizers.Lion,
    "muon": muon.Muon,
}


class _PerVariableRates:
    """Mixin for an optimizer: learning-rate multipliers, and variables that begin to train later.

    A variable that begins to train at update s has had t - s updates when the optimizer has counted
    t. Adam's bias correction (Kingma & Ba 2015, algorithm 1) uses t; the rate is scaled here so
    that it is corrected by t - s, as in an optimizer that counts for each variable.
    """

    def set_multipliers(self, multipliers: dict[str, float], weight_decay: float) -> None:
        """By variable path. `weight_decay` is decoupled, and acts on kernels alone."""
        self._multipliers, self._kernel_decay = multipliers, weight_decay

    def build(self: Any, variables: list[Any]) -> None:
        if self.built:
            return
        super().build(variables)  # type: ignore[misc]
        # State, not derived from the step of the run: loss scaling skips updates. "joined" in the
        # names is part of the checkpoint format.
        self.first_updates = [
            self.add_variable((), "zeros", "int", name=f"{v.path.replace('/', '_')}_joined")
            for v in variables
        ]

    def update_step(self: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        # On TensorFlow, `variable` is the tf.Variable, which has no path.
        model_variable = self._trainable_variables[index]
        rate = ops.cast(learning_rate, variable.dtype) * self._multipliers[model_variable.path]
        if self._kernel_decay and model_variable.name.endswith("kernel"):
            self.assign_sub(variable, variable * rate * self._kernel_decay)
        if self._has_bias_correction(model_variable):
            counted = self.iterations + 1
            updates = ops.cast(counted - self.first_updates[index], variable.dtype)
            counted = ops.cast(counted, variable.dtype)
            rate *= self._bias_correction(updates) / self._bias_correction(counted)
        super().update_step(gradient, variable, rate)  # type: ignore[misc]

    def _has_bias_correction(self: Any, variable: Any) -> bool:
        if isinstance(self, muon.Muon):
            return self._should_use_adamw(variable)
        return isinstance(self, keras.optimizers.Adam)

    def _bias_correction(self: Any, updates: Any) -> Any:
        return ops.sqrt(1 - self.beta_2**updates) / (1 - self.beta_1**updates)


class _AveragePerUpdate:
    """Mixin: under gradient accumulation the moving average moves with each update.

    Keras' own moves with each batch, towards weights that have not changed since the last one: by
    the momentum to the power of the batches in an update.
    """

    def _update_model_variables_moving_average(self: Any, trainable_variables: Any) -> None:
        is_update = (self._iterations + 1) % self.gradient_accumulation_steps == 0
        # Until the first update is over, the average is the weight itself, as in Keras.
        moves = ops.logical_or(is_update, self.iterations == 0)
        averages = self._model_variables_moving_average
        before = [ops.copy(average) for average in averages]
        super()._update_model_variables_moving_average(trainable_variables)  # type: ignore[misc]
        for average, old in zip(averages, before, strict=True):
            average.assign(ops.where(moves, ops.convert_to_tensor(average), old))


def build_optimizer(
    config: OptimConfig,
    model: keras.Model,
    learning_rate: Any,
    multipliers: dict[str, float] | None = None,
    newly_trainable: bool = False,
) -> Any:
    """The optimizer that `config` names, for the trainable variables of `model`.

    Weight decay is decoupled and acts on kernels alone, not on biases, normalisations, the class
    token or the position embedding.

    Args:
        config: its kind and hyperparameters.
        model: its trainable variables are updated.
        learning_rate: a number or a schedule.
        multipliers: variable path -> learning-rate multiplier, where they differ.
        newly_trainable: some variables begin to train later in the run than others;
            `transfer_optimizer_state` sets when.
    """
    optimizer_class, arguments = CLASSES[config.name], _hyperparameters(config, model)
    # None where there is none, so that Keras skips the step; AdamW alone refuses None.
    no_decay = 0.0 if config.name == "adamw" else None
    arguments["weight_decay"] = config.weight_decay or no_decay
    per_variable = multipliers is not None or newly_trainable
    if per_variable:
        base = keras.optimizers.Adam if config.name == "adamw" else optimizer_class
        optimizer_class = type(f"PerVariableRates{base.__name__}", (_PerVariableRates, base), {})
        arguments["weight_decay"] = None  # the mixin applies it
    accumulate = config.gradient_accumulation_steps
    if accumulate > 1 and config.step_unit == "update":
        bases = (_AveragePerUpdate, optimizer_class)
        optimizer_class = type(f"Accumulating{optimizer_class.__name__}", bases, {})
    optimizer = optimizer_class(
        name=config.name,
        learning_rate=learning_rate,
        global_clipnorm=config.clip_norm,
        use_ema=config.ema_momentum is not None,
        # Keras checks the number even when it is not used.
        ema_momentum=config.ema_momentum or 0.99,
        gradient_accumulation_steps=accumulate if accumulate > 1 else None,
        **arguments,
    )
    if per_variable:
        paths = [variable.path for variable in model.trainable_variables]
        optimizer.set_multipliers(multipliers or dict.fromkeys(paths, 1.0), config.weight_decay)
    elif config.weight_decay:
        undecayed = [v for v in model.trainable_variables if not v.name.endswith("kernel")]
        optimizer.exclude_from_weight_decay(var_list=undecayed)
    return optimizer


def _hyperparameters(config: OptimConfig, model: keras.Model) -> dict[str, Any]:
    if config.name == "sgd":
        return dict(momentum=config.momentum, nesterov=True)
    betas = dict(beta_1=config.beta_1, beta_2=config.beta_2)
    if config.name == "muon":
        kernels = muon.matrices_of_blocks(model)
        return dict(momentum=config.momentum, nesterov=True, kernels=kernels, **betas)
    return betas


def transfer_optimizer_state(old: Any, new: Any) -> None:
    """Copy the step count and the moments of `old` into `new`, which is built.

    A variable that `old` did not train begins now: its moments are zero, and the moving average of
    the weight is the weight.
    """
    old_values = {variable.path: variable for variable in old.variables}
    for variable in new.variables:
        if variable.path in old_values and "learning_rate" not in variable.path:
            variable.assign(old_values[variable.path])
    trained = {variable.path for variable in _inner(old)._trainable_variables}
    inner: Any = _inner(new)
    for index, variable in enumerate(inner._trainable_variables):
        if variable.path in trained:
            continue
        # Copies, because JAX donates each buffer, once.
        if hasattr(inner, "first_updates"):
            inner.first_updates[index].assign(ops.copy(inner.iterations))
        if inner.use_ema:
            inner._model_variables_moving_average[index].assign(ops.copy(variable))


def last_learning_rate(optimizer: Any) -> float:
    """The learning rate of the latest update; the optimizer's own is that of the next batch."""
    inner = _inner(optimizer)
    batches = int(ops.convert_to_numpy(inner._iterations))
    # The batches after the latest update are still being accumulated.
    of_updates = batches - batches % (inner.gradient_accumulation_steps or 1)
    return float(inner._learning_rate(max(of_updates, 1) - 1))


def _inner(optimizer: Any) -> Any:
    """The optimizer inside Keras' LossScaleOptimizer, where there is one."""
    return getattr(optimizer, "inner_optimizer", optimizer)
