"""Optimizer, weight decay and schedule, compared with their formulas; precision."""

import keras
import numpy as np
import pytest
from keras import ops

from vit_keras import SettingError, build_vit, load_config
from vit_keras.config.schema import OptimConfig
from vit_keras.training import optimizer
from vit_keras.training.learning_rate import learning_rate_schedule

CLASSES = optimizer.CLASSES


@pytest.fixture
def vit():
    """A tiny ViT with every weight away from 0."""
    model = build_vit(
        None,
        image_size=4,
        num_classes=3,
        channels=1,
        **dict(patch_size=2, width=4, depth=1, num_heads=2, mlp_dim=8),
    )
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1, weight.shape))
    return model


def values(model):
    return [ops.convert_to_numpy(weight).copy() for weight in model.trainable_weights]


def random_gradients(model, seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=w.shape).astype("float32") for w in model.trainable_weights]


def steps(model, config, gradients, rate=0.1):
    """Apply one list of gradients after another; how far each weight moved."""
    model_optimizer = optimizer.build_optimizer(config, model, rate)
    model_optimizer.build(model.trainable_variables)
    before = values(model)
    for each in gradients:
        model_optimizer.apply([ops.convert_to_tensor(g) for g in each])
    return [after - old for after, old in zip(values(model), before, strict=True)]


@pytest.mark.parametrize("final", [0.0, 0.1])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_the_rate_rises_linearly_then_falls_as_a_cosine(warmup, final):
    config = OptimConfig(learning_rate=0.3, warmup_ratio=warmup, final_lr_fraction=final)
    rate = learning_rate_schedule(config, epochs=5, steps_per_epoch=8)
    step = np.array([0, 1, 3, 4, 5, 19, 20, 21, 30, 39, 40, 45])  # 40 is the last, 4 or 20 the peak
    rise = round(40 * warmup)
    share = np.clip((step - rise) / (40 - rise), 0, 1)
    falling = 0.3 * (final + (1 - final) * (1 + np.cos(np.pi * share)) / 2)
    expected = np.where(step < rise, 0.3 * step / max(rise, 1), falling)
    rates = [float(rate(ops.convert_to_tensor(int(number)))) for number in step]
    np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("final", [0.0, 0.1])
@pytest.mark.parametrize("name", ["linear", "wsd", "constant"])
def test_the_rate_rises_then_falls_in_lines(name, final, warmup):
    """Also after an offset, and counted in updates of two batches each."""
    config = OptimConfig(
        schedule=name,
        **dict(learning_rate=0.3, warmup_ratio=warmup, final_lr_fraction=final, decay_ratio=0.25),
        gradient_accumulation_steps=2,
    )
    rate = learning_rate_schedule(config, epochs=5, steps_per_epoch=16, first_step=20)
    again = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate))
    rise, step = round(40 * warmup), np.arange(45)
    start = {"linear": rise, "wsd": 30, "constant": 40}[name]
    corners = [(0, 0.0), (rise, 0.3)] if rise else [(0, 0.3)]
    corners += [(start, 0.3), (40, 0.3 if name == "constant" else 0.3 * final)]
    expected = np.interp(step, *zip(*corners, strict=True))
    for one in (rate, again):
        rates = [float(one(ops.convert_to_tensor(int(20 + 2 * number + 1)))) for number in step]
        np.testing.assert_allclose(rates, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (("optim.warmup_ratio=0.85",), r"optim\.warmup_ratio=0\.85 .*decay_ratio=0\.15 or less"),
        (
            ("optim.warmup_ratio=0", "train.epochs=null", "+stages.all={warmup_ratio: 0.9}"),
            r"^stages\.all\.warmup_ratio=0\.9 and optim\.decay_ratio=0\.2 are together more than",
        ),
    ],
)
def test_a_warm_up_into_the_decay_is_refused(settings, named):
    with pytest.raises(SettingError, match=named):
        load_config("optim.schedule=wsd", *settings)


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd", "constant"])
@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_a_run_of_a_few_steps_may_be_all_warm_up(epochs, name):
    """As in a smoke test; `optim.warmup_ratio` allows 0.9."""
    config = OptimConfig(warmup_ratio=0.9, schedule=name, decay_ratio=0.1)
    rate = learning_rate_schedule(config, epochs, steps_per_epoch=1)
    assert np.isfinite([float(rate(step)) for step in range(epochs + 1)]).all()


def test_the_schedule_ends_with_the_batches_also_when_they_are_accumulated(vit):
    config = OptimConfig(name="sgd", learning_rate=0.5, gradient_accumulation_steps=4)
    rate = learning_rate_schedule(config, epochs=2, steps_per_epoch=4)
    sgd = optimizer.build_optimizer(config, vit, rate)
    sgd.build(vit.trainable_variables)
    for _ in range(8):
        sgd.apply([ops.zeros(weight.shape) for weight in vit.trainable_weights])
    assert float(sgd.learning_rate) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("name", CLASSES)
def test_weight_decay_shrinks_kernels_and_nothing_else(name, accumulate, vit):
    """With gradients of zero, so that nothing else moves; once an update, not once a batch."""
    config = OptimConfig(name=name, weight_decay=0.05, gradient_accumulation_steps=accumulate)
    before = values(vit)
    zeros = [np.zeros(weight.shape, "float32") for weight in vit.trainable_weights]
    moves = steps(vit, config, [zeros] * accumulate, rate=0.1)
    names = [weight.path.split("/")[-1] for weight in vit.trainable_weights]
    others = {"bias", "gamma", "beta", "class_token", "position_embedding"}
    assert set(names) == {"kernel"} | others
    for kind, old, move in zip(names, before, moves, strict=True):
        expected = -0.1 * 0.05 * old if kind == "kernel" else np.zeros_like(old)
        np.testing.assert_allclose(move, expected, rtol=1e-3, atol=0, err_msg=kind)


@pytest.mark.parametrize(("clip", "scale"), [(None, 1), (100.0, 1), (2.0, 2.0)])
def test_gradients_are_clipped_together(clip, scale, vit):
    """By the norm of all, so that their direction stays; plain descent shows them as they are."""
    config = OptimConfig(name="sgd", momentum=0.0, clip_norm=clip)
    gradients = random_gradients(vit, 1)
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    assert 2 < norm < 100
    moves = steps(vit, config, [gradients], rate=0.1)
    for move, gradient in zip(moves, gradients, strict=True):
        expected = -0.1 * gradient * (scale / norm if clip == 2.0 else 1)
        np.testing.assert_allclose(move, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", CLASSES)
def test_accumulating_equal_batches_is_one_update(name, vit):
    start = values(vit)
    settings = dict(name=name, weight_decay=0.05, clip_norm=1.0)
    gradients = [random_gradients(vit, seed) for seed in (1, 2)]
    at_once = steps(vit, OptimConfig(**settings), gradients)
    vit.set_weights(start)
    thrice = [each for each in gradients for _ in range(3)]
    in_parts = steps(vit, OptimConfig(gradient_accumulation_steps=3, **settings), thrice)
    for one, other in zip(at_once, in_parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-6)


def test_accumulating_waits_for_all_batches(vit):
    config = OptimConfig(name="sgd", gradient_accumulation_steps=3)
    moves = steps(vit, config, [random_gradients(vit, 1)] * 2)
    assert not any(move.any() for move in moves)


@pytest.mark.parametrize("name", CLASSES)
def test_the_optimizer_has_the_settings_asked_for(name, vit):
    config = OptimConfig(
        name=name,
        momentum=0.8,
        beta_1=0.7,
        beta_2=0.95,
        clip_norm=2.5,
        ema_momentum=0.9,
        weight_decay=0.01,
    )
    made = optimizer.build_optimizer(config, vit, 0.25)
    assert type(made) is CLASSES[name]
    settings = made.get_config()
    expected = dict(learning_rate=0.25, global_clipnorm=2.5, use_ema=True, ema_momentum=0.9)
    expected["weight_decay"] = 0.01
    own = {} if name == "sgd" else dict(beta_1=0.7, beta_2=0.95)
    own |= dict(momentum=0.8) if name in ("sgd", "muon") else {}
    for key, value in {**expected, **own}.items():
        assert settings[key] == pytest.approx(value), key


@pytest.mark.parametrize("name", CLASSES)
def test_optimizer_options_are_off_by_default(name, vit):
    settings = optimizer.build_optimizer(OptimConfig(name=name), vit, 0.1).get_config()
    for key in ("global_clipnorm", "clipnorm", "clipvalue", "gradient_accumulation_steps"):
        assert settings[key] is None, key
    assert settings["use_ema"] is False
    moves = steps(vit, OptimConfig(name=name), [[np.zeros(w.shape) for w in vit.trainable_weights]])
    assert not any(move.any() for move in moves)  # Keras' AdamW decays unless told not to
