"""Which runs may be averaged, as far as it is known without Keras."""

from collections.abc import Sequence
from pathlib import Path

from vit_keras.errors import SettingError
from vit_keras.runs.run_dir import read_json
from vit_keras.runs.saved_run import SavedRun, open_run


def check_soup(runs: Sequence[str | Path]) -> list[SavedRun]:
    """The opened runs.

    Raises:
        SettingError: there are fewer than two, one is named twice, has no model, is an ensemble or
            of several labels, or was trained on other data than the first.
    """
    saved = [open_run(run) for run in runs]
    paths = [one.path for one in saved]
    if len(paths) < 2:
        raise SettingError(f"{paths[0]} is one run; name two or more to average")
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise SettingError(f"{twice} is named twice; name each run once")
    for one in saved:
        one.check_model()
        if one.config.train.folds is not None:
            raise SettingError(
                f"{one.path} is an ensemble, which has no weights of its own to average; leave it "
                "out"
            )
        if one.is_multilabel:
            raise SettingError(
                f"{one.path} is of task=multilabel, and a soup is chosen by the accuracy of one "
                "class; leave it out"
            )
        if _fingerprint(one) != _fingerprint(saved[0]):
            raise SettingError(
                f"{one.path} was trained on other images than {paths[0]}, or on another part of "
                "them: no validation split is new to both; train with the same data.* and "
                "train.seed"
            )
    return saved


def _fingerprint(run: SavedRun) -> str:
    return str(read_json(run.path / "environment.json").get("data_fingerprint"))
