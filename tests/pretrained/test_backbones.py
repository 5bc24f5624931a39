"""DINOv2, DINOv3, CLIP and SigLIP: their files, their short names, and what is no such model."""

import re

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.paths import ROOT
from helpers.weight_files import pixels, refusal, timm
from vit_keras import (
    VARIANTS,
    SettingError,
    build_vit,
    features,
    load_pretrained,
    save_pretrained,
)
from vit_keras.model.vit import describe
from vit_keras.pretrained import download, load
from vit_keras.pretrained.backbones import BACKBONES

SIZES = dict(patch_size=4, width=16, depth=1, num_heads=2, mlp_dim=32, image_size=8, num_classes=0)
SIZES |= dict(pixel_mean=[0.5] * 3, pixel_std=[0.5] * 3)
IMAGENET = dict(pixel_mean=[0.485, 0.456, 0.406], pixel_std=[0.229, 0.224, 0.225])
FAMILIES = {  # its options, and a name in Hugging Face's file
    "dinov2": (
        dict(layer_scale=1.0, registers=2, **IMAGENET),
        "encoder.layer.0.layer_scale1.lambda1",
    ),
    "dinov3": (
        dict(position="rope_dinov3", layer_scale=1.0, registers=2, norm_epsilon=1e-5, mlp="swiglu"),
        "layer.0.mlp.gate_proj.weight",
    ),
    "clip": (
        dict(pre_norm=True, gelu="quick", norm_epsilon=1e-5),
        "vision_model.pre_layrnorm.weight",
    ),
    "siglip": (dict(pool="map", gelu="tanh"), "vision_model.head.attention.in_proj_weight"),
}


def model_of(family, **options):
    """No weight is at its initial value, but for those that the family lacks."""
    model = build_vit(None, **{**SIZES, **FAMILIES[family][0], **options})
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(weight + rng.normal(0, 0.2, weight.shape))
    if family == "clip":
        bias = model.get_layer("patch_embedding").projection.bias
        bias.assign(np.zeros_like(bias))
    return model


def features_of(model, images):
    return keras.ops.convert_to_numpy(model(images, training=False))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_goes_to_hugging_face_and_back_unchanged(family, tmp_path):
    model = model_of(family)
    folder = save_pretrained(model, tmp_path / "there")
    assert FAMILIES[family][1] in load_file(folder / "model.safetensors")
    again, report = load.load_with_report(str(folder))
    assert describe(again) == describe(model)
    assert set(report.left_over) <= {"embeddings.mask_token"}
    images = pixels(2, 8, 8, 3)
    np.testing.assert_array_equal(features_of(again, images), features_of(model, images))


def test_a_bias_of_the_patches_goes_into_clips_positions(tmp_path):
    """A training gives the patches a bias, which CLIP has no place for."""
    model = model_of("clip")
    model.get_layer("patch_embedding").projection.bias.assign(np.linspace(-1, 1, 16))
    folder = save_pretrained(model, tmp_path / "there")
    images = pixels(2, 8, 8, 3)
    np.testing.assert_allclose(
        features_of(load_pretrained(str(folder)), images),
        features_of(model, images),
        atol=1e-5,
    )


def test_grey_images_for_a_clip_without_biases_of_its_patches(tmp_path):
    folder = save_pretrained(model_of("clip", **IMAGENET), tmp_path / "there")
    rgb, grey = load_pretrained(str(folder)), load_pretrained(str(folder), channels=1)
    images = pixels(2, 8, 8, 1)
    np.testing.assert_allclose(
        features_of(grey, images),
        features_of(rgb, np.repeat(images, 3, axis=-1)),
        atol=1e-4,
    )


def test_a_head_is_not_written_where_the_family_has_none_of_one_vector(tmp_path):
    model = model_of("clip", num_classes=3)
    with pytest.raises(SettingError, match=r"num_classes=3 is not supported by Hugging Face's CL"):
        save_pretrained(model, tmp_path / "there")
    folder = save_pretrained(features(model), tmp_path / "there")
    assert load_pretrained(str(folder)).output_shape == (None, 16)


def test_unknown_pixels_are_said(tmp_path):
    folder = save_pretrained(model_of("dinov2"), tmp_path / "there")
    (folder / "preprocessor_config.json").unlink()
    model, report = load.load_with_report(str(folder))
    assert report.assumed == ["pixel_mean and pixel_std of ImageNet; pass others if they are wrong"]
    assert describe(model)["pixel_mean"] == IMAGENET["pixel_mean"]


def test_weights_of_another_family_are_named(tmp_path):
    save_file({"stages.0.blocks.0.w": np.ones(3, "float32")}, tmp_path / "w.safetensors")
    assert "looks like ConvNeXt, MaxViT or another" in refusal(tmp_path / "w.safetensors")
    weights = {**timm(), "blocks.0.mlp.norm.weight": np.ones(24, "float32")}
    save_file(weights, tmp_path / "eva.safetensors")
    message = refusal(tmp_path / "eva.safetensors", num_heads=2)
    assert "has blocks.0.mlp.norm.weight" in message
    assert "looks like EVA-02" in message


def test_a_patch_that_does_not_divide_the_image_is_refused(tmp_path):
    folder = save_pretrained(model_of("dinov2"), tmp_path / "there")
    assert "image_size=10 is not a multiple of the model's patch" in refusal(folder, image_size=10)
    # Of a short name it is known before anything is downloaded.
    assert "image_size=225 is not a multiple of the model's patch size, 14" in refusal(
        "dinov2_s14", image_size=225
    )


def test_a_setting_that_the_file_has_no_weights_for_is_refused(tmp_path):
    folder = save_pretrained(model_of("clip"), tmp_path / "there")
    assert "no weights for encoder_block_0/attention_scale" in refusal(folder, layer_scale=0.1)


def test_short_names():
    page = (ROOT / "docs/reference/weight-formats.md").read_text(encoding="utf-8")
    for name, backbone in BACKBONES.items():
        assert f"`{name}`" in page
        assert f"`{backbone.hub_id}`" in page
        download.check(name)
        variant = name.rsplit("_", 1)[-1]
        assert variant in VARIANTS or variant == "g14"
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", backbone.hub_id)
        assert backbone.licence
    with pytest.raises(SettingError, match=r"did you mean dinov2_s14\?"):
        download.check("dinov2_s4")


def test_a_short_name_knows_what_no_file_says(tmp_path, monkeypatch):
    """OpenAI's CLIP in timm's names: neither the activation nor the pixels are in the file."""
    weights = {name: value for name, value in timm().items() if name != "patch_embed.proj.bias"}
    weights |= {f"norm_pre.{leaf}": np.ones(16, "float32") for leaf in ("weight", "bias")}
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"architecture": "vit", "pretrained_cfg": {"url": ""}}')
    asked = []
    monkeypatch.setattr(download, "_hugging_face", lambda hub_id: asked.append(hub_id) or tmp_path)
    model = load_pretrained("clip_b32", num_heads=2, num_classes=0)
    assert asked == ["timm/vit_base_patch32_clip_224.openai"]
    facts = describe(model)
    assert facts["gelu"] == "quick"
    assert facts["norm_epsilon"] == 1e-5
    assert facts["pixel_mean"] == [0.48145466, 0.4578275, 0.40821073]
