"""Opening a run from the files in its directory."""

import json
import shutil

import numpy as np
import pytest

import vit_keras
from helpers.paths import SAVED_MODELS
from vit_keras import SettingError
from vit_keras.runs import archive

RELEASED = SAVED_MODELS / "digits"


@pytest.fixture
def directory(tmp_path):
    """A copy of the released digits run, renamed."""
    return shutil.copytree(RELEASED, tmp_path / "renamed")


def test_a_released_run_opens_wherever_it_lies(directory):
    run = vit_keras.open_run(directory)
    assert run.class_names == [str(digit) for digit in range(10)]
    assert run.config.data.name == "digits"
    assert (
        run.metrics["test_accuracy"]
        == json.loads((RELEASED / "metrics.json").read_text())["test_accuracy"]
    )
    assert run.model.predict(np.zeros((2, 8, 8, 1), "uint8"), verbose=0).shape == (2, 10)


def test_an_older_run_has_todays_defaults_for_settings_it_lacks(directory):
    text = (directory / "config.yaml").read_text()
    lines = [line for line in text.splitlines() if "label_smoothing" not in line]
    (directory / "config.yaml").write_text("\n".join(lines))
    assert vit_keras.open_run(directory).config.optim.label_smoothing == 0


def damaged(name, content):
    def damage(directory):
        (directory / name).write_bytes(content)

    return damage


def newer(directory):
    with open(directory / "config.yaml", "a") as file:
        file.write("teleport: true\n")


DAMAGES = [
    (lambda directory: (directory / "config.yaml").unlink(), "is not a run: it has no config.yaml"),
    (damaged("config.yaml", b"data: ["), "config.yaml is damaged"),
    (newer, "has teleport, which this version does not know: the run is of a newer one"),
    (lambda directory: (directory / "class_mapping.json").unlink(), "has no class_mapping.json"),
    (damaged("class_mapping.json", b'{"0": "zero"'), "class_mapping.json is damaged"),
    (damaged("class_mapping.json", b'{"7": "seven"}'), "class_mapping.json is damaged"),
    (damaged("class_mapping.json", b'["zero"]'), "class_mapping.json is damaged"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_what_is_no_whole_run_is_refused(directory, damage, message):
    damage(directory)
    with pytest.raises(SettingError, match=message):
        vit_keras.open_run(directory)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingError, match=r"run=.*nowhere is not a run"):
        vit_keras.open_run(tmp_path / "nowhere")


MODEL_DAMAGES = [
    (lambda directory: (directory / "best.keras").unlink(), "has lost its best.keras"),
    (damaged("best.keras", b"PK nothing"), r"best.keras cannot be opened"),
    (
        damaged("class_mapping.json", b'{"0": "zero", "1": "one"}'),
        "has 10 classes, and class_mapping.json beside it names 2",
    ),
]


@pytest.mark.parametrize(("damage", "message"), MODEL_DAMAGES)
def test_a_model_that_cannot_be_used_is_refused(directory, damage, message):
    damage(directory)
    with pytest.raises(SettingError, match=message):
        vit_keras.open_run(directory).model  # noqa: B018


def test_a_model_from_anybody_runs_no_code_of_its_own(tmp_path, directory):
    """Keras' safe mode, also for a run that came as a zip: a lambda is not even unpacked."""
    import keras

    harm = tmp_path / "harm"
    pixels = keras.Input((8, 8, 1))
    values = keras.layers.GlobalAveragePooling2D()(pixels)
    values = keras.layers.Lambda(
        lambda x, harm=str(harm): (open(harm, "w").close(), x)[1], output_shape=(1,)
    )(values)
    model = keras.Model(pixels, keras.layers.Dense(10)(values))
    model.save(directory / "best.keras")
    harm.unlink(missing_ok=True)
    archive.archive_run(directory, tmp_path / "run.zip")
    place = archive.unpack_run(tmp_path / "run.zip", tmp_path / "elsewhere")
    with pytest.raises(SettingError, match=r"best.keras cannot be opened \(.*Lambda"):
        _ = vit_keras.open_run(place).model
    assert not harm.exists()


NOTE = "left at 1, as every validation image is right"
FITTED = {"temperature": 1.0735, "note": "", "fitted_on": {"images": 2000}}
CALIBRATIONS = [
    (
        None,
        1,
        "are not calibrated: the temperature was not fitted, as the run was not evaluated yet",
    ),
    (FITTED, 1.0735, "are calibrated by temperature 1.073, fitted on 2,000 validation images"),
    ({"temperature": 1, "note": NOTE}, 1, f"are not calibrated: the temperature was {NOTE}"),
    # Of version 0.1.0, which fitted it on any number of images.
    (
        {"temperature": 0.01, "fitted_on": {"images": 6}},
        0.01,
        "temperature 0.010, fitted on only 6 validation images: evaluate the run again",
    ),
    ({"temperature": 2}, 2, "by temperature 2.000, fitted on the run's validation split"),
    ({"temperature": 2, "fitted_on": [6], "note": None}, 2, "fitted on the run's validation split"),
]


@pytest.mark.parametrize(("content", "value", "words"), CALIBRATIONS)
def test_a_run_says_what_its_confidences_are_calibrated_by(directory, content, value, words):
    if content is not None:
        (directory / "temperature.json").write_text(json.dumps(content))
    run = vit_keras.open_run(directory)
    assert run.temperature == value
    assert run.calibration.sentence.startswith("confidences are ")
    assert words in run.calibration.sentence
