"""How the studio says figures, without a browser and without Keras."""

import json

import pytest

from helpers.fake_runs import finished, stopped
from helpers.paths import SAVED_MODELS
from helpers.waiting import PATIENCE

pytest.importorskip("streamlit", reason="needs the extra `studio`")

from streamlit.testing.v1 import AppTest

from vit_keras.runs.listing import list_runs, rank
from vit_keras.runs.notes import Notes
from vit_keras.studio.components import (
    figures,
    job_summary,
    run_columns,
    run_metrics,
    run_table,
)
from vit_keras.studio.components.run_columns import NotedRun
from vit_keras.studio.jobs import live_run

FEW = {
    "test_accuracy": 14 / 15,
    "test_images": 15,
    "test_accuracy_interval": [0.7018, 0.9881],
    "best_val_accuracy": 1.0,
    "validation_images": 6,
    "best_epoch": 2,
}
SHOW = "from pathlib import Path\nfrom vit_keras.studio"  # and the module of a script


@pytest.mark.parametrize(
    ("share", "images", "text"),
    [
        (1.0, 15, "100%"),
        (14 / 15, 15, "93%"),
        (351 / 359, 359, "97.8%"),
        (0.8922, 10_000, "89.22%"),
        (0.8922, None, "89.22%"),  # a run of an earlier version
        (0.5, 10_000, "50%"),
        (0.999999, 1_000_000, "100%"),
        (0.99996, 1_000_000, "99.99%"),  # not every image is right
        (0.0, 15, "0%"),
    ],
)
def test_a_share_has_the_decimals_that_its_images_support(share, images, text):
    assert figures.percent(share, images) == text


def test_small_numbers_are_written_out():
    assert figures.number(8.46e-06) == "0.00000846"
    assert figures.number(9.53674e-07) == "below 0.000001"
    assert figures.number(0) == "0"
    assert figures.metric("learning_rate", 1.05768e-07) == "below 0.000001"
    assert figures.metric("loss", 0.000152698) == "0.000153"
    assert [figures.setting(value) for value in (5e-05, 0.0005, 1e-10, 3, None, True)] == [
        *("0.00005", "0.0005", "0.0000000001", "3", "-", "true"),
    ]


def test_a_learning_rate_is_shown_as_people_write_it():
    shown = [figures.typed(text) for text in ("5e-05", "1.5E-3", "0.002", "auto", "1e99999", "3e")]
    assert shown == ["0.00005", "0.0015", "0.002", "auto", "1e99999", "3e"]
    summary = job_summary._summary({"data.name": "digits", "optim.learning_rate": "5e-05"})
    assert summary.replace("\\", "").endswith("Learning rate 0.00005")


def test_an_accuracy_of_few_images_comes_with_their_number(tmp_path):
    assert figures.accuracy(1.0, 2) == "100%, 2 of 2 images"
    assert figures.accuracy(1.0, 2, is_counted=False) == "100%, 2 images"
    assert figures.accuracy(0.93, 1000) == "93%"
    assert figures.accuracy(None, 2) == ""
    assert figures.accuracy(float("nan"), 2) == "nan%, 2 images"  # as a damaged file may have
    finished(tmp_path / "few", **FEW)
    finished(tmp_path / "many", best_val_accuracy=0.8922, validation_images=10_000)
    few, many = list_runs(tmp_path)
    assert run_table._title(few) == "few (validation accuracy 100%, 6 of 6 images)"
    assert run_table._title(many) == "many (validation accuracy 89.22%)"


def page_of(script):
    page = AppTest.from_string(script, default_timeout=PATIENCE).run()
    assert not page.exception
    return page


def test_a_result_is_said_in_one_way(tmp_path):
    run = finished(tmp_path / "run", **FEW)
    shown = page_of(
        f"{SHOW}.components import run_metrics\n{SHOW}.jobs import live_run\n"
        f"run_metrics.show(live_run.view(Path({str(run)!r})))"
    )
    (success,) = shown.success
    said = success.value.replace("\\", "")
    assert "test accuracy 93% (14 of 15 images, 95% interval 70% to 99%, too few to tell)" in said
    assert {one.label: one.value for one in shown.metric}["Test accuracy"] == "93%"
    assert {one.label: one.value for one in shown.metric}["Best validation accuracy"] == "100%"


def test_an_evaluation_says_its_accuracy_as_the_result_does(tmp_path):
    folder = SAVED_MODELS / "cifar10_small" / "evaluation"
    report = json.loads((folder / "evaluation.json").read_text())
    (tmp_path / "evaluation").mkdir()
    report |= {"accuracy": 1.0, "accuracy_interval": [0.7961, 1.0], "images": 15}
    (tmp_path / "evaluation" / "evaluation.json").write_text(json.dumps(report))
    shown = page_of(
        f"{SHOW}.components import evaluation\nevaluation.show(Path({str(tmp_path)!r}))"
    )
    assert {one.label: one.value for one in shown.metric}["accuracy"] == "100%"
    said = [one.value.replace("\\", "") for one in shown.markdown]
    wanted = ":small[accuracy: 15 of 15 images, 95% interval 80% to 100%, too few to tell]"
    assert wanted in said


def test_an_export_says_its_difference_in_words_and_leads_to_the_download(tmp_path):
    found = {"bytes": 7_630_000, "images": 15, "top1_agreement": 1.0, "max_difference": 9.5e-07}
    (tmp_path / "export.json").write_text(json.dumps(found))
    shown = page_of(
        f"{SHOW}.pages import inference\nfrom vit_keras.runs.status import RunState\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "inference._show_exported(RunState('a', folder, 'finished'), folder)"
    )
    assert [one.value for one in shown.metric] == ["7.63 MB", "100%", "below 0.000001"]
    (button,) = shown.get("download_button")
    assert button.proto.type == "primary"


def test_a_comparison_says_why_none_is_the_best(tmp_path):
    for name, reached in (("a", 14 / 15), ("b", 1.0)):
        finished(tmp_path / name, **FEW | {"test_accuracy": reached})
    shown = page_of(
        f"{SHOW}.components import run_comparison\nfrom vit_keras.runs.listing import list_runs\n"
        f"run_comparison.show(list_runs(Path({str(tmp_path)!r})))"
    )
    table = next(one.value for one in shown.dataframe if "Test accuracy" in one.value.index)
    assert list(table.loc["Test accuracy"]) == ["93%, 14 of 15 images", "100%, 15 of 15 images"]
    said = [one.value for one in shown.markdown]
    why = "no run is marked: on so few images, the differences can be chance"
    assert f":small[{why}]" in said


def test_the_images_beside_a_result_are_those_of_the_model_that_is_kept(tmp_path):
    epochs = [{"epoch": epoch, "predicted": [f"of {epoch}"]} for epoch in (1, 2, 3)]
    run = stopped(tmp_path / "run", 3)
    (run / "samples").mkdir()
    (run / "samples" / "predictions.json").write_text(json.dumps({"epochs": epochs}))

    def shown(best):
        return run_metrics.samples_shown(live_run.view(run), best)

    title = "Validation images after epoch 3; the model that is kept is that of epoch 2"
    assert shown(2) == (epochs[2], title)
    assert shown(3) == (epochs[2], "Validation images after epoch 3, the best")
    (run / "metrics.json").write_text(json.dumps({"best_epoch": 2}))  # it has finished
    title = "Validation images after epoch 2, the best, whose model is kept"
    assert shown(2) == (epochs[1], title)
    (run / "samples" / "predictions.json").write_text(json.dumps({"epochs": epochs[2:]}))
    assert shown(2)[1].endswith("; the model that is kept is that of epoch 2")


def test_the_table_of_runs_has_whole_names_and_percentages(tmp_path):
    name = "finetune_photos-20261129-222015"
    finished(tmp_path / name, **FEW)
    runs = [NotedRun(one, Notes()) for one in rank(list_runs(tmp_path))]
    columns = ["test_accuracy", "best_val_accuracy", "train_seconds", "optim.learning_rate"]
    frame = run_columns.table_frame(runs, columns)
    assert list(frame["test_accuracy"]) == [0.93]
    config = run_columns.column_config(runs, columns)
    assert config["Run"]["width"] >= 7 * len(name)
    assert config["test_accuracy"]["type_config"]["format"] == "percent"
    assert config["train_seconds"]["type_config"]["format"] is None
