"""The NumPy model of notebook 02, compared with our layers and with Keras.

The cells tagged `functions` define the model; only these are executed here, without the data, the
training and the plots.
"""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from helpers.paths import ROOT
from vit_keras import build_vit

NOTEBOOK = ROOT / "notebooks/02_attention_from_first_principles.ipynb"
SIZES = dict(patch_size=4, width=16, depth=2, mlp_dim=24)
HEADS, CLASSES = 4, 5
IMAGE = (8, 12, 3)  # not square, so that swapped rows and columns are noticed


@pytest.fixture(scope="module")
def numpy_model():
    """What the cells tagged `functions` define."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    defined = {}
    for cell in cells:
        if "functions" in cell["metadata"].get("tags", []):
            exec("".join(cell["source"]), defined)
    return SimpleNamespace(**defined)


@pytest.fixture(scope="module")
def layers():
    """Our own model, with every weight at random."""
    model = build_vit(
        None, image_size=IMAGE[:2], num_classes=CLASSES, num_heads=HEADS, gelu="tanh", **SIZES
    )
    rng = np.random.default_rng(0)
    for weight in model.weights:
        centre = 1 if weight.path.endswith("gamma") else 0
        weight.assign(rng.normal(centre, 0.3, weight.shape))
    return model


@pytest.fixture
def weights(layers):
    """The weights of `layers` in float64, by their paths."""
    return {w.path: keras.ops.convert_to_numpy(w).astype("float64") for w in layers.weights}


@pytest.fixture
def pixels():
    return np.random.default_rng(1).integers(0, 256, (6, *IMAGE)).astype("uint8")


def forward(numpy_model, pixels, weights, **settings):
    arrangement = dict(patch_size=4, num_heads=HEADS, depth=2, **settings)
    return numpy_model.vit((pixels / 255 - 0.5) / 0.5, weights, **arrangement)


def test_logits_are_those_of_our_layers(numpy_model, layers, weights, pixels):
    logits, _ = forward(numpy_model, pixels, weights)
    theirs = layers.predict(pixels, verbose=0)
    np.testing.assert_allclose(logits, theirs, rtol=1e-5, atol=1e-5)
    assert np.ptp(theirs) > 1  # so that this tells something


def test_gradients_are_those_of_a_tape_over_our_layers(numpy_model, layers, weights, pixels):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("GradientTape sees through layers on TensorFlow alone")
    labels = np.arange(6) % CLASSES
    with tf.GradientTape() as tape:
        logits = layers(pixels)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    variables = [weight.value for weight in layers.weights]
    expected = dict(zip(weights, tape.gradient(loss, variables), strict=True))

    logits, backward = forward(numpy_model, pixels, weights)
    ours, loss_backward = numpy_model.cross_entropy(logits, np.eye(CLASSES)[labels])
    gradients = backward(loss_backward())
    np.testing.assert_allclose(ours, loss, rtol=1e-5)
    assert gradients.keys() == expected.keys()
    for path, gradient in gradients.items():
        np.testing.assert_allclose(
            gradient, expected[path], rtol=1e-5, atol=1e-5, err_msg=f"gradient of {path}"
        )


def test_gradients_with_rotary_positions_are_the_slope_of_the_loss(numpy_model, weights, pixels):
    """By the definition of a derivative, (f(x + h) - f(x - h)) / 2h, weight by weight."""
    del weights["position_embedding/position_embedding"]
    angles = numpy_model.grid_angles(2, 3, 2)
    targets = np.eye(CLASSES)[np.arange(6) % CLASSES]

    def loss_and_backward(weights):
        logits, backward = forward(numpy_model, pixels, weights, angles=angles)
        loss, loss_backward = numpy_model.cross_entropy(logits, targets)
        return loss, lambda: backward(loss_backward())

    rng, step = np.random.default_rng(2), 1e-6
    gradients = loss_and_backward(weights)[1]()
    assert gradients.keys() == weights.keys()
    for path, gradient in gradients.items():
        direction = rng.normal(size=gradient.shape)
        ahead, behind = (
            loss_and_backward({**weights, path: weights[path] + h * direction})[0]
            for h in (step, -step)
        )
        slope = (ahead - behind) / (2 * step)
        np.testing.assert_allclose(
            np.sum(gradient * direction), slope, rtol=1e-5, atol=1e-5, err_msg=path
        )


def test_rotation_is_a_product_with_a_complex_number_of_length_one(numpy_model):
    """RoFormer eq. 12: (x1 + i x2) e^{i m θ}, pair by pair."""
    rng = np.random.default_rng(3)
    x, angles = rng.normal(size=(2, 7, 6)), rng.normal(size=(7, 3))
    turned, backward = numpy_model.rotate(x, angles)
    product = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
    np.testing.assert_allclose(turned[..., 0::2], product.real, atol=1e-12)
    np.testing.assert_allclose(turned[..., 1::2], product.imag, atol=1e-12)
    np.testing.assert_allclose(backward(turned), x, atol=1e-12)


def test_rotary_scores_depend_on_the_offset_alone(numpy_model):
    rows, columns, pairs = 5, 6, 4
    angles = numpy_model.grid_angles(rows, columns, pairs)
    np.testing.assert_array_equal(angles[0], 0)  # the class token has no place
    q, k = np.random.default_rng(4).normal(size=(2, 2 * pairs))
    q, k = (
        numpy_model.rotate(np.tile(x, (rows * columns, 1)), angles[1:])[0].reshape(
            rows, columns, -1
        )
        for x in (q, k)
    )
    scores = np.einsum("abk,cdk->abcd", q, k)
    np.testing.assert_allclose(scores[:-1, :-1, :-1, :-1], scores[1:, 1:, 1:, 1:], atol=1e-12)
    assert abs(scores[0, 0, 1, 0] - scores[0, 0, 0, 1]) > 1e-3  # a row is not a column


def test_first_frequencies_are_those_of_the_paper(numpy_model):
    """RoFormer, below eq. 15: θ_i = 10000^(-2(i - 1) / d), i from 1 to d / 2."""
    d = 8
    expected = [3 * 10000 ** (-2 * (i - 1) / d) for i in range(1, d // 2 + 1)]
    np.testing.assert_allclose(numpy_model.angles_of(np.array([3]), d // 2)[0], expected)


def test_adam_moves_weights_as_that_of_keras(numpy_model):
    rng = np.random.default_rng(5)
    start, gradients = rng.normal(size=4), rng.normal(size=(5, 4))
    ours, theirs = {"w": start.copy()}, keras.Variable(start, dtype="float32")
    adam = numpy_model.Adam(ours)
    keras_adam = keras.optimizers.Adam(0.01, epsilon=1e-8)
    for gradient in gradients:
        adam.update(ours, {"w": gradient}, 0.01)
        keras_adam.apply([keras.ops.convert_to_tensor(gradient, "float32")], [theirs])
    np.testing.assert_allclose(ours["w"], keras.ops.convert_to_numpy(theirs), rtol=1e-4, atol=1e-6)


def test_rate_rises_to_its_peak_and_ends_at_zero(numpy_model):
    rates = [numpy_model.rate_at(step, 100, 0.1) for step in range(1, 101)]
    np.testing.assert_allclose([rates[4], rates[9], rates[54], rates[99]], [0.05, 0.1, 0.05, 0])


def test_augmented_images_are_crops_and_mirrors_of_the_padded_ones(numpy_model):
    images = np.random.default_rng(6).normal(size=(64, 4, 5, 2))
    changed = numpy_model.shifted_and_mirrored(images, np.random.default_rng(7), 1, True)
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    found = set()
    for whole, image in zip(padded, changed, strict=True):
        crops = {
            (top, left, turn): whole[top : top + 4, left : left + 5][:, ::turn]
            for top in range(3)
            for left in range(3)
            for turn in (1, -1)
        }
        found |= {name for name, crop in crops.items() if np.array_equal(crop, image)}
    assert len(found) > 12  # of 18, drawn 64 times
    still = numpy_model.shifted_and_mirrored(images, np.random.default_rng(8), 0, False)
    np.testing.assert_array_equal(still, images)
