"""The plots of an explanation in a run's folder, and invalid settings."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from helpers.paths import SAVED_MODELS
from vit_keras import SettingError, explain_run, open_run
from vit_keras.cli import arguments, explain
from vit_keras.explain import preflight

RELEASED = SAVED_MODELS / "digits"
PLOTS = {
    "overview.png",
    "heads.png",
    "rollout.png",
    "relevance.png",
    "feature_pca.png",
    "attention_distance.png",
    "position_similarity.png",
    "patch_filters.png",
}


@pytest.fixture
def run(tmp_path):
    return shutil.copytree(RELEASED, tmp_path / "run")


@pytest.fixture
def seven(tmp_path):
    """A photo of a seven: larger than the model takes, and in colour."""
    grey = load_digits().images[7] * 255 / 16
    image = Image.fromarray(grey.astype("uint8")).resize((40, 40)).convert("RGB")
    image.save(tmp_path / "my seven.png")
    return tmp_path / "my seven.png"


def test_an_image_of_the_test_split(run):
    folder = explain_run(run, 3)
    assert folder == run / "explanations" / "test-3"
    assert {file.name for file in folder.glob("*.png")} == PLOTS
    for file in folder.glob("*.png"):
        with Image.open(file) as image:
            image.load()
    report = json.loads((folder / "explanation.json").read_text())
    maps = np.load(folder / "maps.npz")
    best = int(maps["probabilities"].argmax())
    assert next(iter(report["predicted"])) == report["relevance_for"] == str(best)
    assert report["left_out"] == {}
    logits = open_run(run).model.predict(maps["image"][None], verbose=0)[0]
    np.testing.assert_allclose(
        maps["probabilities"], np.exp(logits) / np.exp(logits).sum(), atol=1e-5
    )
    assert maps["rollout"].shape == maps["relevance"].shape == (2, 2)
    assert maps["heads"].shape == (4, 4, 2, 2)


def test_a_file_a_class_and_an_output_folder(run, seven, tmp_path):
    folder = explain_run(run, seven, target="7", output=tmp_path / "pictures")
    assert folder == tmp_path / "pictures"
    report = json.loads((folder / "explanation.json").read_text())
    assert report["relevance_for"] == "7"
    assert report["label"] is None
    again = explain_run(run, seven, target="1", output=folder)  # an earlier one is replaced
    assert json.loads((again / "explanation.json").read_text())["relevance_for"] == "1"
    assert {path.name for path in tmp_path.iterdir()} == {"run", "my seven.png", "pictures"}


def check(*words):
    preflight.check_explanation(arguments.parse("explain", explain.add_arguments, [*words]))


def test_what_cannot_be_explained_is_refused_before_keras(run, tmp_path):
    (tmp_path / "note.png").write_text("no image")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    refused = {
        ("--image=1",): "required: RUN",
        (str(run),): "required: --image",
        (str(tmp_path), "--image=1"): "is not a run",
        (str(run), "--image=cat.png"): "image=cat.png is not a file",
        (str(run), f"--image={tmp_path / 'note.png'}"): r"note.png cannot be read",
        (str(run), "--image=1", "--target=seven"): "target=seven is not a class of this run",
        (str(run), "--image=1", f"--output={tmp_path / 'mine'}"): "is not empty",
    }
    for words, message in refused.items():
        with pytest.raises(SettingError, match=message):
            check(*words)
    check(str(run), "--image=1", "--target=7")


def test_unknown_layers_and_images_are_refused_and_nothing_written(run):
    with pytest.raises(SettingError, match=r"layer=block_9 .*encoder_block_"):
        explain_run(run, 0, layer="block_9")
    with pytest.raises(SettingError, match="image=5000 is more than the test split has; use 0 to"):
        explain_run(run, 5000)
    assert not (run / "explanations").exists()


def test_the_script_refuses_without_importing_keras(refusal):
    assert "is not a run" in refusal("nowhere", "--image=1", name="explain")
