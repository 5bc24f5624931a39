"""Decide `auto` of `train.precision`, `jit_compile` and `batch_size` by timing the training step.

Which of float32 and half precision, with and without XLA, is fastest depends on the processor, the
model and the versions. A few steps of each sensible pair cost a minute, most of it compilation, so
a short training is not worth it and takes the default pair.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from typing import Any

import keras
import numpy as np
from keras import ops

from vit_keras import backend
from vit_keras.config.schema import Config, TrainConfig
from vit_keras.config.stages import PARTS, Stage
from vit_keras.data.dataset import Splits
from vit_keras.errors import SettingError, is_out_of_memory
from vit_keras.io.parallel import available_cores
from vit_keras.logs import log
from vit_keras.model.vit import describe
from vit_keras.text import first_line
from vit_keras.training import batch_size, processor, speed_memory, step_time
from vit_keras.training.environment import versions
from vit_keras.training.plan import TrainingPlan
from vit_keras.training.precision import Precision, resolve_precision
from vit_keras.training.step_time import Pair

MIN_SECONDS = 180.0  # a training that is expected to take less is not worth the measurement
MARGIN = 1.05  # how much faster than the default a pair has to be
SMALL = 5e12  # FLOP of a training that takes no more than a minute or two on any machine
MAX_SIDE = 1_000_000
EFFICIENCY = 0.5  # speed of a training step as a fraction of that of a large product of matrices


def default_pair(train: TrainConfig) -> tuple[Pair, str]:
    """The pair without a measurement, and why: XLA wherever it can be, precision by the device."""
    precision = resolve_precision(train.precision)
    # Keras' own "auto" leaves XLA off on a CPU, where it mostly makes a float32 step faster.
    # TensorFlow's strategies cannot use it.
    has_strategy = keras.backend.backend() == "tensorflow" and backend.replicas() > 1
    xla: Any = str(train.jit_compile).lower() != "false"
    if train.jit_compile == "layers" and keras.backend.backend() == "tensorflow":
        xla = "layers"
    return Pair(precision.policy, False if has_strategy else xla), precision.reason


def with_pair(config: Config, pair: Pair) -> Config:
    """`config` with the pair that was decided in the place of `auto`."""
    train = replace(config.train, precision=pair.policy, jit_compile=pair.xla)
    return replace(config, train=train)


def candidates(train: TrainConfig, default: Pair) -> list[Pair]:
    """The pairs that the settings allow and that may be fastest here, the default one first."""
    policies, compiled = [default.policy], [default.xla]
    is_cpu = default.policy == "float32"
    if train.precision == "auto" and is_cpu and processor.has_bfloat16():
        policies.append("mixed_bfloat16")
    # Keras runs on JAX compiled or operation by operation, which is never faster.
    if is_auto(train.jit_compile) and default.xla and keras.backend.backend() != "jax":
        compiled.append("layers")
    pairs = [Pair(policy, xla) for policy in policies for xla in compiled]
    # XLA computes products of bfloat16 in float32 on a CPU, which oneDNN need not.
    is_emulated = len(policies) > 1 and len(compiled) > 1
    return [pair for pair in pairs if not (is_emulated and pair == Pair("mixed_bfloat16", True))]


def is_auto(value: Any) -> bool:
    return str(value).lower() == "auto"


def tune(
    asked: Config, plan: TrainingPlan, splits: Splits, vit: keras.Model, may_measure: bool
) -> tuple[Config, Precision] | None:
    """What is fastest for this training, and how it is known; None where the default is.

    Args:
        asked: the configuration of the run, with `auto` in it.
        plan: of the same run, with the default pair and batch size.
        splits: batches of the training images are trained on, by models that are then dropped.
        vit: the model that is to be trained, in the default precision.
        may_measure: whether to measure what was not measured before.

    Raises:
        SettingError: no pair works.
    """
    default, reason = default_pair(asked.train)
    pairs = {str(pair): pair for pair in candidates(asked.train, default)}
    stage = _largest_stage(plan.stages)
    is_on = asked.train.autotune and asked.run.resume is None  # a resumed run goes on as it began
    is_open = len(pairs) > 1 or batch_size.is_auto(asked)
    if not (is_on and is_open) or stage.kind == "head":
        return None
    try:
        timer = _Timer(plan, splits, stage, vit, may_measure)
    except SettingError:  # a wrapped SavedModel, which is float32 whatever the precision
        return None
    config, precision = with_pair(asked, default), Precision(default.policy, reason)
    speeds = timer.of_pairs(pairs) if len(pairs) > 1 else {}
    if speeds:
        pair = fastest({pairs[name]: speed for name, speed in speeds.items()}, default)
        config = with_pair(asked, pair)
        precision = Precision(pair.policy, _reason(pair, speeds, timer.source))
    if not batch_size.is_auto(asked):
        return (config, precision) if speeds else None
    sizes = timer.of_sizes(Pair(config.train.precision, config.train.jit_compile))
    size = batch_size.smallest(sizes) if sizes else plan.config.train.batch_size
    figures = ", ".join(f"{size} {speed:,.0f}" for size, speed in sizes.items())
    how = f"images/s by size: {figures}; {timer.source}" if sizes else "not measured"
    log.info("train.batch_size=auto is %d (%s); the learning rate is as it was set", size, how)
    return (batch_size.with_size(config, size), precision) if speeds or sizes else None


class _Timer:
    """Speeds of the training step of a run: measured before, or now if that is worth it.

    Attributes:
        source: of the latest speeds, in words.
    """

    def __init__(
        self, plan: TrainingPlan, splits: Splits, stage: Stage, vit: keras.Model, may_measure: bool
    ) -> None:
        self.plan, self.splits, self.stage = plan, splits, stage
        self.key = _key(plan.config, stage, vit)
        self.may_measure = may_measure
        self.seconds = _expected_seconds(plan, vit)
        self.source = ""

    def of_pairs(self, pairs: dict[str, Pair]) -> dict[str, float]:
        """By the name of the pair; without those that do not work."""

        def timed() -> dict[str, float]:
            return {str(pair): speed for pair, speed in measure(pairs.values(), self._time).items()}

        return self._speeds({"batch_size": self.plan.config.train.batch_size}, list(pairs), timed)

    def of_sizes(self, pair: Pair) -> dict[int, float]:
        """By batch size, in this pair."""
        repeats = self.plan.config.augment.repeated_augmentation
        sizes = batch_size.sizes(len(self.splits.train.labels), repeats)

        def timed() -> dict[str, float]:
            speeds = batch_size.measure(sizes, lambda size: self._time(pair, size))
            return {str(size): speed for size, speed in speeds.items()}

        speeds = self._speeds({"computed": str(pair)}, list(map(str, sizes)), timed)
        return {int(size): speed for size, speed in speeds.items()}

    def _time(self, pair: Pair, size: int | None = None) -> float:
        config = batch_size.with_size(self.plan.config, size or self.plan.config.train.batch_size)
        plan = replace(self.plan, config=config)
        return step_time.images_per_second(plan, self.splits, self.stage, pair)

    def _speeds(
        self, of: dict[str, Any], names: list[str], timed: Callable[[], dict[str, float]]
    ) -> dict[str, float]:
        key = {**self.key, **of}
        self.source = "measured before"
        if found := speed_memory.recall(key, names):
            return found
        if not self.may_measure or self.seconds < MIN_SECONDS:
            return {}
        started = time.perf_counter()
        log.info("timing the training step: %s", ", ".join(names))
        found = timed()
        self.source = f"measured in {time.perf_counter() - started:.0f} s"
        speed_memory.remember(key, names, found)
        return found


def measure(pairs: Iterable[Pair], speed: Callable[[Pair], float]) -> dict[Pair, float]:
    """`speed` of each pair that works.

    Raises:
        SettingError: none does.
    """
    speeds: dict[Pair, float] = {}
    last: Exception | None = None
    for pair in pairs:
        try:
            speeds[pair] = speed(pair)
        except Exception as error:  # of the compiler, the kernels or the memory, with no base class
            log.debug("%s does not work: %s", pair, error)
            last = error
    if speeds or last is None:
        return speeds
    if is_out_of_memory(last):
        raise last
    raise SettingError(
        f"train.precision=auto and train.jit_compile=auto: this model trains neither as "
        f"{' nor as '.join(map(str, pairs))} ({first_line(last)}); train.autotune=false takes the "
        "first of them without trying, or set both"
    ) from last


def fastest(speeds: dict[Pair, float], default: Pair) -> Pair:
    """The fastest pair; the default one unless another is faster by more than the noise."""
    best = max(speeds, key=lambda pair: speeds[pair])
    return default if speeds[best] < MARGIN * speeds.get(default, 0.0) else best


def _reason(pair: Pair, speeds: dict[str, float], source: str) -> str:
    rest = {name: speed for name, speed in speeds.items() if name != str(pair)}
    others = ", ".join(f"{name} {speed:,.0f}" for name, speed in rest.items())
    own = f"{pair.xla_text}, {speeds[str(pair)]:,.0f} images/s"
    return f"{own}; {others or 'no other works'}; {source}"


def _largest_stage(stages: Iterable[Stage]) -> Stage:
    """The one that trains most: all layers, else some of them, on the largest images."""
    order = ("all", "last", *PARTS, "prompt", "head")
    own = (MAX_SIDE, MAX_SIDE)  # the model's own size, which no stage exceeds
    return min(stages, key=lambda s: (order.index(s.kind), -math.prod(s.image_size or own)))


def _key(config: Config, stage: Stage, vit: keras.Model) -> dict[str, Any]:
    """What all speeds depend on."""
    return {
        "processor": processor.name(),
        "cores": available_cores(),
        "devices": backend.devices(),
        "backend": keras.backend.backend(),
        "versions": versions(),
        "model": describe(vit),
        "stage": stage.kind,
        "image_size": stage.image_size,
        "augment": asdict(config.augment) if stage.augment else None,
        "optimizer": config.optim.name,
        **({"teacher": config.train.teacher} if config.train.teacher else {}),
    }


def _expected_seconds(plan: TrainingPlan, vit: keras.Model) -> float:
    """About what the training will take, without compiling anything."""
    tokens = vit.get_layer("encoder_block_0").output.shape[1]
    forward = 2 * vit.count_params() * tokens  # FLOP per image: a multiply-add per weight and token
    images = plan.steps_per_epoch * plan.config.train.batch_size
    # A backward pass takes two forward ones; a stage of the head alone hardly has one.
    passes = sum(stage.epochs * (1 if stage.kind == "head" else 3) for stage in plan.stages)
    flop = passes * images * forward
    if flop < SMALL:
        return 0.0
    return flop / (EFFICIENCY * _product_rate())


def _product_rate() -> float:
    """FLOP per second of float32 products of matrices on this device."""
    side, repeats = (1024, 8) if backend.devices()[0].startswith("CPU") else (4096, 32)
    a = ops.convert_to_tensor(np.full((side, side), 1 / side, "float32"))
    product = ops.matmul(a, a)  # the first one starts threads
    ops.convert_to_numpy(product[0, 0])
    started = time.perf_counter()
    for _ in range(repeats):
        product = ops.matmul(a, product)
    ops.convert_to_numpy(product[0, 0])
    return repeats * 2 * side**3 / (time.perf_counter() - started)
