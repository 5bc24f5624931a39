"""Checks of `train.teacher`, as far as they need no Keras."""

from collections.abc import Sequence

from vit_keras.config.schema import Config
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
        SettingError: naming the teacher and what is wrong with it.
    """
    teacher = config.train.teacher
    if teacher is None:
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
