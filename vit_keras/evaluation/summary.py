"""An evaluation in a few printed lines."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vit_keras.config.schema import MULTILABEL
from vit_keras.evaluation import abstention, artifacts, calibration, multilabel, tta
from vit_keras.evaluation.preflight import TEST
from vit_keras.runs.accuracy import FEW_IMAGES, class_text
from vit_keras.text import counted

log = logging.getLogger("vit_keras")


def log_summary(folder: Path, report: dict[str, Any]) -> None:
    """Log what `report`, the contents of `evaluation.json`, says, and where it is."""
    for line in _summary(report):
        log.info("%s", line)
    if report["data"]["note"]:
        log.warning("WARNING: %s", report["data"]["note"])
    log.info("report: %s\nevaluation: %s", folder / artifacts.REPORT, folder)


def _summary(report: dict[str, Any]) -> Iterator[str]:
    if report.get("task") == MULTILABEL:
        yield multilabel.describe(report)
        yield f"thresholds: {report['thresholds_from']}"
        return
    low, high = report["accuracy_interval"]
    top5, speed = report["top5_accuracy"], report["images_per_second"]
    test = "test " if report["data"]["split"] == TEST else ""
    few = ": too few images to tell" if report["images"] < FEW_IMAGES else ""
    yield (
        f"accuracy {report['accuracy']:.4f} (95% interval {low:.4f} to {high:.4f}, Wilson{few})"
        f"{class_text(report)}"
        f"{'' if top5 is None else f', top-5 {top5:.4f}'}, loss {report['loss']:.4f}, "
        f"on {counted(report['images'], f'{test}image[s]')} of {report['data']['name']}"
    )
    if flipped := tta.describe(report):
        yield flipped
    yield calibration.describe(report["calibration"])
    yield from abstention.describe(report["abstention"])
    scores = report["robustness"]
    means = ", ".join(f"{name} {mean:.4f}" for name, mean in scores["means"].items())
    yield (
        f"accuracy on corrupted images: {means} (means of three severities, on "
        f"{counted(scores['images'], 'image[s]')}; {scores['clean']:.4f} without corruption)"
    )
    for row in report["sizes"]:
        side, width = row["image_size"], row["image_width"]
        shown = side if side == width else f"{side}x{width}"
        yield f"at {shown} pixels: accuracy {row['accuracy']:.4f}"
    if speed is not None:
        yield f"speed: {speed:.0f} images/s"
