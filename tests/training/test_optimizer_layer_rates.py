"""The optimizer over three stages, compared with NumPy, with a step count per variable."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers.optimizer_formulas import formula
from helpers.tiny_runs import DEPTH, layers_of, tiny_vit, tuning
from vit_keras.config import stages
from vit_keras.data import splits
from vit_keras.training import freezing, optimizer
from vit_keras.training.build_model import build_training_model
from vit_keras.training.plan import TrainingPlan

STEPS = 5  # of each stage
DECAY, LAYER_DECAY = 0.1, 0.5
RATES = {"head": 0.3, "last": 0.1, "everything": 0.05}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tiny_vit(tmp_path_factory.mktemp("file") / "vit.keras")


TRAINED = {
    "head": {"head"},
    "last": {"head", "encoder_norm", f"encoder_block_{DEPTH - 1}"},
}


def share(layer):
    """Of the rate, in the last stage."""
    if layer.startswith("encoder_block_"):
        return LAYER_DECAY ** (DEPTH - int(layer[-1]))
    return 1 if layer in ("encoder_norm", "head") else LAYER_DECAY ** (DEPTH + 1)


def by_formulas(name, weights, gradients):
    """Path -> the weights in the end, each variable with an optimizer of its own."""
    weights = {path: value.astype("float64") for path, value in weights.items()}
    own = {path: formula(name, path) for path in weights}
    for stage, rate in RATES.items():
        for step in range(STEPS):
            for path in weights:
                layer = path.partition("/")[0]
                if layer in TRAINED.get(stage, {layer}):
                    here = rate * (share(layer) if stage == "everything" else 1)
                    decayed = DECAY if path.endswith("kernel") else 0
                    shrunk = weights[path] * (1 - here * decayed)
                    weights[path] = shrunk + own[path].step(gradients[stage, step][path], here)
    return weights


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", optimizer.CLASSES)
def test_three_stages_equal_an_optimizer_for_each_variable(name, accumulate, file):
    """What was frozen begins as if the run began, what was not goes on as if it did not end."""
    config = tuning(
        file,
        *(f"optim={name}", f"optim.weight_decay={DECAY}", "optim.clip_norm=null"),
        *("optim.momentum=0.9", "optim.beta_1=0.9", "optim.beta_2=0.999"),
        f"optim.gradient_accumulation_steps={accumulate}",
        *("~stages.all", "+stages.last={trainable: {last: 1}}"),
        f"+stages.everything={{layer_decay: {LAYER_DECAY}}}",
    )
    vit, rng = keras.models.load_model(file), np.random.default_rng(0)
    start = {weight.path: ops.convert_to_numpy(weight).copy() for weight in vit.weights}
    gradients = {
        (stage, step): {path: rng.normal(size=value.shape) for path, value in start.items()}
        for stage in RATES
        for step in range(STEPS)
    }
    before, plan = None, stages.plan(config)
    for stage in plan:
        freezing.freeze(vit, stage)
        paths = [variable.path for variable in vit.trainable_variables]
        assert layers_of(paths) == TRAINED.get(stage.name, layers_of(start))
        multipliers = freezing.variable_multipliers(vit, stage)
        new = optimizer.build_optimizer(
            config.optim,
            vit,
            RATES[stage.name],
            multipliers if stage.name == "everything" else None,
            freezing.has_newly_trainable(vit, plan, stage.name),
        )
        new.build(vit.trainable_variables)
        if before is not None:
            optimizer.transfer_optimizer_state(before, new)
        before = new
        for step in range(STEPS):
            each = [ops.convert_to_tensor(gradients[stage.name, step][p], "float32") for p in paths]
            for _ in range(accumulate):
                new.apply(each)
    expected = by_formulas(name, start, gradients)
    for weight in vit.weights:
        move, expected_move = (
            end - start[weight.path]
            for end in (ops.convert_to_numpy(weight), expected[weight.path])
        )
        np.testing.assert_allclose(move, expected_move, rtol=1e-4, atol=1e-5, err_msg=weight.path)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="scales losses inside of `fit` alone")
def test_batches_that_float16_skips_are_not_counted(file):
    """Those whose gradients overflow. Counted, the first update after them would be no number."""
    config = tuning(
        file,
        *("train.precision=mixed_float16", "optim.warmup_ratio=0", "optim.weight_decay=0"),
        *("optim.clip_norm=null", "stages.all.layer_decay=1", "stages.all.learning_rate=5e-4"),
    )
    model, _ = build_training_model(config, splits.load_splits(config.data, 0), "mixed_float16")
    steps = 4
    plan = TrainingPlan(config, tuple(stages.plan(config)), steps)
    for stage, gradient, rate in zip(plan.stages, (np.inf, 1e6), (0, 5e-4), strict=True):
        model.configure_stage(stage, plan, stage.first_epoch * steps)
        for _ in range(steps):
            before = [ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]
            model.optimizer.apply([ops.full(weight.shape, gradient) for weight in before])
            for old, new in zip(before, model.trainable_weights, strict=True):
                moved = old - ops.convert_to_numpy(new)
                np.testing.assert_allclose(moved, np.full(old.shape, rate), rtol=1e-3)
