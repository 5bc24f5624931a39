"""Checks of `train.teacher`, as far as they need no Keras."""

from collections.abc import Sequence

from vit_keras.config.schema import Config, TrainConfig
from vit_keras.errors import SettingError
from vit_keras.pretrained import download
from vit_keras.runs.run_dir import is_run
from vit_keras.runs.saved_run import open_run
from vit_keras.text import abbreviated_list, counted

SETTING = "train.teacher"


def check(config: Config, class_names: Sequence[str] | None) -> None:
    """Refuse a teacher that is no model, or a run of other classes.

    Args:
        config: of the run.
        class_names: those of its data; None where they are not known yet.

    Raises:
        SettingError: naming the teacher and what is wrong with it, or a distillation token that
            learns from none.
    """
    teacher = config.train.teacher
    if teacher is None:
        _check_token(config)
        return
    if not is_run(teacher):
        download.check(teacher, SETTING)
        return
    saved = open_run(teacher)
    saved.check_model()
    if saved.is_multilabel:
        raise SettingError(
            f"{SETTING}={teacher} gives an image several labels, and task={config.task} one; name "
            "a teacher of one label"
        )
    if class_names is not None:
        class_order(teacher, saved.class_names, class_names)


def _check_token(config: Config) -> None:
    """Refuse a new distillation token without a teacher; a pretrained one is fine-tuned without."""
    if config.model.distillation_token and config.pretrained.handle is None:
        raise SettingError(
            f"model.distillation_token=true learns from a teacher, and {SETTING} is not set; set "
            "it, or leave the token out: a second token that learns the labels becomes a copy of "
            "the class token (Touvron et al. 2021, section 4)"
        )


def teacher_labels(train: TrainConfig, is_distilled: bool) -> str:
    """`hard` or `soft`, of a model with a distillation token or without."""
    if train.teacher_labels != "auto":
        return train.teacher_labels
    return "hard" if is_distilled else "soft"


def class_order(teacher: str, of_teacher: Sequence[str], class_names: Sequence[str]) -> list[int]:
    """For each class of the data, its position among those of the teacher.

    Raises:
        SettingError: they are not the same classes.
    """
    if set(of_teacher) != set(class_names):
        unknown = [name for name in class_names if name not in of_teacher]
        further = [name for name in of_teacher if name not in class_names]
        parts = [f"does not know {abbreviated_list(unknown)}"] if unknown else []
        parts += [f"also knows {abbreviated_list(further)}"] if further else []
        raise SettingError(
            f"{SETTING}={teacher} {' and '.join(parts)}, unlike the "
            f"{counted(len(class_names), 'class[es]')} of the data; name a teacher of the same "
            "classes"
        )
    position = {name: index for index, name in enumerate(of_teacher)}
    return [position[name] for name in class_names]
