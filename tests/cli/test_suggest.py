"""`vit-keras suggest` on folders of images: what it leaves out, and a table that trains."""

import csv
import importlib
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vit_keras
from helpers.paths import SAVED_MODELS

RUN = SAVED_MODELS / "cifar10_small"
IMAGES = 60


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command in this process; gives (exit status, standard output, standard error)."""

    def start(*words):
        monkeypatch.setattr(sys, "argv", ["vit-keras suggest", *map(str, words)])
        status = 0
        try:
            importlib.import_module("vit_keras.cli.suggest").main()
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return start


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The working directory: colours at random in one folder, darker from class to class."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    rng = np.random.default_rng(0)
    for index in range(IMAGES):
        pixels = rng.integers(0, (255, 160, 90)[index % 3], (8, 8, 3), dtype="uint8")
        large = Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC)
        large.save(f"photos/{index:02}.png")
    return Path("photos")


def label_of(path):
    return ("light", "grey", "dark")[int(Path(path).stem.replace("copy", "")) % 3]


def read(folder):
    with open(Path(folder, "suggested.csv"), newline="") as file:
        return list(csv.DictReader(file))


def fill(folder, count=None):
    """Labels the first rows, as a person would."""
    rows = read(folder)
    for row in rows[:count]:
        row["label"] = label_of(row["path"])
    with open(Path(folder, "suggested.csv"), "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return {row["path"] for row in rows[:count]}


def test_two_rounds_and_a_training(command, photos):
    (photos / "bad.png").write_bytes(b"a web page")
    Image.open(photos / "03.png").convert("RGB").save(photos / "copy03.jpg", quality=90)
    shutil.copy(photos / "04.png", photos / "copy04.png")
    status, out, err = command(RUN, photos, "--output", "first", "--count", 40)
    assert status == 0
    assert "photos/bad.png: no image by its content" in err.splitlines()
    first, last = out.splitlines()
    assert first.startswith("40 images of 60 by typical; 2 near twins left out; 1 cannot be read")
    assert last.startswith("suggested: ")
    assert [row["label"] for row in read("first")] == [""] * 40
    with Image.open("first/suggested.png") as sheet:
        assert sheet.width > 900

    labelled = fill("first", 30)
    words = [RUN, photos, "--labelled", "first/suggested.csv", "--output", "second"]
    status, out, _ = command(*words, "--count", 1000)
    assert status == 0
    assert out.startswith("30 images of 30 by margin;")
    assert "1,000 were asked for, and there are no more" in out
    rows = read("second")
    assert not labelled & {row["path"] for row in rows}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores)
    assert all(row["reason"].split()[0] in ("light", "grey", "dark") for row in rows)
    names = {Path(row["path"]).name for row in rows} | {Path(path).name for path in labelled}
    assert len(names & {"03.png", "copy03.jpg"}) == len(names & {"04.png", "copy04.png"}) == 1

    config = vit_keras.load_config(
        *("data=csv", "data.path=first/suggested.csv", "data.follow_links=true"),
        *("data.image_size=8", "model.patch_size=4", "model.width=16", "model.depth=1"),
        *("model.num_heads=1", "model.mlp_dim=16", "train.epochs=1", "run.dir=run"),
        *("train.batch_size=8", "train.jit_compile=false", "data.validation_fraction=0.2"),
    )
    run = vit_keras.train_model(config)
    splits = vit_keras.load_splits(config.data, seed=0)
    assert sum(splits.image_counts.values()) == 30
    assert run.metrics["test_accuracy"] >= 0


def test_a_labelled_twin_is_not_suggested_and_labels_are_not_lost(command, photos):
    for index in range(20):
        folder = Path("known", label_of(f"{index}.png"))
        folder.mkdir(parents=True, exist_ok=True)
        image = Image.open(photos / f"{index:02}.png")
        image.save(folder / f"{index}.bmp")
    words = [RUN, photos, "--labelled", "known", "--output", "found", "--method", "coverage"]
    status, out, _ = command(*words, "--count", 100)
    assert status == 0
    assert out.startswith("40 images of 40 by coverage; 20 near twins left out")
    assert {int(Path(row["path"]).stem) for row in read("found")} == {*range(20, IMAGES)}

    fill("found", 5)
    status, _, err = command(*words)
    assert status == 2
    assert "--output found has a suggested.csv already, perhaps with labels" in err
    assert read("found")[0]["label"] != ""
    assert command(*words, "--overwrite", "--count", 7)[0] == 0
    assert len(read("found")) == 7


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("photos --labelled photos", "all 60 have labels in --labelled"),
        ("photos --labelled empty.csv", "--labelled empty.csv has no label in any row"),
        ("photos --labelled nowhere", "nowhere is no file or folder"),
        ("photos --method margins", "margins is unknown; did you mean margin?"),
        ("photos --count 0", "0 is out of range"),
        ("nowhere", "nowhere is no file or folder"),
    ],
)
def test_what_cannot_be_suggested_is_refused(command, photos, words, message):
    Path("empty.csv").write_text("path,label\nphotos/01.png,\n")
    status, _, err = command(RUN, *words.split(), "--output", "found")
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not Path("found").exists()


def test_a_model_without_classes_has_no_margins(command, photos):
    weights = Path("backbone.keras")
    vit_keras.build_vit(
        None, image_size=8, patch_size=4, num_classes=3, width=16, depth=1, num_heads=1, mlp_dim=16
    ).save(weights)
    status, _, err = command(weights, photos, "--output", "found", "--method", "margin")
    assert status == 2
    assert "--method margin needs labels of two classes" in err


def test_nothing_readable_leaves_no_folder(command, photos):
    Path("bad.png").write_bytes(b"a web page")
    status, _, err = command(RUN, "bad.png", "--output", "found")
    assert status == 2
    assert "none of 1 image without a label could be read (bad.png: no image" in err
    assert not Path("found").exists()


def test_margins_are_those_of_the_runs_own_predictions(command, photos):
    words = [RUN, photos, "--output", "found", "--method", "margin", "--count", 10]
    assert command(*words)[0] == 0
    predictor = vit_keras.Predictor(RUN)
    for row in read("found"):
        [found] = predictor.predict(row["path"])
        best, second, *_ = found.top
        assert float(row["score"]) == pytest.approx(best.confidence - second.confidence, abs=1e-4)
        assert row["reason"].split()[0] == best.label
    assert np.diff([float(row["score"]) for row in read("found")]).min() >= 0
