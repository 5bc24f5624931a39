"""The stages `bias` and `norm`: which weights they train, how many, and exact resume."""

import shutil

import keras
import pytest

from helpers.tiny_runs import keep_snapshots, resumed, state_of, tiny_vit, tuned, tuning
from helpers.trained_runs import assert_same
from vit_keras import SettingError, build_vit, export_run
from vit_keras.config import stages
from vit_keras.config.schema import Config, StageConfig
from vit_keras.training import freezing

P, D, L, M, K = 4, 8, 3, 16, 5  # patch size, width, depth, MLP width, classes


@pytest.fixture(scope="module")
def vit():
    sizes = dict(patch_size=P, width=D, depth=L, num_heads=2, mlp_dim=M)
    options = dict(qk_norm=True, layer_scale=0.1, pool="map")
    return build_vit(None, image_size=8, num_classes=K, **sizes, **options)


def stage_of(kind):
    return stages.plan(Config(stages={"one": StageConfig(kind)}))[0]


def trained_by(vit, kind):
    freezing.freeze(vit, stage_of(kind))
    return {weight.path: weight for weight in vit.trainable_weights}


def size(weights):
    return sum(freezing._size(weight) for weight in weights.values())


HEAD = D * K + K


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        # Patch embedding D, each block 3 D (QKV) + D + M + D and two shifts D, the last shift D.
        ("bias", HEAD + D + L * (7 * D + M) + D),
        ("norm", HEAD + (2 * L + 1) * 2 * D),
        ("prompt", HEAD + 3 * D),
    ],
)
def test_the_trained_parameters_are_those_of_the_formula(kind, count):
    sizes = dict(patch_size=P, width=D, depth=L, num_heads=2, mlp_dim=M)
    sizes["registers"] = 3 if kind == "prompt" else 0
    plain = build_vit(None, image_size=8, num_classes=K, **sizes)
    assert size(trained_by(plain, kind)) == count
    table = freezing.trainable_table(plain, stage_of(kind))
    assert f"{count:,}" in table.splitlines()[-1]


def test_optional_layers_have_their_biases_and_norms_trained(vit):
    biases, norms = trained_by(vit, "bias"), trained_by(vit, "norm")
    assert {path.rpartition("/")[2] for path in biases.keys() - {"head/kernel"}} == {"bias", "beta"}
    assert {path.rpartition("/")[2] for path in norms.keys() - {"head/kernel", "head/bias"}} == {
        "beta",
        "gamma",
    }
    assert "encoder_block_0/attention/query_norm/gamma" in norms
    assert not [path for path in norms if "scale" in path]  # LayerScale is no normalisation
    assert trained_by(vit, "all").keys() == {weight.path for weight in vit.weights}


def test_a_convolutional_stem_keeps_its_statistics():
    sizes = dict(patch_size=4, width=8, depth=1, num_heads=2, mlp_dim=8, stem="conv")
    vit = build_vit(None, image_size=8, num_classes=3, **sizes)
    trained_by(vit, "bias")
    norms = [x for x in vit._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]
    assert norms
    assert not any(layer.trainable for layer in norms)


@pytest.mark.parametrize(
    ("earlier", "later", "is_new"),
    [
        *(("head", "bias", True), ("bias", "norm", True), ("norm", "bias", True)),
        *(("all", "bias", False), ("bias", "all", True), ("bias", "head", False)),
    ],
)
def test_what_begins_to_train_is_known(vit, earlier, later, is_new):
    plan = stages.plan(Config(stages={"a": StageConfig(earlier), "b": StageConfig(later)}))
    assert freezing.has_newly_trainable(vit, plan, "b") is is_new


def test_a_wrapped_saved_model_has_no_such_parts():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])
    with pytest.raises(SettingError, match=r"trainable=bias needs the encoder blocks of a ViT"):
        freezing.check_layers(model, stage_of("bias"))


def test_rank_and_muon_have_no_effect(tmp_path):
    file = tiny_vit(tmp_path / "vit.keras")
    with pytest.raises(SettingError, match=r"stages.all.lora_rank=2 has no effect"):
        tuning(file, "stages.all.trainable=bias", "stages.all.lora_rank=2")
    with pytest.raises(SettingError, match=r"pretrained.prompts=4 has no effect: no stage trains"):
        tuning(file, "~stages.all", "pretrained.prompts=4")
    with pytest.raises(SettingError, match=r"optim.name=muon has no effect"):
        tuning(file, "stages.all.trainable=norm", "optim=muon")
    with pytest.raises(SettingError, match=r"use head, all, prompt, bias, norm, lora, or \{last"):
        tuning(file, "stages.all.trainable=beta")


@pytest.mark.slow
def test_each_stage_moves_its_weights_alone_and_resumes_exactly(tmp_path, monkeypatch):
    file = tiny_vit(tmp_path / "vit.keras")
    words = (
        *("stages.head.trainable=bias", "stages.all.trainable=norm", "optim.ema_momentum=0.9"),
        *("pretrained.prompts=3", "+stages.prompt={trainable: prompt, epochs: 2}"),
    )
    with monkeypatch.context() as patch:
        keep_snapshots(patch, tmp_path)
        tuned(tmp_path / "whole", file, *words)
    weights = {"12": ("bias", "beta"), "34": ("gamma", "beta"), "56": ("registers",)}
    for epochs, names in weights.items():
        before, after = (state_of(tmp_path / epoch) for epoch in epochs)
        moved = {path for path in before if (before[path] != after[path]).any()}
        moved = {path for path in moved if not path.startswith(("head/", "seed_generator"))}
        assert moved == {
            path for path in before if path.rpartition("/")[2] in names and "head" not in path
        }
    shutil.copytree(tmp_path / "3", tmp_path / "resumed")  # killed in the stage `norm`
    resumed(tmp_path / "resumed")
    assert_same(tmp_path / "whole", tmp_path / "resumed")
    model = keras.models.load_model(tmp_path / "whole/last.keras")
    assert len(model.trainable_weights) == len(model.weights)
    assert model.get_layer("encoder_block_0").output.shape[1] == 1 + 3 + 4
    export = export_run(tmp_path / "whole", "onnx", images=8)
    assert export.report["max_difference"] < 1e-5
