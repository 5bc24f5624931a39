"""What is recommended for given images can be trained, and its operations are counted."""

import shlex
import subprocess
import sys

import numpy as np
import pytest

from helpers.image_files import write
from helpers.paths import ROOT
from vit_keras import SettingError, load_config
from vit_keras.config.compose import compose
from vit_keras.training import recommend as recommend_module
from vit_keras.training import rough_time
from vit_keras.training.recommend import recommend


@pytest.fixture
def photos(tmp_path):
    for name in ("ant", "bee", "my cat"):
        write(tmp_path / "my photos" / name, 25)
    return tmp_path / "my photos"


def test_few_photos_start_from_the_embedded_model(photos):
    found = recommend(["data=folder", f'data.path="{photos}"'])
    assert str(found).startswith("75 images of 3 classes: start from pretrained weights, ")
    assert (found.command, found.train_images) == ("finetune", 54)
    config = load_config(*found.words)
    assert config.data.path == str(photos)
    assert config.train.batch_size * 4 <= 54  # several steps an epoch
    assert sum(stage.epochs for stage in config.stages.values()) == found.epochs


def test_a_table_and_how_it_is_read_are_kept(photos):
    rows = [f"{path},{path.parent.name}" for path in sorted(photos.glob("*/*.png"))]
    (photos / "a.csv").write_text("\n".join(["photo,kind", *rows]))
    asked = ["data=csv", f'data.path="{photos / "a.csv"}"', "data.image_column=photo"]
    found = recommend([*asked, "data.label_column=kind"])
    config = load_config(*found.words)
    assert (config.data.name, config.data.image_column) == ("csv", "photo")
    assert (found.images, found.classes) == (75, 3)


def test_many_images_are_trained_from_scratch_for_fewer_epochs(tmp_path):
    labels = np.arange(12_000) % 4
    np.savez(tmp_path / "a.npz", x_train=np.zeros((12_000, 8, 8, 3), "uint8"), y_train=labels)
    found = recommend(["data=npz", f"data.path={tmp_path / 'a.npz'}"])
    assert (found.command, found.is_pretrained) == ("train", False)
    assert recommend_module.MIN_EPOCHS <= found.epochs < 60
    load_config(*found.words)


def test_an_installed_package_without_the_model_downloads_one(photos, monkeypatch):
    monkeypatch.setattr(recommend_module, "EMBEDDED", recommend_module.Path("nowhere"))
    found = recommend(["data=folder", f'data.path="{photos}"'])
    assert found.words[0] == "recipe=finetune_folder"


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"data\.path="):
        recommend(["data=folder", f"data.path={tmp_path}"])


# Of 224x224 pixels, as timm's table of results has them.
MULTIPLY_ADDS = {"b16": 17.58e9, "s16": 4.61e9, "ti16": 1.26e9}


@pytest.mark.parametrize(("variant", "multiply_adds"), MULTIPLY_ADDS.items())
def test_operations_are_those_of_the_table(variant, multiply_adds):
    config = compose("data=folder", "data.image_size=224", f"model={variant}")
    flops = rough_time.forward_flops(config)
    assert flops is not None
    assert flops / 2 == pytest.approx(multiply_adds, rel=0.03)


def test_twice_the_epochs_take_longer_and_a_gpu_is_not_guessed_at(photos, monkeypatch):
    words = ("recipe=folder", f'data.path="{photos}"')
    monkeypatch.setattr(rough_time, "matmul_rate", lambda: 1e11)
    monkeypatch.setattr(rough_time, "GPU", "/nowhere")
    short, long = (
        rough_time.rough_seconds(compose(*words, f"train.epochs={epochs}"), 54)
        for epochs in (100, 200)
    )
    assert short < long < 2 * short
    monkeypatch.setattr(rough_time, "GPU", "/dev/null")
    assert rough_time.rough_seconds(compose(*words), 54) is None


def test_the_command_prints_what_to_type(photos):
    words = ["recommend", "data=folder", f'data.path="{photos}"']
    shown = subprocess.run(
        [sys.executable, "-m", "vit_keras", *words],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    *reasons, command = shown.stdout.splitlines()
    assert reasons[0].startswith("75 images of 3 classes: ")
    program, name, *typed = shlex.split(command)
    assert (program, name) == ("vit-keras", "finetune")
    load_config(*typed)
