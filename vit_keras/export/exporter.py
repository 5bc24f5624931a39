"""Export a run's model to the format of another runtime, and compare the file with Keras."""

import json
import logging
import platform
import statistics
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from vit_keras.data.dataset import Split
from vit_keras.data.image_input import KEY
from vit_keras.data.splits import load_splits
from vit_keras.errors import SettingError
from vit_keras.export import current
from vit_keras.export.formats import FORMATS, LABELS, Reader, format_module, metadata_files
from vit_keras.export.preflight import EXPORT, open_run_and_folder
from vit_keras.export.serving_model import serving_model
from vit_keras.io import atomic
from vit_keras.model.preprocessing import resize_to_input
from vit_keras.runs.saved_run import MODEL, SavedRun
from vit_keras.text import counted

IMAGES = 200  # that a file is compared with Keras on

log = logging.getLogger("vit_keras")


@dataclass(frozen=True)
class Export:
    """A finished export.

    Attributes:
        path: its folder.
        report: the contents of `export.json`.
    """

    path: Path
    report: dict[str, Any]


class ComparisonImages(NamedTuple):
    """The images that an exported file is compared with Keras on."""

    pixels: np.ndarray  # (n, X, Y, C) uint8, or float32 of a run with a `data.value_range`
    labels: np.ndarray | None  # (n,); None for random pixels
    source: str
    warning: str = ""


def export_run(
    run: str | Path, format: str, output: str | Path | None = None, images: int = IMAGES
) -> Export:
    """Export a run's model: (B, X, Y, C) uint8 -> probabilities (B, classes), for any B.

    Normalisation, temperature scaling and softmax are part of the file. How an image comes to its
    input is described in it and in `export.json`, and done by `preprocess.py` beside it, without
    Keras. The file is opened by the runtime of its format and compared with Keras on test images;
    see `compare_with_keras`.

    Args:
        run: the folder of a training run.
        format: one of `vit_keras.export.formats.FORMATS`.
        output: the folder to write; None is `<run>/export/<format>`.
        images: number of test images for the comparison.

    Raises:
        SettingError: a setting is invalid; nothing is written.
    """
    saved, folder = open_run_and_folder(run, format, output, keras.backend.backend())
    return write_export(saved, format, folder, test_images(saved, images))


def write_export(saved: SavedRun, format: str, folder: Path, test: ComparisonImages) -> Export:
    """Write the export of a run to `folder`, compared with Keras on `test`; see `export_run`."""
    model = serving_model(saved)
    image_input, output = saved.image_input.describe(), output_description(saved)
    metadata = {KEY: image_input, **output}
    abstention = saved.abstention.summary if saved.abstention else None
    with atomic.atomic_folder(folder, EXPORT) as new:
        write = format_module(format).write
        if FORMATS[format].has_ood_score:
            scored = serving_model(saved, with_ood_score=True)
            write(scored, new, saved.class_names, metadata, abstention)
        else:
            write(model, new, saved.class_names, metadata)
        labels = metadata_files(saved.class_names, metadata)[LABELS]
        (new / LABELS).write_text(labels, encoding="utf-8")
        saved.image_input.write_preprocess(new)
        report = {
            **({"warning": test.warning} if test.warning else {}),
            "format": format,
            "file": FORMATS[format].file,
            "bytes": _size(new / FORMATS[format].file),
            **_checksum(new / FORMATS[format].file),
            "run_bytes": (saved.path / MODEL).stat().st_size,
            current.FINGERPRINT: current.model_fingerprint(saved.path / MODEL),
            KEY: image_input,
            "images_from": test.source,
            **compare_with_keras(
                model, format_module(format).reader(new), *test[:2], output.get("thresholds")
            ),
            "temperature": saved.temperature,
            "calibration": saved.decision,
            current.ABSTENTION: abstention,
            **output,
            "class_names": saved.class_names,
            "versions": _versions(format),
        }
        text = json.dumps(report, indent=2, ensure_ascii=False)
        (new / EXPORT).write_text(text + "\n", encoding="utf-8")
    _log_summary(folder, report)
    return Export(folder, report)


def output_description(saved: SavedRun) -> dict[str, Any]:
    """Of several labels: the task, and the threshold from which on an image gets each."""
    if not saved.is_multilabel:
        return {}
    return {"task": saved.config.task, "thresholds": current.thresholds_of(saved)}


def test_images(saved: SavedRun, count: int) -> ComparisonImages:
    """Evenly spaced images of the test split, at the model's size.

    If the data cannot be loaded: random pixels, without labels. They show whether two runtimes
    agree, but not the accuracy.
    """
    try:
        saved.check_data_path()
        splits = load_splits(saved.config.data, saved.config.train.seed)
    except SettingError as error:
        shape = (count, *saved.model.input_shape[1:])
        levels = np.random.default_rng(0).integers(0, 256, shape, "uint8")
        pixels = levels.astype(saved.image_input.dtype)
        warning = f"compared on random pixels, because no test image can be loaded: {error}"
        log.warning("WARNING: %s", warning)
        return ComparisonImages(pixels, None, "random pixels", warning)
    return images_of_split(saved, splits.test, count)


def images_of_split(saved: SavedRun, test: Split, count: int = IMAGES) -> ComparisonImages:
    """Evenly spaced images of the run's test split, at the model's size."""
    indices = np.unique(np.linspace(0, len(test.labels) - 1, count).astype(int))
    images = resize_to_input(test.images[indices], saved.model)
    source = f"test split of {saved.config.data.name}"
    return ComparisonImages(images, test.labels[indices], source)


def compare_with_keras(
    model: keras.Model,
    predict: Reader,
    images: np.ndarray,
    labels: np.ndarray | None,
    thresholds: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Compare an exported file with its Keras model: difference, agreement, accuracy, latency.

    Of several labels, which `thresholds` decide, agreement and accuracy are shares of all labels.
    """
    expected = predict_in_batches(lambda batch: np.asarray(model.predict_on_batch(batch)), images)
    found = predict_in_batches(predict, images)
    if thresholds is None:
        keras_classes, classes = expected.argmax(axis=-1), found.argmax(axis=-1)
    else:
        limits = np.array(list(thresholds.values()))
        keras_classes, classes = expected >= limits, found >= limits
    accuracies = {}
    if labels is not None:
        accuracies = {
            "accuracy": float((classes == labels).mean()),
            "keras_accuracy": float((keras_classes == labels).mean()),
        }
    return {
        "images": len(images),
        "max_difference": float(np.abs(found - expected).max()),
        "top1_agreement": float((classes == keras_classes).mean()),
        **accuracies,
        "latency_ms": latency_ms(predict, images[:1]),
        "keras_latency_ms": latency_ms(model.predict_on_batch, images[:1]),
    }


def predict_in_batches(predict: Reader, images: np.ndarray, size: int = 50) -> np.ndarray:
    parts = [predict(images[start : start + size]) for start in range(0, len(images), size)]
    return np.concatenate(parts)


def latency_ms(predict: Reader, image: np.ndarray, times: int = 20) -> float:
    """Median latency of a batch of one image, after three warm-up calls."""
    seconds = []
    for _ in range(times + 3):
        started = time.perf_counter()
        predict(image)
        seconds.append(time.perf_counter() - started)
    return round(1000 * statistics.median(seconds[3:]), 3)


def _log_summary(folder: Path, report: dict[str, Any]) -> None:
    tolerance = FORMATS[report["format"]].tolerance
    log.info(
        "%s: %.2f MB (the run's %s has %.2f MB)",
        folder / report["file"],
        report["bytes"] / 1e6,
        MODEL,
        report["run_bytes"] / 1e6,
    )
    log.info(
        "compared with Keras on %s (%s): maximum difference of probabilities %.1e, top-1 "
        "agreement %.1f%%",
        counted(report["images"], "image[s]"),
        report["images_from"],
        report["max_difference"],
        100 * report["top1_agreement"],
    )
    if "accuracy" in report:
        log.info("accuracy %.4f (Keras %.4f)", report["accuracy"], report["keras_accuracy"])
    log.info("%s", report["calibration"])
    log.info(
        "latency of one image: %.2f ms (Keras %.2f ms)",
        report["latency_ms"],
        report["keras_latency_ms"],
    )
    if tolerance is not None and report["max_difference"] > tolerance:
        log.warning(
            "WARNING: the difference exceeds %.0e; find its cause before using the file", tolerance
        )
    log.info("export: %s", folder)


def _checksum(file: Path) -> dict[str, str]:
    """By which damage to the file is found later; nothing for a folder or a pair of files."""
    is_alone = file.is_file() and _size(file) == file.stat().st_size
    return {current.CHECKSUM: current.checksum(file)} if is_alone else {}


def _size(file: Path) -> int:
    """Bytes of a folder, or of a file and those that belong to it (`model.bin` to `model.xml`)."""
    files = file.rglob("*") if file.is_dir() else file.parent.glob(f"{file.stem}.*")
    return sum(part.stat().st_size for part in files if part.is_file())


def _versions(format: str) -> dict[str, str]:
    packages = ("keras", *FORMATS[format].packages)
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
