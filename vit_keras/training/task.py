"""Checks of `task`, and of what a task of several labels cannot do. Imports no Keras."""

from vit_keras.config.schema import MULTILABEL, Config
from vit_keras.errors import SettingError

# Tasks that people look for, and what to do.
OTHERS = {
    "ordinal": "use task=classification with the grades as classes",
    "regression": "use task=classification with ranges of the number as classes, or train "
    "vit_keras.build_vit(num_classes=1) by Keras",
}


def check(config: Config) -> None:
    """Refuse a task that is none, or does not fit the data and the other settings.

    Raises:
        SettingError: naming the setting, its value and what would do.
    """
    if way_out := OTHERS.get(str(config.task)):
        raise SettingError(f"task={config.task} is not trained here; {way_out}")
    if config.task != MULTILABEL:
        if config.loss.name == "asymmetric":
            raise SettingError(
                f"loss.name=asymmetric is of several labels; set task={MULTILABEL}, or use "
                "loss.name=focal"
            )
        if config.data.several_labels:
            raise SettingError(f"data.several_labels=true needs task={MULTILABEL}; set it instead")
        if config.data.label_separator is not None:
            raise SettingError(
                f"data.label_separator={config.data.label_separator} has no effect: images have "
                f"one label each; leave it out, or set task={MULTILABEL}"
            )
        return
    if not config.data.several_labels:  # the task was changed in a program, and the data not
        raise SettingError(f"task={MULTILABEL} needs data.several_labels=true; set it too")
    if config.data.name != "csv":
        raise SettingError(
            f"task={MULTILABEL} needs the labels of each image from a table, data=csv, and "
            f"data.name={config.data.name} has one for each image; name a table, or leave the task "
            "out"
        )
    if config.data.label_separator == "":
        raise SettingError("data.label_separator is empty; name the text between two labels")
    if count := config.train.sample_predictions:
        raise SettingError(
            f"train.sample_predictions={count} shows the one class of an image; leave it out with "
            f"task={MULTILABEL}"
        )
