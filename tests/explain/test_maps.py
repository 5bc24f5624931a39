"""Attention, rollout, relevance and views of embeddings, compared with NumPy and scikit-learn.

They run on every backend.
"""

import keras
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics.pairwise import cosine_similarity

from helpers import numpy_vit
from vit_keras import SettingError, build_vit
from vit_keras.explain import attention_maps, embedding_maps, explanation, relevance_maps
from vit_keras.model.ensemble import build_ensemble

pytestmark = pytest.mark.jax

ROWS, COLUMNS, CLASSES = 2, 3, 3
SIZES = dict(patch_size=4, width=12, depth=2, num_heads=2)


def vit(pool="token", **overrides):
    """A ViT whose every weight matters, the head's too, which begins at zero."""
    keras.utils.set_random_seed(0)
    settings = {**SIZES, "mlp_dim": 16, "pool": pool, **overrides}
    model = build_vit(None, image_size=(8, 12), channels=1, num_classes=CLASSES, **settings)
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(0, 0.5, w.shape).astype("float32") for w in model.get_weights()])
    return model


def images(count=2):
    return np.random.default_rng(1).integers(0, 256, (count, 8, 12, 1), "uint8")


class Recorder:
    """Runs the tests' NumPy ViT with its attention in view: heads in order of block and number."""

    def __init__(self, model, monkeypatch):
        self.weights = {v.path: keras.ops.convert_to_numpy(v) for v in model.weights}
        self.pool, self.monkeypatch = model.get_layer("pooling").pool, monkeypatch

    def run(self, batch, change=None):
        """Logits (B, classes) in float64, and A of each block (B, H, N, N), `change` added."""
        seen = []

        def one_head(q, k, v):
            scores = q @ k.swapaxes(-1, -2) / np.sqrt(q.shape[-1])
            raised = np.exp(scores - scores.max(-1, keepdims=True))
            seen.append(raised / raised.sum(-1, keepdims=True))
            changed = seen[-1] if change is None else seen[-1] + change[len(seen) - 1]
            return changed @ v

        self.monkeypatch.setattr(numpy_vit, "one_head", one_head)
        logits = numpy_vit.vit(
            self.weights,
            batch,
            patch_size=SIZES["patch_size"],
            num_heads=SIZES["num_heads"],
            depth=SIZES["depth"],
            pool=self.pool,
        )
        pairs = [seen[i : i + SIZES["num_heads"]] for i in range(0, len(seen), SIZES["num_heads"])]
        return logits, [np.stack(heads, axis=1) for heads in pairs]


@pytest.fixture
def recorder(monkeypatch):
    return lambda model: Recorder(model, monkeypatch)


def read(joint, pool):
    """(B, N, N) -> (B, rows, columns): the class token's row, or the mean of all rows."""
    row = joint[:, 0, 1:] if pool == "token" else joint.mean(axis=1)
    return row.reshape(-1, ROWS, COLUMNS)


POOLS = pytest.mark.parametrize("pool", ["token", "mean"])


@POOLS
def test_attention_is_that_of_an_independent_vit(pool, recorder):
    model = vit(pool)
    _, expected = recorder(model).run(images())
    found = attention_maps.attention(model, images())
    assert len(found) == SIZES["depth"]
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        np.testing.assert_allclose(ours.sum(axis=-1), 1, atol=1e-5)


def test_attention_gives_each_blocks_output_again():
    model, batch = vit(), images()
    weights = attention_maps.attention(model, batch)
    for index, found in enumerate(weights):
        block = model.get_layer(f"encoder_block_{index}")
        ends = keras.Model(model.input, [block.input, block.output])(batch)
        z, expected = (keras.ops.convert_to_numpy(end) for end in ends)
        v = keras.ops.convert_to_numpy(
            block.attention.queries_keys_values(block.attention_norm(z))[2]
        )
        mixed = np.einsum("bhnm,bmhk->bnhk", found, v).reshape(z.shape)
        z = z + keras.ops.convert_to_numpy(block.attention.projection(mixed))
        z = z + keras.ops.convert_to_numpy(block.mlp(block.mlp_norm(z)))
        np.testing.assert_allclose(z, expected, atol=1e-5)


def test_some_blocks_alone_and_in_the_order_asked_for():
    model = vit()
    first, second = attention_maps.attention(model, images())
    swapped = attention_maps.attention(model, images(), ["encoder_block_1", "encoder_block_0"])
    np.testing.assert_array_equal(swapped[0], second)
    np.testing.assert_array_equal(swapped[1], first)


@POOLS
def test_rollout_is_its_definition(pool, recorder):
    model = vit(pool)
    _, weights = recorder(model).run(images())
    joint = np.eye(weights[0].shape[-1])
    for block in weights:  # Abnar & Zuidema 2020: 0.5 A + 0.5 I, the later layer from the left
        joint = np.matmul(0.5 * block.mean(axis=1) + 0.5 * np.eye(block.shape[-1]), joint)
    np.testing.assert_allclose(
        attention_maps.rollout(model, images()), read(joint, pool), atol=1e-6
    )
    np.testing.assert_allclose(joint.sum(axis=-1), 1, atol=1e-6)


def test_sequence_pooling_weights_the_rows_of_the_tokens_that_it_reads():
    """As it weights the tokens, and without the registers before them."""
    model = vit("seq", registers=2, stem="cct")
    joint = attention_maps.joint_attention(attention_maps.attention(model, images()))
    tokens = keras.Model(model.input, model.get_layer("encoder_norm").output)(images())
    kernel, bias = model.get_layer("pooling").get_weights()
    raised = np.exp(keras.ops.convert_to_numpy(tokens)[:, 2:] @ kernel + bias)
    weights = raised / raised.sum(axis=1, keepdims=True)  # (B, N, 1)
    assert np.ptp(weights, axis=1).min() > 0.01
    expected = (weights * joint[:, 2:, 2:]).sum(axis=1).reshape(-1, ROWS, COLUMNS)
    np.testing.assert_allclose(attention_maps.rollout(model, images()), expected, atol=1e-6)


@POOLS
def test_relevance_is_its_definition_with_gradients_by_finite_differences(pool, recorder):
    model, batch, target, step = vit(pool), images(1), 2, 1e-5
    runs = recorder(model)
    _, weights = runs.run(batch)
    flat = np.zeros((SIZES["depth"] * SIZES["num_heads"], *weights[0].shape[-2:]))
    gradients = np.zeros_like(flat)
    for place in np.ndindex(flat.shape):
        sides = []
        for sign in (step, -step):
            flat[place] = sign
            sides.append(runs.run(batch, flat)[0][0, target])
        flat[place] = 0
        gradients[place] = (sides[0] - sides[1]) / (2 * step)
    joint = np.eye(flat.shape[-1])
    for index, block in enumerate(weights):
        ours = gradients[index * SIZES["num_heads"] :][: SIZES["num_heads"]]
        joint = joint + np.maximum(ours * block[0], 0).mean(axis=0) @ joint
    expected = read((joint - np.eye(len(joint)))[None], pool)
    found = relevance_maps.relevance(model, batch, target)
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=1e-5)
    assert found.max() > 0.005  # there is something to compare


def test_relevance_is_for_the_predicted_class_of_each_image_by_default():
    model, batch = vit(), images(4)
    predicted = keras.ops.convert_to_numpy(model(batch)).argmax(axis=-1)
    default = relevance_maps.relevance(model, batch)
    np.testing.assert_allclose(
        default, relevance_maps.relevance(model, batch, predicted), atol=1e-6
    )
    other = relevance_maps.relevance(model, batch, (predicted + 1) % CLASSES)
    assert np.abs(default - other).max() > 1e-3
    alone = relevance_maps.relevance(model, batch[2:3])  # no image has anything of another
    np.testing.assert_allclose(alone[0], default[2], atol=1e-5)


def test_a_class_that_is_none_is_refused():
    model = vit()
    for wrong in (CLASSES, -1, 0.5, [0, 1, 2]):
        with pytest.raises(SettingError, match="class_index="):
            relevance_maps.relevance(model, images(2), wrong)


def test_maps_of_an_ensemble_are_the_mean_of_its_members():
    members = {"fold_1": vit(), "fold_2": vit()}
    for weight in members["fold_2"].weights:
        weight.assign(weight * 1.5)
    ensemble, batch = build_ensemble(members), images()
    of_each = [attention_maps.rollout(one, batch) for one in members.values()]
    np.testing.assert_allclose(attention_maps.rollout(ensemble, batch), np.mean(of_each, axis=0))
    predicted = ensemble.predict(batch, verbose=0).argmax(axis=-1)
    of_each = [relevance_maps.relevance(one, batch, predicted) for one in members.values()]
    shares = [one / one.sum(axis=(1, 2), keepdims=True) for one in of_each]
    found = relevance_maps.relevance(ensemble, batch)
    np.testing.assert_allclose(found, np.mean(shares, axis=0), rtol=1e-5)
    with pytest.raises(SettingError, match=r"explain one .*get_layer\('fold_1'\)"):
        attention_maps.attention(ensemble, batch)
    with pytest.raises(SettingError, match="do not fit ensemble"):
        relevance_maps.relevance(ensemble, batch[:, 1:])


def test_distance_of_uniform_attention_is_that_of_the_patches():
    model = vit()
    for index in range(SIZES["depth"]):
        kernel, bias = model.get_layer(f"encoder_block_{index}").attention.qkv.weights
        kernel.assign(np.zeros(kernel.shape))
        bias.assign(np.zeros(bias.shape))
    places = [(4 * row, 4 * column) for row in range(ROWS) for column in range(COLUMNS)]
    mean = np.mean([np.hypot(a[0] - b[0], a[1] - b[1]) for a in places for b in places])
    np.testing.assert_allclose(attention_maps.attention_distance(model, images()), mean, rtol=1e-5)


def test_positions_are_compared_by_their_cosine():
    model = vit()
    table = keras.ops.convert_to_numpy(model.get_layer("position_embedding").embedding)[0, 1:]
    expected = cosine_similarity(table).reshape(ROWS, COLUMNS, ROWS, COLUMNS)
    np.testing.assert_allclose(embedding_maps.position_similarity(model), expected, atol=1e-5)
    waves = embedding_maps.position_similarity(vit(position="sincos2d"))
    np.testing.assert_allclose(np.diag(waves.reshape(6, 6)), 1, atol=1e-5)


def test_filters_are_the_principal_components_of_the_projection():
    model = vit()
    kernel = keras.ops.convert_to_numpy(model.get_layer("patch_embedding").projection.kernel)
    expected = PCA(5).fit(kernel.T).components_
    found = embedding_maps.patch_filters(model, 5)
    assert found.shape == (5, 4, 4, 1)
    cosines = np.abs((found.reshape(5, -1) * expected).sum(axis=1))  # their signs are free
    np.testing.assert_allclose(cosines, 1, atol=1e-4)


def test_feature_colours_are_the_principal_components_of_the_last_layer():
    model, batch = vit(), images(4)
    norm = keras.Model(model.input, model.get_layer("encoder_norm").output)
    tokens = keras.ops.convert_to_numpy(norm(batch))[:, 1:]
    expected = PCA(3).fit_transform(tokens.reshape(-1, tokens.shape[-1]))
    found = embedding_maps.feature_pca(model, batch)
    assert found.shape == (4, ROWS, COLUMNS, 3)
    assert found.min() == 0
    assert found.max() == 1
    for ours, theirs in zip(found.reshape(-1, 3).T, expected.T, strict=True):
        assert abs(np.corrcoef(ours, theirs)[0, 1]) > 0.999


def test_explaining_leaves_the_model_as_it_was():
    model, batch = vit(), images()
    before = keras.ops.convert_to_numpy(model(batch))
    explanation.explain_image(model, batch[0])
    attention = model.get_layer("encoder_block_0").attention
    assert "_attend" not in vars(attention)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model(batch)), before)


def test_half_precision_is_explained_too():
    model = vit(dtype="mixed_bfloat16")
    found = attention_maps.attention(model, images())[0]
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=0.02)
    exact = relevance_maps.relevance(vit(), images(), 1)
    assert (
        np.corrcoef(relevance_maps.relevance(model, images(), 1).ravel(), exact.ravel())[0, 1] > 0.9
    )


def test_a_model_without_encoder_blocks_is_refused():
    pixels = keras.Input((8, 12, 1))
    wrapped = keras.Model(pixels, keras.layers.Dense(3)(keras.layers.Flatten()(pixels)), name="x")
    for ask in (
        attention_maps.attention,
        attention_maps.rollout,
        relevance_maps.relevance,
        embedding_maps.feature_pca,
    ):
        with pytest.raises(SettingError, match="x has no encoder block of vit_keras"):
            ask(wrapped, images())


def test_an_unknown_block_is_refused_with_the_nearest():
    with pytest.raises(SettingError, match=r"layer=encoder_block1.*did you mean encoder_block_1\?"):
        attention_maps.attention(vit(), images(), ["encoder_block1"])


def test_images_of_another_size_are_refused():
    with pytest.raises(SettingError, match=r"\(8, 12, 1\) do not fit .* as images\[None\]"):
        attention_maps.attention(vit(), images()[0])
