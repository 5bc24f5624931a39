"""Evaluate a run: accuracy, calibration, robustness and the most confident errors.

    vit_keras.evaluate_run("saved_models/digits").report["accuracy"]

What is measured is in `measurements.py`, and what is kept with the run in `fitting.py`.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vit_keras import validators
from vit_keras.data import lazy_images
from vit_keras.data.dataset import SourceData
from vit_keras.data.readers import in_memory
from vit_keras.errors import SettingError
from vit_keras.evaluation import artifacts
from vit_keras.evaluation.measurements import measure, measure_labels
from vit_keras.evaluation.other_images import find_other_images
from vit_keras.evaluation.preflight import (
    TEST,
    check_data,
    check_sizes,
    check_split,
    check_task,
    evaluation_config,
    open_evaluable_run,
    uses_training_source,
)
from vit_keras.evaluation.summary import log_summary
from vit_keras.evaluation.task import evaluation_task
from vit_keras.export import current
from vit_keras.model.vit import describe
from vit_keras.predict.engines import ONNX, outdated_onnx
from vit_keras.runs.run_dir import Run
from vit_keras.runs.saved_run import SavedRun, open_run

POSITIONS = {  # position embedding -> what it becomes at another image size
    "learned": "learned position embeddings resized",
    "sincos2d": "sine-cosine position embeddings computed for the new grid",
    "rope2d": "rotary position embeddings extended to the new grid",
    "rope_mixed": "rotary position embeddings extended to the new grid",
    "none": "no position embedding",
}


@dataclass(frozen=True)
class Evaluation:
    """A finished evaluation.

    Attributes:
        path: its folder.
        report: the contents of `evaluation.json`.
    """

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
    flip: bool = False,
    ood: str | None = None,
    map: bool = False,
) -> Evaluation:
    """Evaluate a run's model on a test split, and write `report.html` and the files it is made of.

    The temperature (Guo et al. 2017) is fitted on the run's own validation split and saved in the
    run; it stays 1 where no gain can be shown. So is what predictions abstain by, see
    `Predictor.predict`. On other data those that are saved are used.

    Args:
        run: the folder of a training run.
        overrides: changes to its data, such as `["data=folder", "data.path=photos"]`.
        sizes: heights of further image sizes to evaluate the same weights at; the widths are in
            the proportion of the model's own.
        images: number of test images for the robustness to corruptions.
        output: the folder to write; None is `<run>/evaluation`, and `<run>/evaluation-...` for data
            that the run was not trained on.
        data: in-memory data instead of a data set, as for `train_model`; classes without names
            are the run's in order.
        split: "test", or "all" for every image of data that the run was not trained on.
        flip: beside the plain accuracy, also measure that of horizontal-flip test-time
            augmentation, which `Predictor.predict(flip=True)` has.
        ood: images of none of the classes, a folder or the name of a data set: how well the OOD
            score tells them from the evaluated images (AUROC and FPR95).
        map: also draw a map of up to 1,000 of the evaluated images in two dimensions, by their
            features, which takes some seconds.

    Raises:
        SettingError: a setting is invalid, or the data do not match; nothing is written.
    """
    validators.check_bool("flip", flip)
    validators.check_bool("map", map)
    saved = open_evaluable_run(run, sizes, output)
    check_task(saved, sizes, flip, ood, map)
    in_memory_data = None if data is None else _in_memory(data, saved)
    config = in_memory.with_array_source(evaluation_config(saved, overrides), in_memory_data)
    check_split(saved, split, in_memory_data is None and uses_training_source(saved, config))
    if in_memory_data is None:
        check_data(saved, config)
    other = find_other_images(saved, ood)
    with contextlib.closing(Run(saved.path)) as locked:  # so that no training changes it meanwhile
        patch_size, positions = _check_model(saved, sizes)
        task = evaluation_task(saved, config, in_memory_data, overrides, split)
        folder = task.output_folder(output)
        with lazy_images.report_decode_failures(task.splits):
            if saved.is_multilabel:
                report, outputs, fitted = measure_labels(task)
            else:
                report, outputs, fitted = measure(task, sizes, images, patch_size, flip, other)
        report["positions"] = positions
        with artifacts.write_artifacts(folder, report, outputs, task, map):
            fitted.write(locked)  # before the folder is renamed: all or nothing
    _renew_onnx(saved.path)
    log_summary(folder, report)
    return Evaluation(folder, report)


def _renew_onnx(run: Path) -> None:
    """Make an ONNX file of the run again, as it has the temperature of before."""
    saved = open_run(run)
    if reason := outdated_onnx(saved):
        current.make_again(saved, ONNX, reason)


def _in_memory(data: Any, saved: SavedRun) -> SourceData:
    """Data of a Python program, as the run would have read them."""
    return _with_names(in_memory.to_in_memory(data, saved.config.data), saved)


def _with_names(data: SourceData, saved: SavedRun) -> SourceData:
    """Replace class names that are mere numbers, as of arrays, by the run's in order."""
    is_numbered = data.class_names == [str(index) for index in range(len(saved.class_names))]
    return data._replace(class_names=saved.class_names) if is_numbered else data


def _check_model(saved: SavedRun, sizes: Sequence[int]) -> tuple[int, str]:
    """The patch size, and what the position embeddings become at the other sizes."""
    if not sizes:
        return 0, ""
    try:
        arch = describe(saved.model)
    except SettingError as error:
        raise SettingError(
            f"sizes={sizes[0]} cannot be evaluated ({error}); leave it out"
        ) from None
    check_sizes(sizes, arch["patch_size"], saved.model.input_shape[1:3])
    return arch["patch_size"], POSITIONS[arch["position"]]
