"""The complete model: parameter counts, logits of an independent ViT, saving, errors."""

import contextlib
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from helpers.numpy_vit import GELU, vit
from helpers.paths import ROOT
from vit_keras import SettingError, build_vit
from vit_keras.model.vit import describe

pytestmark = pytest.mark.jax

SIZES = dict(patch_size=4, width=16, depth=2, num_heads=4, mlp_dim=32)
CLASSES = 5

# Parameters at 224x224 and 1000 classes, as timm and torchvision publish them.
PUBLISHED = {
    "ti16": 5_717_416,
    "s16": 22_050_664,
    "b16": 86_567_656,
    "b32": 88_224_232,
    "l16": 304_326_632,
    "h14": 632_045_800,
}


# Hassani et al. 2021, table 1: CIFAR-10 at 32x32, from their code by hand. Parameters in millions
# as published, and exactly; theirs have no bias of queries, keys and values, which ours add.
COMPACT = {
    "CCT-2/3x2": (dict(patch_size=4, width=128, depth=2, num_heads=2, mlp_dim=128), 0.28, 283_723),
    "CCT-4/3x2": (dict(patch_size=4, width=128, depth=4, num_heads=2, mlp_dim=128), 0.48, 482_123),
    "CCT-6/3x2": (
        dict(patch_size=4, width=256, depth=6, num_heads=4, mlp_dim=512),
        3.33,
        3_326_923,
    ),
    "CCT-7/3x1": (
        dict(patch_size=2, width=256, depth=7, num_heads=4, mlp_dim=512),
        3.76,
        3_760_139,
    ),
}

JAX_ON_CPU = keras.backend.backend() == "jax" and all(
    device.startswith("cpu") for device in keras.distribution.list_devices()
)


@pytest.fixture(autouse=True)
def fixed_seed():
    keras.utils.set_random_seed(0)


@contextlib.contextmanager
def global_policy(dtype):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def tiny(image_size=8, **settings):
    return build_vit(
        None, **{"image_size": image_size, "num_classes": CLASSES, **SIZES, **settings}
    )


def randomised(model):
    """Every weight at random: the head starts as zeros, and norms as ones and zeros."""
    rng = np.random.default_rng(1)
    for weight in model.weights:
        centre = 1 if weight.path.endswith("gamma") else 0
        values = rng.normal(centre, 0.4, weight.shape)
        weight.assign(abs(values) if "variance" in weight.path else values)
    return model


def pixels(*shape, dtype="uint8"):
    return np.random.default_rng(2).integers(0, 256, shape).astype(dtype)


def weights_of(model):
    return {weight.path: weight.numpy() for weight in model.weights}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_published_parameter_counts(variant):
    # Variables made in this scope have shapes but no values: H/14 alone would take 2.5 GB.
    with keras.StatelessScope(initialize_variables=False):
        count = build_vit(variant).count_params()
    keras.utils.clear_session()  # forgets the variables, which Keras would fill in later
    assert count == PUBLISHED[variant]


@pytest.mark.parametrize("name", COMPACT)
def test_published_parameter_counts_of_compact_transformers(name):
    sizes, millions, theirs = COMPACT[name]
    with keras.StatelessScope(initialize_variables=False):
        model = build_vit(None, image_size=32, num_classes=10, stem="cct", pool="seq", **sizes)
    keras.utils.clear_session()
    assert model.count_params() == theirs + sizes["depth"] * 3 * sizes["width"]
    assert round(theirs / 1e6, 2) == millions


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("gelu", GELU)
@pytest.mark.parametrize("pool", ["token", "mean"])
def test_logits_are_those_of_the_paper(pool, gelu, channels):
    """On an image that is not square, so that rows and columns cannot be swapped unseen."""
    model = randomised(tiny((8, 12), pool=pool, gelu=gelu, channels=channels))
    images = pixels(3, 8, 12, channels)
    sizes = {name: SIZES[name] for name in ("patch_size", "num_heads", "depth")}
    logits = model.predict(images, verbose=0)
    weights = weights_of(model)
    expected, other_gelu = (
        vit(weights, images, pool=pool, gelu=kind, **sizes) for kind in (gelu, *({*GELU} - {gelu}))
    )

    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4)
    # The tolerance is tight enough to tell one GELU from the other.
    assert not np.allclose(logits, other_gelu, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("patch_size", [2, 4])
def test_logits_are_those_of_a_compact_convolutional_transformer(patch_size):
    model = randomised(tiny((8, 12), stem="cct", pool="seq", patch_size=patch_size))
    images = pixels(3, 8, 12, 3)
    sizes = {**SIZES, "patch_size": patch_size}
    del sizes["width"], sizes["mlp_dim"]
    expected = vit(weights_of(model), images, stem="cct", pool="seq", **sizes)
    np.testing.assert_allclose(model.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_pixels_are_normalised_per_channel(policy):
    """And in full precision: bfloat16, with 8 bits, would round the pixels of a resized image."""
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    with global_policy(policy):
        model = tiny(pixel_mean=mean, pixel_std=std)
    images = pixels(2, 8, 8, 3) * 0.99
    inner = keras.Model(model.input, model.get_layer("normalization").output)
    expected = (images / 255 - np.array(mean)) / np.array(std)
    np.testing.assert_allclose(inner.predict(images, verbose=0), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_uint8_and_float_pixels_give_the_same_logits(dtype):
    """A dataset may decode to either."""
    model = randomised(tiny(dtype=dtype))
    whole = pixels(2, 8, 8, 3)
    logits = [model.predict(whole.astype(kind), verbose=0) for kind in ("uint8", "float32")]
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize("as_global", [False, True], ids=["argument", "global_policy"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [
        ("float32", 1e-6),
        pytest.param(
            "mixed_float16",
            0.02,
            marks=pytest.mark.skipif(JAX_ON_CPU, reason="JAX multiplies no float16 on a CPU"),
        ),
        ("mixed_bfloat16", 0.15),
    ],
)
def test_logits_are_float32_in_any_precision(dtype, tolerance, as_global):
    reference = randomised(tiny())
    images = pixels(2, 8, 8, 3)
    with global_policy(dtype if as_global else "float32"):
        model = tiny() if as_global else tiny(dtype=dtype)
    model.set_weights(reference.get_weights())
    logits = model.predict(images, verbose=0)

    policy = keras.DTypePolicy(dtype)
    assert model.get_layer("encoder_block_1").compute_dtype == policy.compute_dtype
    assert logits.dtype == model.output.dtype == "float32"
    np.testing.assert_allclose(logits, reference.predict(images, verbose=0), atol=tolerance)


# No setting at its default, which a forgotten setting would fall back to.
RATES = dict(dropout=0.1, attention_dropout=0.1, stochastic_depth=0.1)
OTHER_PARTS = dict(
    pool="map",
    gelu="tanh",
    position="rope_mixed",
    mlp="swiglu",
    parallel=True,
    qk_norm=True,
    layer_scale=0.1,
    bias=False,
    registers=2,
    stem="conv",
    patch_dropout=0.1,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("imports", "settings"),
    [
        ("keras, vit_keras", OTHER_PARTS),
        ("vit_keras, keras", dict(pool="mean", gelu="tanh", pixel_std=0.25, **RATES)),
        ("vit_keras.model.vit, keras", OTHER_PARTS),
    ],
)
def test_saved_model_loads_in_a_new_process(imports, settings, tmp_path):
    """In safe mode, and with nothing named or registered by the user."""
    model = randomised(tiny(**settings))
    images = pixels(3, 8, 8, 3)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", images)
    script = (
        f"import {imports}, numpy, sys\n"
        "model = keras.models.load_model(sys.argv[1] + '/model.keras', safe_mode=True)\n"
        "images = numpy.load(sys.argv[1] + '/images.npy')\n"
        "numpy.save(sys.argv[1] + '/logits.npy', model.predict(images, verbose=0))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(
        np.load(tmp_path / "logits.npy"), model.predict(images, verbose=0), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_first_loss_is_that_of_guessing(pool):
    logits = tiny(pool=pool).predict(pixels(8, 8, 8, 3), verbose=0)
    labels = np.arange(8) % CLASSES
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)
    assert float(loss) == pytest.approx(np.log(CLASSES), rel=0.05)


def test_model_overfits_one_batch():
    model = tiny()
    images, labels = pixels(32, 8, 8, 3), np.random.default_rng(3).integers(0, CLASSES, 32)
    model.compile(
        keras.optimizers.Adam(3e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batches = np.tile(images, (80, 1, 1, 1)), np.tile(labels, 80)  # 80 epochs of the batch
    model.fit(*batches, batch_size=32, shuffle=False, verbose=0)
    assert model.evaluate(images, labels, batch_size=32, verbose=0)[1] == 1


def test_logits_are_independent_of_the_rest_of_the_batch():
    """Neither the order of a batch nor its company changes what is said of an image."""
    model = randomised(tiny())
    images = pixels(6, 8, 8, 3)
    logits = model.predict(images, verbose=0)
    order = np.random.default_rng(4).permutation(6)
    shuffled = model.predict(images[order], verbose=0)
    alone = model.predict(images[:1], verbose=0)
    np.testing.assert_allclose(shuffled, logits[order], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(alone, logits[:1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", ["token", "mean"])
def test_inner_tensors_are_reached_by_name(pool):
    tokens = 6 + (pool == "token")  # 8x12 pixels in patches of 4x4
    shapes = {
        "normalization": (8, 12, 3),
        "patch_embedding": (6, 16),
        "position_embedding": (tokens, 16),
        "embedding_dropout": (tokens, 16),
        "encoder_block_0": (tokens, 16),
        "encoder_block_1": (tokens, 16),
        "encoder_norm": (tokens, 16),
        "pooling": (16,),
        "head": (CLASSES,),
    }
    model = tiny((8, 12), pool=pool)
    inner = keras.Model(model.input, {name: model.get_layer(name).output for name in shapes})
    outputs = inner.predict(pixels(2, 8, 12, 3), verbose=0)
    assert {name: value.shape[1:] for name, value in outputs.items()} == shapes


def test_stochastic_depth_grows_from_nothing_to_its_rate():
    model = tiny(depth=3, stochastic_depth=0.2)
    rates = [model.get_layer(f"encoder_block_{i}").get_config() for i in range(3)]
    assert [rate["stochastic_depth"] for rate in rates] == pytest.approx([0, 0.1, 0.2])


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("pool", ["token", "mean"])
def test_without_classes_a_model_gives_its_features(pool, dtype):
    """Those that the head of a model with classes reads."""
    settings = dict(image_size=(8, 12), pool=pool, dtype=dtype)
    classifier = randomised(tiny(**settings))
    features = tiny(num_classes=0, **settings)
    for weight, of in zip(features.weights, classifier.weights[:-2], strict=True):
        weight.assign(keras.ops.convert_to_numpy(of))  # JAX gives shared buffers away
    images = pixels(2, 8, 12, 3)
    inner = keras.Model(classifier.input, classifier.get_layer("pooling").output)
    result = features.predict(images, verbose=0)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, inner.predict(images, verbose=0).astype("float32"))


DESCRIBED = {
    "plain": {},
    "features": dict(num_classes=0),
    "rates": dict(dropout=0.1, attention_dropout=0.2, stochastic_depth=0.3),
    "switches": dict(pool="mean", gelu="tanh", position="sincos2d", norm_epsilon=1e-12),
    "pixels": dict(pixel_mean=(0.4914, 0.4822, 0.4465), pixel_std=(0.247, 0.2435, 0.2616)),
    "one_block": dict(depth=1, stochastic_depth=0.3),
    "other_parts": OTHER_PARTS,
    "rope2d": dict(position="rope2d", mlp="swiglu"),
    "relu2": dict(mlp="relu2", bias=False),
    "distilled": dict(distillation_token=True, registers=1, position="sincos2d"),
    "no_positions": dict(position="none", registers=1),
}


@pytest.mark.parametrize("case", DESCRIBED)
def test_describe_returns_the_arguments_of_build_vit(case):
    model = tiny(**DESCRIBED[case])
    arguments = describe(model)
    for name, value in DESCRIBED[case].items():
        assert arguments[name] == (list(value) if isinstance(value, tuple) else value)
    again = build_vit(None, name=model.name, **arguments)
    assert again.get_config() == model.get_config()


# What a user gets wrong; the setting and its value; the way out.
MISTAKES = {
    "patch_size": (dict(image_size=30), "patch_size=4", "image_size=30", "3"),
    "image_size": (dict(image_size=225, patch_size=16), "image_size=225", "image_size=224 or 240"),
    "image_size_below": (dict(image_size=8, patch_size=16), "2, 4 or 8, or image_size=16"),
    "image_size_huge": (dict(image_size=10**20), "image_size=1000", "65,536 or fewer", "=1024"),
    "num_heads": (dict(num_heads=3), "num_heads=3", "width=16", "1, 2, 4, 8 or 16"),
    "variant": (dict(variant="vit_b16"), "variant=vit_b16", "did you mean b16?"),
    "variant_in_capitals": (dict(variant="B16"), "variant=B16", "did you mean b16?"),
    "override": (dict(num_head=4), "num_head", "did you mean num_heads?"),
    "depth_missing": (dict(depth=None), "depth is needed", "ti16", "mlp_dim"),
    "depth_zero": (dict(depth=0), "depth=0", "1 or more"),
    "width_fraction": (dict(width=16.5), "width=16.5", "whole number"),
    "classes": (dict(num_classes=-1), "num_classes=-1", "1 or more"),
    "norm_epsilon": (dict(norm_epsilon=0), "norm_epsilon=0", "use above 0"),
    "size_by_its_other_name": (dict(img_size=8), "img_size", "did you mean image_size?"),
    "channels": (dict(channels=-1), "channels=-1", "1 or more"),
    "dropout": (dict(dropout=1.0), "dropout=1.0", "0 or more, below 1"),
    "attention_dropout": (dict(attention_dropout=-0.1), "attention_dropout=-0.1", "0 or more"),
    "stochastic_depth": (dict(stochastic_depth=1.5), "stochastic_depth=1.5", "below 1"),
    "initialization": (dict(initialization="mimetik"), "=mimetik", "did you mean mimetic?"),
    "distillation_token": (
        dict(distillation_token=True, pool="mean"),
        *("distillation_token=true", "pool=mean", "use pool=token"),
    ),
    "pool": (dict(pool="tokn"), "pool=tokn", "did you mean token?"),
    "gelu": (dict(gelu="relu"), "gelu=relu", "exact, quick, tanh"),
    "position": (dict(position="rope"), "position=rope", "did you mean rope2d?", "sincos2d"),
    "rope_heads": (dict(position="rope2d", num_heads=8), "num_heads=8", "=1, 2 or 4", "width=32"),
    "rope_width": (
        dict(position="rope_mixed", width=18, num_heads=3),
        "heads of 6",
        "position=rope_mixed",
        "width=24, or position=learned",
    ),
    "registers": (dict(registers=-1), "registers=-1", "0 or more"),
    "registers_fraction": (dict(registers=1.5), "registers=1.5", "whole number"),
    "patch_dropout": (dict(patch_dropout=1.0), "patch_dropout=1.0", "0 or more, below 1"),
    "layer_scale": (dict(layer_scale=-1e-5), "layer_scale=-1e-05", "use 0 or more"),
    "qk_norm": (dict(qk_norm=1), "qk_norm=1", "true or false"),
    "mlp": (dict(mlp="swiglue"), "mlp=swiglue", "did you mean swiglu?"),
    "gelu_of_none": (dict(mlp="swiglu", gelu="tanh"), "gelu=tanh", "mlp=swiglu", "leave gelu out"),
    "stem_patch": (dict(stem="conv", patch_size=6, image_size=12), "patch_size=6", "power of 2"),
    "stem_cct": (
        dict(stem="cct", patch_size=6, image_size=12),
        "patch_size=6",
        "stem=cct",
        "or 16",
    ),
    "stem_patch_one": (dict(stem="conv", patch_size=1), "patch_size=1", "2, 4, 8"),
    "stem_width": (dict(stem="conv", patch_size=8, width=18, num_heads=2), "width=18", "16 or 20"),
    "position_width": (dict(position="sincos2d", width=18, num_heads=2), "width=18", "20"),
    "epsilon_text": (dict(norm_epsilon="small"), "norm_epsilon=small", "use above 0"),
    "std": (dict(pixel_std=0.0), "pixel_std=0.0", "above 0"),
    "std_of_a_channel": (dict(pixel_std=(0.5, 0.0, 0.5)), "pixel_std=", "above 0"),
    "mean_per_channel": (dict(pixel_mean=(0.5, 0.5)), "pixel_mean=", "2 values", "1 or 3"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_a_way_out(mistake):
    settings, *phrases = MISTAKES[mistake]
    arguments = {"variant": None, "image_size": 8, **SIZES, **settings}
    with pytest.raises(SettingError) as caught:
        build_vit(**arguments)
    for phrase in phrases:
        assert phrase in str(caught.value)
