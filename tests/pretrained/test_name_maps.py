"""Weights that do not match our ViT: each is named in the error, with a solution."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from helpers.weight_files import google, refusal, timm, write_npz
from vit_keras import SettingError, load_pretrained, save_pretrained
from vit_keras.pretrained import load

HEADS = dict(num_heads=2)  # which timm's files do not say


def without(weights, *starts):
    return {name: value for name, value in weights.items() if not name.startswith(starts)}


def replaced(weights, name, change):
    return {**weights, name: change(weights[name]).astype("float32")}


def with_nan(array):
    array = array.copy()
    array.flat[-1] = np.nan
    return array


BLOCK_1 = "Transformer/encoderblock_1/"
NORM_0 = "Transformer/encoderblock_0/LayerNorm_0/scale"
POSITIONS = "Transformer/posembed_input/pos_embedding"
NPZ = {  # what is wrong with Google's weights -> them, and what the message has
    "names": (
        lambda w: {"conv/kernel": w["cls"]},
        ["conv/kernel", "an unknown format", "Google", "timm"],
    ),
    "nothing": (lambda w: {}, ["(none ...)", "an unknown format"]),
    "missing": (
        lambda w: without(w, BLOCK_1 + "MlpBlock_3/Dense_0/bias"),
        [f"lacks {BLOCK_1}MlpBlock_3/Dense_0/bias", "download it again"],
    ),
    "missing block": (lambda w: without(w, BLOCK_1), [f"lacks {BLOCK_1}LayerNorm_0/scale"]),
    "missing first block": (
        lambda w: without(w, "Transformer/encoderblock_0/"),
        ["lacks Transformer/encoderblock_0/"],
    ),
    "missing first norm": (lambda w: without(w, NORM_0), [f"lacks {NORM_0}"]),
    "no blocks": (
        lambda w: without(w, "Transformer/encoderblock"),
        ["lacks Transformer/encoderblock_0/"],
    ),
    "no positions": (lambda w: without(w, POSITIONS), [f"lacks {POSITIONS}"]),
    "half a head": (lambda w: without(w, "head/kernel"), ["lacks head/kernel"]),
    "shape": (
        lambda w: replaced(w, NORM_0, lambda x: x[:-1]),
        [NORM_0, "(15,)", "(16,)", "leave out settings"],
    ),
    "patches": (
        lambda w: replaced(w, "embedding/kernel", lambda x: x[:, :-1]),
        ["embedding/kernel", "(4, 3, 3, 16)", "(4, 4, 3, 16)"],
    ),
    "no image": (
        lambda w: replaced(w, POSITIONS, lambda x: x[:, :-1]),
        ["15 patches", "no square image", "download it again"],
    ),
    "axes": (
        lambda w: replaced(w, "embedding/kernel", lambda x: x[0]),
        ["embedding/kernel", "(4, 3, 16)", "4 axes"],
    ),
    "no axis": (lambda w: replaced(w, POSITIONS, lambda x: x.ravel()), [POSITIONS, "2 axes"]),
    "number": (lambda w: replaced(w, "head/bias", lambda x: x.sum()), ["head/bias", "()"]),
    "left over": (lambda w: {**w, "extra/bias": w["cls"]}, ["extra/bias", 'allow=["extra/bias"]']),
    "nan": (
        lambda w: replaced(w, BLOCK_1 + "LayerNorm_2/bias", with_nan),
        [f"{BLOCK_1}LayerNorm_2/bias", "not finite"],
    ),
    "objects": (lambda w: {**w, "cls": np.array([{}])}, ["pickle"]),
    "pre_logits": (
        lambda w: {**w, "pre_logits/kernel": np.eye(16, dtype="float32")},
        ["pre_logits/kernel", "hidden layer before the head"],
    ),
}


@pytest.mark.parametrize("case", NPZ)
def test_weights_that_are_no_vit_of_ours_are_named(case, tmp_path):
    change, phrases = NPZ[case]
    message = refusal(write_npz(tmp_path / "w.npz", change(google())))
    for phrase in phrases:
        assert phrase in message


TIMM = {
    "distilled_head": ("head_dist.weight", (5, 16), "no such weight"),
    "pre_logits": ("pre_logits.fc.weight", (16, 16), "hidden layer before the head"),
    "fc_norm": ("fc_norm.weight", (16,), "after the mean pooling"),
    "layer_scale_shape": ("blocks.0.ls1.gamma", (15,), "no such weight"),
    "layer_scale_number": ("blocks.0.ls2.gamma", (), "no such weight"),
    "query_norm": ("blocks.0.attn.q_norm.weight", (8,), "queries and keys are normalised"),
    "eva": ("blocks.0.mlp.norm.weight", (24,), "looks like EVA-02, normalised inside the MLP"),
    "beit": ("blocks.0.attn.relative_position_bias_table", (9, 2), "looks like BEiT or Swin"),
}


@pytest.mark.parametrize("case", TIMM)
def test_what_our_vit_has_no_place_for_is_named_and_passes_if_allowed(case, tmp_path):
    name, shape, why = TIMM[case]
    handle = tmp_path / "w.safetensors"
    save_file({**timm(), name: np.ones(shape, "float32")}, handle)
    message = refusal(handle, **HEADS)
    assert name in message
    assert why in message
    assert f'allow=["{name}"]' in message
    for allow in ([name], name.replace("weight", "*")):
        _, report = load.load_with_report(str(handle), allow=allow, **HEADS)
        assert list(report.left_over) == [name]
        assert report.unmatched == []
    _, report = load.load_with_report(str(handle), allow=[name, "nothing.*"], **HEADS)
    assert "allowed, but not in the file: nothing.*" in str(report)


def test_one_pattern_as_a_string_allows_no_more_than_it_says(tmp_path):
    handle = write_npz(tmp_path / "w.npz", {**google(), "extra/bias": np.ones(3, "float32")})
    assert "extra/bias" in refusal(handle, allow="pooler.*")


@pytest.mark.parametrize("classes", [3, 0])
def test_a_new_head_does_without_the_layer_before_the_old_one(classes, tmp_path):
    hidden = {"pre_logits/kernel": np.eye(16), "pre_logits/bias": np.ones(16)}
    hidden = {name: value.astype("float32") for name, value in hidden.items()}
    handle = write_npz(tmp_path / "w.npz", {**google(), **hidden})
    _, report = load.load_with_report(str(handle), num_classes=classes)
    assert set(hidden) < set(report.left_over)


def hugging_face(folder, config, index=None):
    """A folder with a plain ViT in it, and whatever `config` says of that."""
    from vit_keras import save_pretrained

    model = load_pretrained(str(write_npz(folder / "w.npz", google())))
    there = save_pretrained(model, folder / "there")
    known = json.loads((there / "config.json").read_text())
    (there / "config.json").write_text(json.dumps({**known, **config}))
    if index is not None:
        (there / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return there


SHARDS = {
    "missing": ({"a": "model-00002-of-00002.safetensors"}, "model-00002-of-00002.safetensors"),
    "elsewhere": ({"a": "../there/model.safetensors"}, "../there/model.safetensors"),
    "absolute": ({"a": "/etc/passwd"}, "/etc/passwd"),
    "a number": ({"a": 1}, "is damaged"),
    "no map": ([], "is damaged"),
}


@pytest.mark.parametrize("case", SHARDS)
def test_an_index_that_names_no_file_of_its_folder_is_refused(case, tmp_path):
    index, phrase = SHARDS[case]
    message = refusal(hugging_face(tmp_path, {}, index))
    assert phrase in message
    assert "download it again" in message


def distilled(classes=5):
    """timm's names of a DeiT with a distillation token -> arrays."""
    weights, rng = timm(classes=classes), np.random.default_rng(1)
    added = {"dist_token": (1, 1, 16), "pos_embed": (1, 18, 16)}
    if classes:
        added |= {"head_dist.weight": (classes, 16), "head_dist.bias": (classes,)}
    return weights | {
        name: rng.normal(0, 0.2, shape).astype("float32") for name, shape in added.items()
    }


TWO_HEADS = ["head/kernel", "head/bias", "head/distillation_kernel", "head/distillation_bias"]


def test_both_heads_of_a_distilled_deit_are_loaded_or_replaced(tmp_path):
    weights, handle = distilled(), str(tmp_path / "w.safetensors")
    save_file(weights, handle)
    model, report = load.load_with_report(handle, **HEADS)
    assert report.left_over == {}
    assert report.weight_format == "timm (distilled DeiT)"
    ours = {weight.path: np.array(weight) for weight in model.weights}
    np.testing.assert_array_equal(ours["head/distillation_kernel"], weights["head_dist.weight"].T)
    np.testing.assert_array_equal(ours["head/kernel"], weights["head.weight"].T)
    token = ours["distillation_token/distillation_token"]
    np.testing.assert_array_equal(token, weights["dist_token"])

    other, report = load.load_with_report(handle, num_classes=3, **HEADS)
    assert other.output_shape == (None, 3)
    assert report.initialised == TWO_HEADS
    assert sorted(report.left_over) == [
        *("head.bias", "head.weight", "head_dist.bias", "head_dist.weight")
    ]
    assert load_pretrained(handle, num_classes=0, **HEADS).output_shape == (None, 2 * 16)
    for missing, phrase in {
        "dist_token": "17 patches",
        "head_dist.bias": "lacks head_dist.bias",
    }.items():
        save_file(without(weights, missing), handle)
        assert phrase in refusal(handle, **HEADS)
    save_file(replaced(weights, "pos_embed", lambda x: x[:, 1:]), handle)
    assert "15 patches" in refusal(handle, **HEADS)


def test_a_distilled_deit_goes_to_hugging_face_and_back_bit_for_bit(tmp_path):
    save_file(distilled(), tmp_path / "w.safetensors")
    model = load_pretrained(str(tmp_path / "w.safetensors"), **HEADS)
    folder = save_pretrained(model, tmp_path / "there")
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["DeiTForImageClassificationWithTeacher"]
    assert config["model_type"] == "deit"
    again, report = load.load_with_report(str(folder))
    assert report.left_over == {}
    for weight, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(np.array(weight), np.array(other))
    with pytest.raises(SettingError, match=r"distillation_token=True is not supported by Google's"):
        save_pretrained(model, tmp_path / "w.npz")


def test_a_head_of_one_token_beside_two_is_named(tmp_path):
    """That of Hugging Face's DeiTForImageClassification."""
    save_file(distilled(), tmp_path / "w.safetensors")
    model = load_pretrained(str(tmp_path / "w.safetensors"), **HEADS)
    folder = save_pretrained(model, tmp_path / "there")
    weights = load_file(folder / "model.safetensors")
    one = {"classifier.weight": weights["cls_classifier.weight"]}
    one |= {"classifier.bias": weights["cls_classifier.bias"]}
    rest = without(weights, "cls_classifier", "distillation_classifier")
    save_file({**rest, **one}, folder / "model.safetensors")
    message = refusal(folder)
    assert "classifier.weight: a head of the class token alone" in message
    assert "num_classes=" in message
    assert load_pretrained(str(folder), num_classes=4).output_shape == (None, 4)


CONFIGS = {
    "relu": ({"hidden_act": "relu"}, ["hidden_act=relu", "is not supported"]),
    "num_labels": (
        {"num_labels": 7},
        ["num_classes=7", "its head has 5", "num_classes= for a new head"],
    ),
    "id2label": ({"id2label": {"0": "cat"}}, ["num_classes=1", "its head has 5"]),
    "heads": ({"num_attention_heads": 3}, ["num_heads=3", "width=16"]),
    "no heads": ({"num_attention_heads": None}, ["num_heads="]),
    "image size": ({"image_size": 32}, ["16 patches", "32x32"]),
    "image size in words": ({"image_size": "large"}, ["image_size=large"]),
    "epsilon": ({"layer_norm_eps": "small"}, ["norm_epsilon=small"]),
    "labels": ({"id2label": 3}, ["is damaged"]),
    "rope": ({"rope_theta": 10_000}, ["rope_theta=10000 is not supported"]),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_config_that_does_not_fit_its_weights_is_refused(case, tmp_path):
    config, phrases = CONFIGS[case]
    message = refusal(hugging_face(tmp_path, config))
    for phrase in phrases:
        assert phrase in message


def test_a_new_head_needs_no_class_count_of_the_old_one(tmp_path):
    assert load_pretrained(str(hugging_face(tmp_path, {"num_labels": 7})), num_classes=3)


def test_a_config_that_is_no_json_is_refused(tmp_path):
    folder = hugging_face(tmp_path, {})
    (folder / "config.json").write_text("{")
    assert f"{folder} is damaged" in refusal(folder)
