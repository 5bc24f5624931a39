"""Evaluation: how good a run's model is, how sure it may be of itself, and where it fails.

    vit_keras.evaluate_run("saved_models/digits").report["accuracy"]

Its parts are in `evaluation/`: the data and checks, the scores, calibration and corruptions, the
pictures and the page. n images, K classes.
"""

import contextlib
import hashlib
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from vit_keras import backend
from vit_keras.data import lazy_images
from vit_keras.data.dataset import SourceData
from vit_keras.data.readers import in_memory
from vit_keras.errors import SettingError
from vit_keras.evaluation import artifacts, calibration, metrics, robustness
from vit_keras.evaluation.logits import Classifier
from vit_keras.evaluation.preflight import (
    TEST,
    check_data,
    check_sizes,
    check_split,
    evaluable,
    is_own_place,
    settings_of,
)
from vit_keras.evaluation.task import EvaluationTask, evaluation_task
from vit_keras.model.vit import describe
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import MODEL, TEMPERATURE, SavedRun
from vit_keras.training import environment, freezing

log = logging.getLogger("vit_keras")

POSITIONS = {  # what becomes of them at another size
    "learned": "the learned positions resized",
    "sincos2d": "the waves of the positions drawn on the new grid",
    "rope2d": "the rotary positions counted on",
    "rope_mixed": "the rotary positions counted on",
    "none": "without positions",
}


@dataclass(frozen=True)
class Evaluation:
    """Where an evaluation was put, and what `evaluation.json` in it says."""

    path: Path
    report: dict[str, Any]


def evaluate_run(
    run: str | Path,
    overrides: Sequence[str] = (),
    sizes: Sequence[int] = (),
    images: int = 1000,
    output: str | Path | None = None,
    data: Any = None,
    split: str = TEST,
) -> Evaluation:
    """Measure a run's model on a test split, and write `report.html` and what it is made of.

    The temperature (Guo et al. 2017) is fitted on the run's own validation split and kept with the
    run; on other data, the run's own holds.

    Args:
        run: the folder of a training run.
        overrides: what is different of its data, `["data=folder", "data.path=photos"]`.
        sizes: image sizes that its weights are tried at besides.
        images: how many test images are tried corrupted.
        output: the folder to make; None is `<run>/evaluation`, and `<run>/evaluation-...` on data
            that the run was not trained on.
        data: in the place of its data set, as for `train_model`; classes without names are the
            run's in order.
        split: "test"; or "all", every image of data that the run was not trained on.

    Raises:
        SettingError: what was asked for cannot be had; nothing is written then.
    """
    saved = evaluable(run, sizes, output)
    given = None if data is None else _named(in_memory.to_in_memory(data), saved)
    config = in_memory.with_array_source(settings_of(saved, overrides), given)
    check_split(saved, split, is_own=given is None and is_own_place(saved, config))
    if given is None:
        check_data(saved, config)
    with contextlib.closing(Run(saved.path)) as held:  # nobody trains it meanwhile
        patch_size, positions = _patches(saved, sizes)
        chosen = evaluation_task(saved, config, given, overrides, split)
        folder = chosen.folder(output)
        with lazy_images.report_decode_failures(chosen.splits):
            report, logits, fitted = _measured(chosen, sizes, images, patch_size)
        report["positions"] = positions
        with artifacts.write_artifacts(folder, report, logits, chosen):
            if fitted is not None:  # the folder is not in its place yet: both or none
                held.write_json(TEMPERATURE, fitted)
    _log_summary(folder, report)
    return Evaluation(folder, report)


def _named(given: SourceData, saved: SavedRun) -> SourceData:
    """Classes that are numbers, as arrays have them, are the run's in order."""
    is_numbered = given.class_names == [str(index) for index in range(len(saved.class_names))]
    return given._replace(class_names=saved.class_names) if is_numbered else given


def _patches(saved: SavedRun, sizes: Sequence[int]) -> tuple[int, str]:
    """The patches' size, and what becomes of their positions at other sizes, which have to fit."""
    if not sizes:
        return 0, ""
    try:
        built = describe(saved.model)
    except SettingError as error:
        raise SettingError(f"sizes={sizes[0]} cannot be had ({error}); leave it out") from None
    check_sizes(sizes, built["patch_size"])
    return built["patch_size"], POSITIONS[built["position"]]


def _measured(
    chosen: EvaluationTask, sizes: Sequence[int], images: int, patch_size: int
) -> tuple[dict[str, Any], np.ndarray, dict[str, Any] | None]:
    """The report, the measured images' logits (n, K), and the temperature if it was fitted."""
    saved, train = chosen.saved, chosen.config.train
    test, labels = chosen.splits.test, chosen.splits.test.labels
    part = robustness.draw_sample(test, images, train.seed)
    others = sum((side, side) != saved.model.input_shape[1:3] for side in set(sizes))
    total = (1 + others) * len(labels) + robustness.passes() * len(part.labels)
    total += len(chosen.splits.validation.labels) if chosen.is_own else 0
    with tqdm(total=total, unit=" images", delay=2, disable=None) as bar:
        classify = Classifier(saved.model, train.batch_size, chosen.config.data.prefetch, bar)
        logits = classify.logits(test, chosen.split)
        speed = classify.images_per_second
        temperature, source, fitted = _temperature(chosen, classify)
        report = {
            **_described(chosen),
            **metrics.overall(logits, labels),
            "images_per_second": speed,
            "calibration": {
                **metrics.calibrated(logits, labels, temperature)[0],
                "temperature_from": source,
            },
            "robustness": robustness.evaluate_corrupted(part, classify, train.seed),
            "sizes": robustness.evaluate_at_sizes(chosen, sizes, logits, patch_size, bar)
            if sizes
            else [],
        }
    return report, logits, fitted


def _temperature(
    chosen: EvaluationTask, classify: Classifier
) -> tuple[float, str, dict[str, Any] | None]:
    """The temperature, where it is from in words, and what the run keeps of it if it is fitted."""
    if not chosen.is_own:
        is_there = (chosen.saved.path / TEMPERATURE).is_file()
        source = "as fitted on the run's own data" if is_there else "not fitted yet"
        return chosen.saved.temperature, source, None
    validation = chosen.splits.validation
    found = calibration.fit_temperature(
        classify.logits(validation, "validation"), validation.labels
    )
    source = f"fitted on the {len(validation.labels):,} images of the validation split"
    fitted = {
        "temperature": found.value,
        "note": found.note,
        "method": "least negative log likelihood (Guo et al. 2017)",
        "loss": found.loss,
        "loss_calibrated": found.calibrated_loss,
        "fitted_on": {
            "data": chosen.config.data.name,
            "data_fingerprint": chosen.fingerprint,
            "split": "validation",
            "images": len(validation.labels),
            "model": MODEL,
            "model_sha256": _sha256(chosen.saved.model_file),
        },
    }
    return found.value, found.note or source, fitted


def _described(chosen: EvaluationTask) -> dict[str, Any]:
    """What was evaluated, on what, and when."""
    saved, data = chosen.saved, chosen.config.data
    return {
        "run": saved.path.name,
        "evaluated_at": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "classes": len(saved.class_names),
        "class_names": saved.class_names,
        "data": {
            "name": data.name,
            "path": data.path,
            "split": chosen.split,
            "fingerprint": chosen.fingerprint,
            "is_the_runs_own": chosen.is_own,
            "note": chosen.note,
        },
        "model": {
            "file": MODEL,
            "sha256": _sha256(saved.model_file),
            "params": freezing.count_params(saved.model),
            "image_size": list(saved.model.input_shape[1:3]),
        },
        "device": ", ".join(backend.devices()),
        "versions": environment.versions(),
    }


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _log_summary(folder: Path, report: dict[str, Any]) -> None:
    """The headline figures, and where everything was put."""
    for line in _headlines(report):
        log.info("%s", line)
    if report["data"]["note"]:
        log.warning("WARNING: %s", report["data"]["note"])
    log.info("report: %s\nevaluation: %s", folder / artifacts.PAGE, folder)


def _headlines(report: dict[str, Any]) -> Iterator[str]:
    low, high = report["accuracy_interval"]
    top5, speed = report["top5_accuracy"], report["images_per_second"]
    yield (
        f"accuracy {report['accuracy']:.4f} (95% interval {low:.4f} to {high:.4f}, Wilson)"
        f"{'' if top5 is None else f', top-5 {top5:.4f}'}, loss {report['loss']:.4f}, "
        f"on {report['images']}{' test' if report['data']['split'] == TEST else ''} images of "
        f"{report['data']['name']}"
    )
    part = report["calibration"]
    yield (
        f"calibration error {part['ece']:.4f}, and {part['ece_calibrated']:.4f} with the "
        f"temperature {part['temperature']:.3f} ({part['temperature_from']})"
    )
    part = report["robustness"]
    means = ", ".join(f"{kind} {mean:.4f}" for kind, mean in part["means"].items())
    yield (
        f"corrupted: {means} (means of three strengths, on {part['images']} images: "
        f"{part['clean']:.4f} as they are)"
    )
    for row in report["sizes"]:
        yield f"at {row['image_size']} pixels: accuracy {row['accuracy']:.4f}"
    if speed is not None:
        yield f"{speed:.0f} images/s"
