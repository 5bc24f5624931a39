"""Each optional architecture feature in a complete model: parameters, saving and training."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import ops

from helpers.paths import SAVED_MODELS
from vit_keras import SettingError, build_vit, features, load_pretrained
from vit_keras.model.vit import describe

RELEASED = SAVED_MODELS / "digits" / "best.keras"
P, D, L, H, M, CLASSES = 4, 16, 2, 4, 32, 5
K, N = D // H, 6  # 8x12 pixels in patches of 4x4
SIZES = dict(patch_size=P, width=D, depth=L, num_heads=H, mlp_dim=M)

NORM = 2 * D
MLP = D * M + M + M * D + D
PLAIN = (
    (P * P * 3 * D + D)  # patches
    + D  # class token
    + (N + 1) * D  # positions
    + L * (NORM + 4 * (D * D + D) + NORM + MLP)
    + NORM
    + (D + 1) * CLASSES
)
# Settings, and the parameters that they add to the plain model's.
CASES = {
    "rope2d": (dict(position="rope2d"), -(N + 1) * D),
    "rope_mixed": (dict(position="rope_mixed"), L * 2 * H * (K // 2) - (N + 1) * D),
    "no_position": (dict(position="none"), -(N + 1) * D),
    "registers": (dict(registers=3), 3 * D),
    "distillation_token": (dict(distillation_token=True), 2 * D + (D + 1) * CLASSES),
    "layer_scale": (dict(layer_scale=1e-2), L * 2 * D),
    "qk_norm": (dict(qk_norm=True), L * 2 * K),
    "swiglu": (dict(mlp="swiglu"), L * (D * M + M)),
    "relu2": (dict(mlp="relu2"), 0),
    "no_bias": (dict(bias=False), -L * (4 * D + M + D)),
    "map": (dict(pool="map"), D + 4 * (D * D + D) + NORM + MLP - 2 * D),
    "patch_dropout": (dict(patch_dropout=0.4), 0),
    # 3x3 convolutions to 8 and 16 channels, each with four vectors of batch normalisation
    "conv": (dict(stem="conv"), 9 * (3 * 8 + 8 * D) + 4 * (8 + D) + D * D - P * P * 3 * D),
    # 3x3 convolutions to 64 and 16 channels; a score of each token, and no class token
    "cct": (
        dict(stem="cct", pool="seq"),
        9 * (3 * 64 + 64 * D) - (P * P * 3 * D + D) + (D + 1) - 2 * D,
    ),
    "parallel": (dict(parallel=True), -L * NORM),
    "all": (
        dict(
            position="rope_mixed",
            registers=2,
            pre_norm=True,
            layer_scale=0.1,
            qk_norm=True,
            mlp="swiglu",
            pool="map",
            patch_dropout=0.4,
            stem="conv",
            parallel=True,
        ),
        sum(
            (
                -D - (N + 1) * D + L * 2 * H * (K // 2),  # neither class token nor positions
                2 * D + NORM,
                L * (2 * D + 2 * K + D * M + M - NORM),
                D + 4 * (D * D + D) + NORM + MLP,
                9 * (3 * 8 + 8 * D) + 4 * (8 + D) + D * D - P * P * 3 * D,
            )
        ),
    ),
}
# Those whose layers compute in ways of their own; compiling each takes JAX seconds.
ON_JAX = ("rope_mixed", "distillation_token", "cct", "map", "all")
SOME_ON_JAX = [
    pytest.param(case, marks=[pytest.mark.jax] if case in ON_JAX else []) for case in CASES
]
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (10, 8, 12, 3)).astype("uint8")
LABELS = np.arange(10) % CLASSES


@pytest.fixture(autouse=True)
def fixed_seed():
    keras.utils.set_random_seed(0)


def tiny(**settings):
    return build_vit(None, **{**SIZES, "image_size": (8, 12), "num_classes": CLASSES, **settings})


def compiled(model, **how):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(4e-3), loss, **how)
    return model


def logits(model, images=IMAGES):
    return ops.convert_to_numpy(model(images, training=False))


@pytest.mark.parametrize("case", SOME_ON_JAX)
def test_a_switch_counts_learns_saves_and_describes_itself(case, tmp_path):
    settings, added = CASES[case]
    model = tiny(**settings)
    assert model.count_params() == PLAIN + added

    compiled(model, jit_compile=keras.backend.backend() == "jax")
    losses = [float(model.train_on_batch(IMAGES, LABELS)) for _ in range(80)]
    assert losses[0] == pytest.approx(np.log(CLASSES), rel=1e-3)
    np.testing.assert_array_equal(logits(model).argmax(axis=-1), LABELS)

    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_array_equal(logits(again), logits(model))
    assert settings.items() <= describe(again).items()


@pytest.mark.jax
@pytest.mark.parametrize(
    ("position", "stem"),
    [
        ("learned", "patch"),
        ("sincos2d", "conv"),
        ("rope2d", "cct"),
        ("rope_mixed", "patch"),
        ("none", "patch"),
    ],
)
def test_a_model_is_read_for_images_of_another_size(position, stem, tmp_path):
    """The same weights, and more patches than it was built for; learned positions are resized."""
    model = tiny(position=position, registers=2, stem=stem)
    model.save(tmp_path / "model.keras")
    larger = load_pretrained(str(tmp_path / "model.keras"), image_size=16, patch_dropout=0.5)
    assert larger.get_layer("encoder_norm").output.shape == (None, 3 + 16, D)
    assert np.isfinite(logits(larger, RNG.integers(0, 256, (2, 16, 16, 3)))).all()
    weights = {weight.path: weight for weight in model.weights}
    assert {weight.path for weight in larger.weights} == weights.keys()
    for weight in larger.weights:
        if weight.path != "position_embedding/position_embedding":
            np.testing.assert_array_equal(
                ops.convert_to_numpy(weight), ops.convert_to_numpy(weights[weight.path])
            )


@pytest.mark.parametrize("case", SOME_ON_JAX)
def test_a_switch_trains_in_half_precision(case):
    model = compiled(tiny(dtype="mixed_bfloat16", **CASES[case][0]), run_eagerly=True)
    assert np.isfinite(float(model.train_on_batch(IMAGES, LABELS)))
    assert model.output.dtype == "float32"
    assert all(np.isfinite(ops.convert_to_numpy(weight)).all() for weight in model.weights)
    result = logits(model)
    assert result.dtype == np.float32
    assert np.isfinite(result).all()


def is_subset(part, whole):
    if isinstance(part, dict):  # Keras finds a class by its registered name, whatever its module
        names = part.keys() - {"module"}
        return all(name in whole and is_subset(part[name], whole[name]) for name in names)
    if isinstance(part, list):
        return len(part) == len(whole) and all(map(is_subset, part, whole))
    return part == whole


@pytest.mark.jax
def test_a_released_model_has_the_same_configuration():
    """A layer configuration lists every argument; a released file may lack those added later."""
    with zipfile.ZipFile(RELEASED) as archive:
        released = json.loads(archive.read("config.json"))["config"]
    model = keras.models.load_model(RELEASED)
    ours = build_vit(None, name=model.name, **describe(model))
    config, again = (
        json.loads(json.dumps(keras.saving.serialize_keras_object(vit)))["config"]
        for vit in (model, ours)
    )
    assert again == config
    assert is_subset(released, config)


@pytest.mark.jax
def test_without_positions_patches_are_a_set():
    model = compiled(tiny(position="none", pool="mean"), run_eagerly=True)
    model.train_on_batch(IMAGES, LABELS)  # the head starts as zeros
    patches = IMAGES.reshape(10, 2, 4, 3, 4, 3)
    moved = patches[:, ::-1][:, :, :, ::-1].reshape(IMAGES.shape)
    np.testing.assert_allclose(logits(model, moved), logits(model), rtol=1e-4, atol=1e-6)


@pytest.mark.jax
@pytest.mark.parametrize("pool", ["token", "mean", "seq", "map"])
def test_registers_are_read_by_nobody_in_the_end(pool):
    """What the last block wrote into them does not reach the pooling."""
    model = tiny(registers=3, pool=pool, num_classes=0)
    top = keras.Model(model.get_layer("encoder_norm").input, model.output)
    z = RNG.normal(size=(2, 3 + N + (pool == "token"), D)).astype("float32")
    first = 1 if pool == "token" else 0
    other = z.copy()
    other[:, first : first + 3] = 7
    np.testing.assert_array_equal(ops.convert_to_numpy(top(other)), ops.convert_to_numpy(top(z)))
    other[:, first - 1 if pool == "token" else 3] = 7  # the class token, or a patch
    assert np.abs(ops.convert_to_numpy(top(other)) - ops.convert_to_numpy(top(z))).max() > 1e-2


@pytest.mark.jax
def test_features_gives_inner_tensors_by_name_and_number():
    model = tiny(registers=2)
    tokens = N + 3
    by_name = features(model, ["encoder_block_0", "encoder_norm"])(IMAGES)
    assert {name: tuple(value.shape) for name, value in by_name.items()} == {
        "encoder_block_0": (10, tokens, D),
        "encoder_norm": (10, tokens, D),
    }
    last = features(model, -1)(IMAGES)
    assert list(last) == ["encoder_block_1"]
    normed = model.get_layer("encoder_norm")(last["encoder_block_1"])
    np.testing.assert_allclose(
        ops.convert_to_numpy(normed), ops.convert_to_numpy(by_name["encoder_norm"]), atol=1e-5
    )


@pytest.mark.jax
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_features_of_no_layer_are_what_the_head_reads(dtype):
    model = compiled(tiny(dtype=dtype), run_eagerly=True)
    model.train_on_batch(IMAGES, LABELS)
    read = features(model)(IMAGES)
    assert keras.backend.standardize_dtype(read.dtype) == "float32"
    np.testing.assert_allclose(
        ops.convert_to_numpy(model.get_layer("head")(read)), logits(model), rtol=1e-6, atol=1e-6
    )
    headless = tiny(num_classes=0)
    np.testing.assert_array_equal(logits(features(headless)), logits(headless))


@pytest.mark.jax
@pytest.mark.parametrize(
    ("layers", "phrases"),
    [
        (["encoder_blok_1"], ["layers=encoder_blok_1", "did you mean encoder_block_1?"]),
        ([2], ["layers=2", "-2 to 1"]),
        (-3, ["layers=-3", "-2 to 1"]),
    ],
)
def test_features_of_an_unknown_layer_are_refused(layers, phrases):
    with pytest.raises(SettingError) as caught:
        features(tiny(), layers)
    for phrase in phrases:
        assert phrase in str(caught.value)
