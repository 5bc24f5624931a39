"""Show one run: its metrics, curves by epoch, and its predictions for a few images."""

import functools
import math
from typing import Any

import streamlit as st

from vit_keras.config.schema import Config
from vit_keras.runs import accuracy, history
from vit_keras.runs.config_file import CONFIG, read_config
from vit_keras.runs.history import ACCURACY, VAL_MAP
from vit_keras.runs.run_dir import read_or_default
from vit_keras.studio.components import charts, figures
from vit_keras.studio.components.display import escape_markdown, short_path, show_note, table
from vit_keras.studio.jobs.live_run import RunView
from vit_keras.text import counted, format_duration

METRICS = {  # column of history.csv -> label
    ACCURACY: "validation accuracy",
    "val_balanced_accuracy": "balanced accuracy",  # where it is monitored
    "val_macro_f1": "macro F1",  # likewise
    VAL_MAP: "validation mAP",  # of several labels, in place of the accuracy
    "val_loss": "validation loss",
    "learning_rate": "learning rate",
    "images_per_second": "images/s",
}

WIDTH = 110  # pixels of an image


def show(view: RunView) -> None:
    """Show what a finished run reached, or the last epoch of another, and the curves."""
    if view.metrics:
        _show_result(view)
    if "folds" in view.metrics:
        _show_folds(view.metrics)
    if not view.rows:
        return
    if not view.metrics:
        _show_last_epoch(view)
    best = best_epoch(view)
    name = view.path.name
    charts.show_curves({name: view.rows}, {name: best}, images=view.images)
    show_note(f"The dotted line marks the best epoch, {best}, whose model is kept.")
    _show_samples(view, best)


def best_epoch(view: RunView) -> int:
    """The epoch whose model is kept, by what the run monitors."""
    if "best_epoch" in view.metrics:
        return int(view.metrics["best_epoch"])
    config = read_or_default(read_config, view.path / CONFIG, Config())
    monitor = history.monitor_of(config)
    return int(history.best_epoch(view.rows, monitor if monitor in view.rows[0] else ACCURACY))


def _show_result(view: RunView) -> None:
    """Test accuracy, best validation accuracy and duration, in this order."""
    metrics = view.metrics
    name = "mAP" if "test_map" in metrics else "accuracy"
    reached = metrics.get(f"test_{name.lower()}", float("nan"))
    of_test, of_validation = (_images(view, split) for split in ("test", "validation"))
    in_percent = functools.partial(figures.percent, images=of_test)
    test = in_percent(reached)
    certainty = _certainty(reached, metrics) if name == "accuracy" else ""
    by_class = accuracy.class_text(metrics, "test_", in_percent)
    text = f"Finished: test {name} {test}{certainty}{by_class}, in {short_path(view.path)}"
    st.success(escape_markdown(text))
    best = metrics.get("best_val_map" if name == "mAP" else "best_val_accuracy")
    shown = {f"Test {name}": test}
    if best is not None:
        shown[f"Best validation {name}"] = figures.percent(best, of_validation)
    if "best_epoch" in metrics:
        shown["Best epoch"] = f"{metrics['best_epoch']:.0f} of {metrics.get('epochs', 0):.0f}"
    if "train_seconds" in metrics:
        shown["Training time"] = format_duration(metrics["train_seconds"])
    if "total_seconds" in metrics:
        shown["With loading and saving"] = format_duration(metrics["total_seconds"])
    for column, (label, text) in zip(st.columns(len(shown)), shown.items(), strict=True):
        column.metric(label, text)


def _images(view: RunView, split: str) -> int | None:
    """The images of a split; None if that is not known, as of a run of an earlier version."""
    return view.metrics.get(f"{split}_images") or view.images.get(split)


def _certainty(reached: float, metrics: dict[str, Any]) -> str:
    """The interval of a test accuracy; none of a run of an earlier version."""
    interval, images = metrics.get("test_accuracy_interval"), metrics.get("test_images")
    if not interval or not images or math.isnan(reached):
        return ""
    return f" ({figures.certainty(reached, interval, images)})"


def _show_last_epoch(view: RunView) -> None:
    last, images = view.rows[-1], _images(view, "validation")
    st.markdown(f"**After epoch {last['epoch']:.0f}**")
    shown = {key: label for key, label in METRICS.items() if key in last}
    if VAL_MAP in shown:
        del shown[ACCURACY]  # high also where no label is ever given
    for column, (key, label) in zip(st.columns(len(shown)), shown.items(), strict=True):
        speed = f"{last[key]:,.0f}" if key == "images_per_second" else ""
        column.metric(label, speed or figures.metric(key, last[key], images))
    if images and images < accuracy.FEW_IMAGES:
        show_note(f"By {counted(images, 'validation image[s]')}: too few for accuracies to tell.")


def _show_folds(metrics: dict[str, Any]) -> None:
    """Of an ensemble: the mean of its folds with its interval, and a row for each fold."""
    st.markdown(escape_markdown(accuracy.folds_text(metrics, figures.percent)))
    reached = zip(metrics["fold_val_accuracies"], metrics["fold_test_accuracies"], strict=True)
    rows = [
        (f"fold {number}", *map(figures.percent, pair)) for number, pair in enumerate(reached, 1)
    ]
    whole = (figures.percent(metrics[name]) for name in ("out_of_fold_accuracy", "test_accuracy"))
    head = ("", "validation accuracy", "test accuracy")
    st.markdown(table([head, *rows, ("ensemble, and out of fold", *whole)]))


def samples_shown(view: RunView, best: int) -> tuple[dict[str, Any], str]:
    """The predictions of one epoch of `view.samples`, and their title.

    Of a run that has finished they are those of the best epoch, as its model is the one that is
    kept; of another, or where they are missing, those of the last epoch.
    """
    epochs = view.samples["epochs"]
    of_best = [one for one in epochs if one["epoch"] == best] if view.metrics else []
    shown = of_best[-1] if of_best else epochs[-1]
    title = f"Validation images after epoch {shown['epoch']}"
    if shown["epoch"] == best:
        return shown, f"{title}, the best" + (", whose model is kept" if view.metrics else "")
    return shown, f"{title}; the model that is kept is that of epoch {best}"


def _show_samples(view: RunView, best: int) -> None:
    """Validation images, each with its label and its prediction."""
    if not view.samples.get("epochs"):
        return
    (shown, title), labels = samples_shown(view, best), view.samples["labels"]
    st.markdown(f"**{escape_markdown(title)}**")
    predictions = zip(labels, shown["predicted"], shown["confidence"], strict=True)
    with st.container(horizontal=True):
        for number, (label, predicted, confidence) in enumerate(predictions):
            file = view.path / "samples" / f"{number:02}.png"
            if not file.is_file():
                continue
            is_correct = label == predicted
            outcome = "✓ correct" if is_correct else f"✗ predicted {escape_markdown(predicted)}"
            with st.container(width=WIDTH):
                st.image(str(file), width=WIDTH, alt=f"an image of {label}")
                st.markdown(f"{escape_markdown(label)} {outcome} ({confidence:.0%})")
