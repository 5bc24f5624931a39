"""Embeddings are the input of the head, whatever opens the model, for images of every kind."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import vit_keras
from helpers.paths import SAVED_MODELS
from vit_keras import Predictor, SettingError
from vit_keras.predict.backbone import open_backbone
from vit_keras.predict.embedder import Embedder

pytestmark = pytest.mark.jax

RELEASED = SAVED_MODELS / "digits"
DIGITS = (load_digits().images[:20] * 255 / 16).round().astype("uint8")[..., None]


@pytest.fixture(scope="module")
def predictor():
    return Predictor(RELEASED, batch_size=8)


def test_embeddings_are_the_input_of_the_head(predictor):
    """Twenty images in batches of eight: the last batch is padded, and the padding dropped."""
    vectors = predictor.embed(DIGITS)
    assert (vectors.shape, vectors.dtype) == ((20, 48), np.float32)
    model = vit_keras.open_run(RELEASED).model
    kernel, bias = model.get_layer("head").get_weights()
    logits = model.predict(DIGITS, verbose=0)
    np.testing.assert_allclose(vectors @ kernel + bias, logits, atol=1e-4)
    np.testing.assert_allclose(predictor.embed(DIGITS[3]), vectors[3:4], atol=1e-5)
    assert predictor.embed([]).shape == (0, 48)


def test_a_handle_of_the_same_weights_gives_the_same(predictor):
    by_handle = Embedder(RELEASED / "best.keras")
    assert by_handle.backbone.fingerprint == predictor.embedder.backbone.fingerprint
    np.testing.assert_allclose(by_handle.embed(DIGITS), predictor.embed(DIGITS), atol=1e-5)
    larger = open_backbone(RELEASED / "best.keras", image_size=16)
    assert larger.input_shape == (16, 16, 1)
    assert larger.fingerprint != by_handle.backbone.fingerprint


def test_other_weights_have_another_fingerprint(tmp_path):
    sizes = dict(patch_size=4, width=8, depth=1, num_heads=2, mlp_dim=8)
    vit = vit_keras.build_vit(None, image_size=8, num_classes=3, **sizes)
    found = []
    for scale, name in ((1, "a"), (1, "b"), (1.001, "c")):
        kernel = vit.get_layer("encoder_norm").gamma
        kernel.assign(kernel * scale)
        vit.get_layer("head").bias.assign([len(found)] * 3)  # which is not of the features
        vit.save(tmp_path / f"{name}.keras")
        found.append(open_backbone(tmp_path / f"{name}.keras").fingerprint)
    assert found[0] == found[1] != found[2]


def test_images_that_cannot_be_read_are_named_or_stay_in_order(predictor, tmp_path):
    files = [tmp_path / f"{index}.png" for index in range(3)]
    for index in (0, 2):
        Image.fromarray(DIGITS[index, ..., 0]).save(files[index])
    files[1].write_text("no image")
    with pytest.raises(SettingError, match=r"1 of 3 images cannot be read \(.*1.png: no image"):
        predictor.embed(files)
    (batch,) = predictor.embedder.batches(files)
    assert batch.sources == [str(file) for file in files]
    assert [bad.reason for bad in batch.unreadable] == ["no image by its content"]
    expected = predictor.embed(DIGITS[[0, 2]])
    np.testing.assert_allclose(batch.vectors[[0, 2]], expected, atol=1e-5)
    assert np.isnan(batch.vectors[1]).all()
