"""`vit-keras embed`, `neighbours` and `probe`, one after the other on the same images."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import vit_keras
from helpers.fake_runs import RELEASED


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs a command in this process; gives (exit status, standard output, standard error)."""

    def start(name, *words):
        monkeypatch.setattr(sys, "argv", [f"vit-keras {name}", *map(str, words)])
        status = 0
        try:
            importlib.import_module(f"vit_keras.cli.{name}").main()
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return start


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """The working directory: ten digits in a folder for each class, and a damaged file."""
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    for index in range(20):
        path = Path("photos", str(digits.target[index]), f"{index}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[index] * 255 / 16).astype("uint8")).save(path)
    Path("photos", "3", "bad.png").write_bytes(b"a web page")
    return Path("photos")


def test_a_folder_is_embedded_and_searched(command, photos):
    words = [RELEASED, "photos", "--output", "found.npz", "--map", "map.png"]
    status, out, err = command("embed", *words)
    assert status == 0
    assert out.splitlines()[0] == "embeddings: found.npz"
    assert out.splitlines()[1].startswith("map, by ")
    assert "photos/3/bad.png: no image by its content" in err.splitlines()
    assert err.splitlines()[-1].startswith("20 of 21 images in ")
    assert err.splitlines()[-1].endswith(", 48 numbers each; 1 cannot be read")
    with Image.open("map.png") as map:
        assert map.size == (1200, 1200)
    with np.load("found.npz") as arrays:
        folders = [path.split("/")[1] for path in arrays["path"].tolist()]
        assert arrays["label"].tolist() == folders
        assert (arrays["reason"] != "").sum() == 1

    image = "photos/7/17.png"
    status, out, err = command("neighbours", "found.npz", image, "--count", "3", "--format=json")
    first, second, _ = json.loads(out)
    assert (first["file"], first["label"]) == (image, "7")
    assert first["similarity"] == pytest.approx(1, abs=1e-5)
    assert second["label"] == "7"

    status, _, err = command("embed", *words)
    assert status == 2
    assert "error: --output found.npz is there already" in err


@pytest.mark.slow
def test_embeddings_of_other_weights_are_refused(command, photos):
    run = shutil.copytree(RELEASED, "run")
    assert command("embed", run, "photos/1", "--output", "found.npz")[0] == 0
    shutil.move(run, "moved")
    status, _, err = command("neighbours", "found.npz", "photos/1/1.png")
    assert status == 2
    assert err.splitlines()[-1].endswith("if it was moved, name its place by --model ...")
    status, out, _ = command("neighbours", "found.npz", "photos/1/1.png", "--model", "moved")
    assert (status, out.split()[:4]) == (0, ["file", "label", "similarity", "photos/1/1.png"])
    model = vit_keras.open_run("moved").model
    model.get_layer("encoder_norm").gamma.assign_add(np.full(48, 0.1))
    model.save("moved/best.keras")
    status, _, err = command("neighbours", "found.npz", "photos/1/1.png", "--model", "moved")
    assert status == 2
    assert "with other weights than" in err.splitlines()[-1]


def test_nothing_readable_leaves_no_file(command, photos):
    status, _, err = command("embed", RELEASED, "photos/3/bad.png", "--output", "found.npz")
    assert status == 2
    assert "error: none of 1 file could be read (photos/3/bad.png: no image by" in err
    assert not Path("found.npz").exists()


@pytest.mark.slow
def test_a_probe_prints_a_table_and_writes_json(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = command("probe", RELEASED, "data.limit=200", "--output", "probe.json")
    assert status == 0
    report = json.loads(Path("probe.json").read_text())
    line = next(line for line in out.splitlines() if line.startswith("kNN, k = 20"))
    assert f"{report['knn']['accuracy']:.4f}" in line.split()
    assert out.splitlines()[-1] == "probe: probe.json"
    status, _, err = command("probe", RELEASED, "--output", "probe.json")
    assert status == 2
    assert "probe.json is there already" in err
