"""The panels of `curves.png` and of the studio's charts: what a run is chosen by is one of them."""

import pytest
from PIL import Image

from vit_keras.runs.curves import draw_curves, draw_curves_together, panels_of

PLAIN = {"epoch": 1, "loss": 1, "accuracy": 0.5, "val_loss": 1, "val_accuracy": 0.4,
         "learning_rate": 0.1}  # fmt: skip


def size(file):
    with Image.open(file) as image:
        return image.size


@pytest.mark.parametrize(
    ("columns", "titles"),
    [
        ({}, ["loss", "accuracy", "learning rate"]),
        ({"val_macro_f1": 0.3}, ["loss", "accuracy", "macro F1", "learning rate"]),
        (
            {"val_balanced_accuracy": 0.3},
            ["loss", "accuracy", "balanced accuracy", "learning rate"],
        ),
        ({"map": 0.3, "val_map": 0.3}, ["loss", "mean average precision", "learning rate"]),
    ],
)
def test_the_monitored_score_has_a_panel(columns, titles, tmp_path):
    rows = [{**PLAIN, **columns, "epoch": epoch} for epoch in (1, 2)]
    assert list(panels_of([rows])) == titles
    draw_curves(rows, tmp_path / "curves.png")
    assert size(tmp_path / "curves.png") == (400 * len(titles), 360)
    # Runs are compared by what all of them have.
    assert list(panels_of([rows, [PLAIN]])) == ["loss", "accuracy", "learning rate"]


def test_runs_with_the_same_score_are_compared_by_it(tmp_path):
    rows = [{**PLAIN, "val_macro_f1": 0.3}]
    draw_curves_together({"one": rows, "two": rows}, tmp_path / "curves.png")
    assert size(tmp_path / "curves.png") == (1600, 360)
