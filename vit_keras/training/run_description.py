"""What is known of a run before its training: logged, and written into its directory."""

from typing import TYPE_CHECKING, Any

import keras

from vit_keras.config.schema import Config
from vit_keras.data import quality_report
from vit_keras.data.dataset import Splits
from vit_keras.data.image_input import PREPROCESS, ImageInput
from vit_keras.errors import SettingError
from vit_keras.logs import log
from vit_keras.runs import accuracy, training_images
from vit_keras.runs.run_dir import Run
from vit_keras.text import counted
from vit_keras.training import class_weights, devices, environment, teacher, teacher_knowledge
from vit_keras.training.plan import BASE_BATCH, TrainingPlan
from vit_keras.training.training_model import TrainingModel

if TYPE_CHECKING:
    from vit_keras.training.train import Prepared


def describe(run: Run, config: Config, prepared: "Prepared") -> None:
    """Log what is known before training and write it into the run.

    Raises:
        SettingError: the data are not those that the run to resume was trained on.
    """
    splits, vit, precision = prepared.splits, prepared.model.vit, prepared.precision
    log.info("data: %s\n%s", config.data.name, splits.table())
    _report_data_quality(run, splits, vit)
    _report_imbalance(config, splits, prepared.model)
    if problem := prepared.plan.average_problem:
        log.warning("warning: %s", problem)
    log.info("precision: %s (%s)", precision.policy, precision.reason)
    _report_steps_per_execution(prepared.plan)
    _report_rate(prepared.plan)
    devices.report(config, vit)
    description = environment.describe(precision, splits)
    if (taught_by := prepared.model.teacher) is not None:
        _report_teacher(config, prepared, taught_by)
        description["teacher_fingerprint"] = taught_by.fingerprint
    lines: list[str] = []
    vit.summary(line_length=80, print_fn=lines.append)
    log.info("\n".join(lines))
    if (run.path / "class_mapping.json").exists():  # resumed, and the file that is written last
        _check_fingerprints(run, description, config.train.teacher)
    else:
        run.write_text("model_summary.txt", "\n".join(lines) + "\n")
        if program := ImageInput.of_run(config.data, vit.input_shape[1:]).program:
            run.write_text(PREPROCESS, program)
        training_images.write_training_images(run, splits.train_hashes)
        run.write_json("environment.json", description)
        run.write_json("class_mapping.json", dict(enumerate(splits.class_names)))
    if prepared.weights_report:
        log.info("pretrained: %s", prepared.weights_report)
        run.write_text("pretrained.txt", prepared.weights_report + "\n")


def _report_teacher(config: Config, prepared: "Prepared", taught_by: teacher.Teacher) -> None:
    is_distilled, splits = prepared.model.is_distilled, prepared.splits
    log.info("teacher: %s", teacher.describe_teacher(config, taught_by, is_distilled))
    if problem := teacher.trained_on(config, splits):
        log.warning("warning: %s", problem)
    if config.run.resume is None:
        stage = prepared.plan.stages[0]
        line, is_little = teacher_knowledge.describe_knowledge(
            config, taught_by, splits, stage, is_distilled
        )
        (log.warning if is_little else log.info)("%s%s", "warning: " * is_little, line)


def _report_steps_per_execution(plan: TrainingPlan) -> None:
    asked, steps = plan.config.train.steps_per_execution, plan.steps_per_execution
    if asked not in ("auto", steps):
        log.info(
            "steps per call: %d, because train.steps_per_execution=%d does not divide the %s of an "
            "epoch",
            *(steps, asked, counted(plan.steps_per_epoch, "batch[es]")),
        )


def _report_rate(plan: TrainingPlan) -> None:
    optim = plan.config.optim
    if optim.scale_rate != "none":
        log.info(
            "peak learning rates are multiplied by %.4g (optim.scale_rate=%s): %s per update, and "
            "they are meant for %d",
            *(plan.rate_factor, optim.scale_rate),
            *(counted(plan.images_per_update, "image[s]"), BASE_BATCH),
        )


def _report_data_quality(run: Run, splits: Splits, vit: keras.Model) -> None:
    """Warn of suspicious data, and list the affected files of a folder in the run."""
    if splits.findings:
        run.write_text(quality_report.REPORT, quality_report.findings_csv(splits.findings))
    for line in quality_report.summary(splits.findings):
        log.warning("warning: %s; all in %s", line, run.path / quality_report.REPORT)
    problems = [*quality_report.label_problems(splits), *quality_report.rare_classes(splits)]
    problems += [*quality_report.joined_labels(splits), *quality_report.crop(splits)]
    problems += quality_report.sizes(splits)
    for problem in [*problems, *accuracy.small_splits(splits.image_counts)]:
        log.warning("warning: %s", problem)
    log.info("pixels: %s", quality_report.pixel_statistics(splits.train, vit))


def _report_imbalance(config: Config, splits: Splits, model: TrainingModel) -> None:
    """Log what is done about unequal classes, or warn of them where nothing is."""
    if model.class_weights is not None:
        weights = class_weights.describe(model.class_weights, splits.class_names)
        log.info("weights of the classes in the training loss: %s", weights)
    elif config.data.sampling == "none":
        for problem in quality_report.imbalance(splits):
            log.warning("warning: %s", problem)


def _check_fingerprints(run: Run, found: dict[str, Any], taught_by: str | None) -> None:
    kept = run.read_json("environment.json")
    if kept["data_fingerprint"] != found["data_fingerprint"]:
        raise SettingError(
            f"the images or classes are not those that run.resume={run.path} was trained on "
            "(fingerprint in environment.json); resume with the run's own data, or start a new run"
        )
    if kept.get("teacher_fingerprint") != found.get("teacher_fingerprint"):
        raise SettingError(
            f"train.teacher={taught_by} has other weights than that of run.resume={run.path} "
            "(fingerprint in environment.json); resume with the same teacher, or start a new run"
        )
