"""RGB weights summed to one channel, or shared out, compute what they compute of a grey image."""

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

import jax2tf_saved_model
from helpers.weight_files import google, google_tree, pixels, refusal, timm, write_npz
from vit_keras import build_vit, load_pretrained, save_pretrained
from vit_keras.model.vit import describe
from vit_keras.pretrained import load

SIZES = dict(patch_size=4, width=16, depth=1, num_heads=2, mlp_dim=24)
IMAGENET = dict(pixel_mean=[0.485, 0.456, 0.406], pixel_std=[0.229, 0.224, 0.225])


def handles(folder):
    """A file of each format."""
    write_npz(folder / "google.npz", google())
    save_file(timm(), folder / "timm.safetensors")
    save_pretrained(load_pretrained(folder / "google.npz"), folder / "hugging_face")
    load_pretrained(folder / "google.npz").save(folder / "own.keras")
    jax2tf_saved_model.save(google_tree(), folder / "saved_model", side=16)
    names = ("google.npz", "timm.safetensors", "hugging_face", "own.keras", "saved_model")
    return [(folder / name, dict(num_heads=2) if "timm" in name else {}) for name in names]


@pytest.mark.parametrize("pixel_statistics", [{}, IMAGENET], ids=["halves", "ImageNet"])
def test_one_channel_gives_the_logits_of_grey_as_rgb(pixel_statistics, tmp_path):
    grey = pixels(3, 16, 16, 1)
    for handle, settings in handles(tmp_path):
        settings = settings | pixel_statistics
        expected = load_pretrained(handle, **settings).predict(grey.repeat(3, -1), verbose=0)
        model, report = load.load_with_report(str(handle), channels=1, **settings)
        assert model.input_shape == (None, 16, 16, 1)
        np.testing.assert_allclose(
            model.predict(grey, verbose=0), expected, rtol=1e-4, atol=1e-4, err_msg=str(handle)
        )
        assert report.resized == ["patch_embedding/projection/kernel from 3 channels to 1, summed"]
        assert np.ptp(expected, axis=0).max() > 0.1  # the images are told apart


def test_five_channels_share_the_sum_of_rgb(tmp_path):
    grey, file = pixels(3, 16, 16, 1), write_npz(tmp_path / "w.npz", google())
    expected = load_pretrained(file, **IMAGENET).predict(grey.repeat(3, -1), verbose=0)
    model, report = load.load_with_report(str(file), channels=5, **IMAGENET)
    assert model.input_shape == (None, 16, 16, 5)
    found = model.predict(grey.repeat(5, -1), verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    kernel = model.get_layer("patch_embedding").projection.kernel.numpy()
    kernel = kernel.reshape(-1, 5, kernel.shape[-1])
    np.testing.assert_array_equal(kernel, kernel[:, :1].repeat(5, axis=1))
    assert report.resized == [
        "patch_embedding/projection/kernel from 3 channels to 5, their sum is shared out equally"
    ]


def test_the_mean_of_rgb_statistics_is_the_grey_one(tmp_path):
    model = load_pretrained(write_npz(tmp_path / "w.npz", google()), channels=1, **IMAGENET)
    facts = describe(model)
    assert facts["channels"] == 1
    assert facts["pixel_mean"] == pytest.approx([0.449])
    assert facts["pixel_std"] == pytest.approx([0.226])


def test_one_channel_in_another_size_with_a_new_head(tmp_path):
    model = load_pretrained(
        write_npz(tmp_path / "w.npz", google()), image_size=24, num_classes=2, channels=1
    )
    assert model.input_shape == (None, 24, 24, 1)
    assert model.output_shape == (None, 2)


def test_the_files_own_channels_change_nothing(tmp_path):
    handle = write_npz(tmp_path / "w.npz", google())
    images = pixels(2, 16, 16, 3)
    np.testing.assert_array_equal(
        load_pretrained(handle, channels=3).predict(images, verbose=0),
        load_pretrained(handle).predict(images, verbose=0),
    )


def test_other_channels_are_refused(tmp_path):
    build_vit(None, image_size=8, channels=1, **SIZES).save(tmp_path / "grey.keras")
    assert refusal(tmp_path / "grey.keras", channels=3).endswith("takes 1; use 1")
    build_vit(None, image_size=8, stem="cct", **SIZES).save(tmp_path / "cct.keras")
    assert "whose stem is cct" in refusal(tmp_path / "cct.keras", channels=5)


def test_a_wrapped_model_keeps_its_channels(tmp_path):
    jax2tf_saved_model.save(google_tree(), tmp_path / "whole", side=16)
    message = refusal(tmp_path / "whole", opaque=True, channels=1)
    assert "channels=1 has no effect" in message


def test_a_grey_model_is_saved_for_hugging_face_as_one_of_rgb(tmp_path):
    """Grey is 0.299 R + 0.587 G + 0.114 B, which its first layer then computes."""
    keras.utils.set_random_seed(0)
    grey = build_vit(None, image_size=16, num_classes=5, channels=1, pixel_mean=0.3, **SIZES)
    for weight in grey.weights:
        weight.assign(weight + np.random.default_rng(0).normal(0, 0.2, weight.shape))
    save_pretrained(grey, tmp_path / "there")
    rgb = load_pretrained(tmp_path / "there")
    assert rgb.input_shape == (None, 16, 16, 3)
    images = pixels(3, 16, 16, 3)
    expected = grey.predict(images @ np.array([0.299, 0.587, 0.114])[:, None], verbose=0)
    np.testing.assert_allclose(rgb.predict(images, verbose=0), expected, rtol=1e-4, atol=1e-4)
    again = load_pretrained(tmp_path / "there", channels=1)
    for ours, theirs in zip(again.weights, grey.weights, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, err_msg=ours.path)
