"""The passes over images by which abstention is calibrated and measured in an evaluation."""

from typing import Any

from vit_keras.errors import SettingError
from vit_keras.evaluation import abstention
from vit_keras.evaluation.logits import Classifier, Outputs
from vit_keras.evaluation.other_images import OtherImages
from vit_keras.evaluation.robustness import draw_sample
from vit_keras.evaluation.task import EvaluationTask
from vit_keras.export.serving_model import in_float32
from vit_keras.runs.abstention import Abstention, too_few

# Of the training split, drawn by class. Four times as many find other data no better.
FIT_IMAGES = 2000


def measure(
    task: EvaluationTask,
    classifier: Classifier,
    test: Outputs,
    validation: Outputs | None,
    temperature: float,
    other: OtherImages | None,
) -> tuple[dict[str, Any], Abstention | None]:
    """The part `abstention` of a report, and what is to be kept with the run if it is fitted now.

    Args:
        task: the run and its data.
        classifier: of the run's model.
        test: of the evaluated images.
        validation: of the run's own validation images; None on other data, on which what the run
            has kept is measured.
        temperature: of the run.
        other: images of none of the classes; None without.

    Raises:
        SettingError: there are other images, and nothing to measure them by.
    """
    splits, model = task.splits, in_float32(task.saved.model)
    found = task.saved.abstention
    note = "the run was not evaluated on its own data yet" if found is None else ""
    if validation is not None:
        note, found = _why_not_fitted(task), None
    if model is not task.saved.model and (found or not note):
        # Predictions compute in float32, whatever the model was trained in.
        classifier = Classifier(model, classifier.batch_size, classifier.prefetch, classifier.bar)
        test = classifier.outputs(splits.test, "in float32")
        if validation is not None:
            validation = classifier.outputs(splits.validation, "validation in float32")
    if validation is not None and not note:
        sample = draw_sample(splits.train, FIT_IMAGES, task.config.train.seed)
        features = classifier.outputs(sample, "features").features
        labels = splits.validation.labels
        found = abstention.fit(features, sample.labels, validation, labels, temperature)
    if found is None and other is not None:
        raise SettingError(f"ood={other.word} cannot be measured, as {note}; leave it out")
    report = abstention.report_part(found, note, test, splits.test.labels)
    if found is not None and other is not None:
        outputs = classifier.outputs(other.read(task.saved), "other data")
        report["other_data"] = {
            "source": other.word,
            **abstention.other_metrics(found, test, outputs),
        }
    return report, found if validation is not None else None


def _why_not_fitted(task: EvaluationTask) -> str:
    if task.saved.config.train.folds is not None:
        return "other folds were trained on each image to validate on"
    return too_few(len(task.splits.validation.labels))
