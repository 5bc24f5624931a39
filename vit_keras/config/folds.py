"""k-fold cross-validation as settings: `train.folds` trains every fold, `data.fold` is of one."""

import re
from dataclasses import replace
from pathlib import Path

from vit_keras.config.schema import Config, RunConfig
from vit_keras.config.schema.tracking import NONE
from vit_keras.errors import SettingError


def parse_fold(text: str) -> tuple[int, int]:
    """`2/5` -> (2, 5): the number of the fold, from 1 on, and how many there are.

    Raises:
        SettingError: it is none of two or more.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count or count < 2:
        raise SettingError(f"data.fold={text} is no fold; write 2/5 for the second of five")
    return number, count


def fold_config(config: Config, number: int, folder: str | None = None) -> Config:
    """The run of one of the folds of `config`, in `folder`; exported is their ensemble alone."""
    tracking = config.tracking
    if folder is not None and tracking.name != NONE:  # <run>/folds/1
        tracking = replace(tracking, sweep=Path(folder).parents[1].name)
    return replace(
        config,
        name=f"{config.name}-fold-{number}",
        data=replace(config.data, fold=f"{number}/{config.train.folds}"),
        train=replace(config.train, folds=None, export=False),
        tracking=tracking,
        run=RunConfig(root=config.run.root, dir=folder),
    )


def check_folds(config: Config) -> None:
    """Refuse settings that cannot stand beside folds.

    Raises:
        SettingError: naming both.
    """
    if config.data.fold is not None:
        parse_fold(config.data.fold)
    folds = config.train.folds
    if folds is None:
        return
    if config.data.fold is not None:
        raise SettingError(
            f"train.folds={folds} trains every fold, and data.fold={config.data.fold} is of one; "
            "leave one of them out"
        )
    if config.pretrained.baseline:
        raise SettingError(
            f"train.folds={folds} trains no baseline beside its folds; set "
            "pretrained.baseline=false"
        )
    if config.train.overfit_batches is not None:
        raise SettingError(
            f"train.folds={folds} and train.overfit_batches={config.train.overfit_batches}: a "
            "check for overfitting needs no folds; leave one of them out"
        )
