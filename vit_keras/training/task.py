"""Checks of `task`, and of what a task of several labels cannot do. Imports no Keras."""

from vit_keras.config.compose import get_setting
from vit_keras.config.fields import options
from vit_keras.config.schema import MULTILABEL, Config
from vit_keras.data import registry
from vit_keras.errors import SettingError

# Tasks that people look for, and what to do.
OTHERS = {
    "ordinal": "use task=classification with the grades as classes",
    "regression": "use task=classification with ranges of the number as classes, or train "
    "vit_keras.build_vit(num_classes=1) by Keras",
}
# Settings that a task of several labels has at their defaults -> why.
OF_ONE_LABEL = {
    "train.sample_predictions": "shows the one class of an image",
    "data.sampling": "draws images by their one class",
    "train.monitor": "has no effect: the best model is that of the highest mean average precision",
    "train.teacher": "teaches the one class of an image",
    "train.folds": "draws folds by the one class of an image",
    "data.fold": "draws folds by the one class of an image",
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
    if config.data.name not in (*registry.OF_SEVERAL_LABELS, registry.IN_MEMORY):
        raise SettingError(
            f"task={MULTILABEL} needs several labels an image, and data.name={config.data.name} "
            "has one for each; name a table (data=csv), folders (data=folder) or arrays (data=npz, "
            "or data=arrays for those of a program), or leave the task out"
        )
    if config.data.label_separator == "":
        raise SettingError("data.label_separator is empty; name the text between two labels")
    for name, reason in OF_ONE_LABEL.items():
        value = get_setting(config, name)
        if value != options()[name].default:
            raise SettingError(f"{name}={value} {reason}; leave it out with task={MULTILABEL}")
