"""A config.yaml that is read by libyaml has the settings that OmegaConf would read."""

import pytest
from omegaconf import OmegaConf

from helpers.paths import ROOT, SAVED_MODELS
from vit_keras.config.schema import Config
from vit_keras.runs import config_file
from vit_keras.runs.config_file import build, changed_values, read_config

OLD = [
    *(SAVED_MODELS / name / "config.yaml" for name in ("digits", "cifar10_small", "cifar10_hour")),
    ROOT / "tests" / "fixtures" / "run_of_0_1_0" / "run" / "config.yaml",
]
WORDS = [
    (),
    ("optim.learning_rate=1e-5", "train.seed=3", "data.image_size=[28,32]", "name=1e3"),
    ("task=multilabel", "data=folder", "data.path='a: b'", "data.suffixes=[.png]"),
    ("+stages.head={trainable: head, epochs: 2}", "+stages.b={trainable: {last: 1}, epochs: 3}"),
    ("train.class_weight={ant: 2, bee: 0.5}", "train.jit_compile=layers", "train.export=[onnx]"),
    ("data=folder", "data.path='${oc.env:HOME}'", "run.dir='null'", "train.batch_size=auto"),
]


def written(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize("file", OLD, ids=lambda file: file.parent.name)
def test_runs_of_earlier_versions(file):
    assert config_file._read_plain(file) == config_file._read_any(file)


@pytest.mark.parametrize("words", WORDS, ids=str)
def test_settings_as_they_are_written(words, tmp_path):
    from vit_keras.config.compose import compose

    config = compose(*words)
    file = written(tmp_path, OmegaConf.to_yaml(OmegaConf.structured(config)))
    assert read_config(file) == config_file._read_any(file)
    if not any("${" in word for word in words):
        assert config_file._read_plain(file) == config == read_config(file)
    assert build(Config, changed_values(config)) == config


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seed: 0", "seed: '3'"),
        ("seed: 0", "seed: 3.0"),
        ("seed: 0", "seed: 0x1F"),
        ("seed: 0", "seed: three"),
        ("seed: 0", "seed: 0\n  seed: 1"),
        ("learning_rate: 0.002", "learning_rate: 2e-3"),
        ("learning_rate: 0.002", "learning_rate: 1"),
        ("learning_rate: 0.002", "learning_rate: .inf"),
        ("name: digits\ndata", "name: 3\ndata"),
        ("name: digits\ndata", "name: 2026-01-02\ndata"),
        ("name: digits\ndata", "name: 1e-3\ndata"),
        ("name: digits\ndata", "name: '???'\ndata"),
        ("name: digits\ndata", "name: ${data.name}\ndata"),
        ("name: digits\ndata", "name: null\ndata"),
        ("flip: false", "flip: yes"),
        ("flip: false", "flip: 1"),
        ("flip: false", "flip: maybe"),
        ("allow: []", "allow: [1, a]"),
        ("allow: []", "allow: {a: 1}"),
        ("mixup: 0.0", "mixup: 0"),
        ("stages: {}", "stages: {head: {epochs: 3, trains: head}}"),
        ("stages: {}", "stages: {head: null}"),
    ],
)
def test_a_file_edited_by_hand_is_read_or_refused_as_by_omegaconf(old, new, tmp_path):
    text = (SAVED_MODELS / "digits" / "config.yaml").read_text()
    assert old in text
    file = written(tmp_path, text.replace(old, new, 1))

    def outcome(read):
        try:
            return read(file)
        except Exception as error:
            return type(error), str(error)

    assert outcome(read_config) == outcome(config_file._read_any)


def test_a_run_does_not_share_its_lists_with_others():
    first, second = read_config(OLD[0]), read_config(OLD[0])
    assert first.data.suffixes == second.data.suffixes != []
    assert first.data.suffixes is not second.data.suffixes
