"""The same images by a folder and by tables are trained on and evaluated with the same result."""

import csv
import json

import numpy as np
import pytest

from helpers.image_files import write
from helpers.trained_runs import assert_same
from vit_keras import evaluate_run, load_config, train_model

MODEL = ("patch_size=2", "width=8", "depth=1", "num_heads=1", "mlp_dim=8", "dropout=0.1")
SETTINGS = (
    *("recipe=folder", "data.image_size=[4,6]", "augment.crop_padding=1", "data.prefetch=1"),
    *("train.epochs=2", "train.batch_size=8", "train.jit_compile=false"),
    *(f"model.{setting}" for setting in MODEL),
)


def tables(folder):
    """A table of each kind of the images in `folder`/photos, in another order than by name."""
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    files = sorted((folder / "photos").rglob("*.png"), key=lambda file: (file.stem, file.parent))
    rows = [
        {"file_name": file.relative_to(folder).as_posix(), "label": file.parent.name}
        for file in reversed(files)
    ]
    found = {name: folder / f"labels.{name}" for name in ("csv", "jsonl", "parquet")}
    found["csv"].write_text("".join(f"{r['file_name']},{r['label']}\n" for r in [NAMES, *rows]))
    found["jsonl"].write_text("".join(json.dumps(row) + "\n" for row in rows))
    parquet.write_table(pyarrow.Table.from_pylist(rows), found["parquet"])
    (folder / "metadata.csv").write_bytes(found["csv"].read_bytes())
    return {**found, "imagefolder": folder}


NAMES = {"file_name": "file_name", "label": "label"}


@pytest.mark.slow
def test_a_table_is_trained_on_as_the_folder_of_its_images(tmp_path):
    folder = tmp_path / "data"
    for name in ("ant", "bee", "cat 2"):
        write(folder / "photos" / name, 16)
    data = {"folder": ("data=folder", f"data.path={folder / 'photos'}")}
    data |= {kind: ("data=csv", f"data.path={path}") for kind, path in tables(folder).items()}
    runs = {
        kind: train_model(load_config(*SETTINGS, *words, f"run.dir={tmp_path / kind}"))
        for kind, words in data.items()
    }
    expected = runs["folder"]
    prints = {kind: environment(run)["data_fingerprint"] for kind, run in runs.items()}
    assert {*prints.values()} == {prints["folder"]}
    for run in runs.values():
        assert_same(run.path, expected.path)
        for name in ("test_loss", "test_accuracy"):
            assert run.metrics[name] == expected.metrics[name]
    by_table = evaluate_run(expected.path, data["csv"], images=4)  # which are its own data
    by_folder = evaluate_run(runs["csv"].path, data["folder"], images=4)
    np.testing.assert_equal(by_table.report["accuracy"], by_folder.report["accuracy"])
    for done in (by_table, by_folder):
        assert done.report["data"]["is_the_runs_own"]
    with open(by_table.path / "mistakes.csv", newline="") as file:
        named = [row["image"] for row in csv.DictReader(file)]
    assert all((folder / name).is_file() for name in named)


def environment(run):
    return json.loads((run.path / "environment.json").read_text())
