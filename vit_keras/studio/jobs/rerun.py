"""Go on from a run: resume it by the queue, or begin a new training with its settings."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from vit_keras.config import compose
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import Config
from vit_keras.errors import SettingError
from vit_keras.runs import paths, run_end
from vit_keras.runs.checkpoint_name import newest_position
from vit_keras.runs.describe import flatten_settings
from vit_keras.runs.run_dir import FOLDS, read_paths
from vit_keras.runs.status import RunState
from vit_keras.studio.jobs import live_run
from vit_keras.studio.jobs.command import (
    CONF,
    FINETUNE,
    TRAIN,
    Recipe,
    default_recipe,
    group_choices,
    recipes,
    to_text,
)
from vit_keras.studio.jobs.queue import Job, Jobs


def job_of(jobs: Jobs, run: Path) -> Job | None:
    """The newest job that trains in the directory of a run, or in that of its sweep or folds."""
    places = {str(run.absolute()), *(str(parent) for parent in run.absolute().parents[:2])}
    places.discard(str(jobs.root))
    return next((job for job in jobs.all() if job.place in places), None)


def is_resumable(run: RunState) -> bool:
    """Whether resuming continues or restarts a run that did not come to its end."""
    if run.config is None or run.state not in ("stopped", "started", "failed"):
        return False
    if FOLDS in run.path.parts[-2:-1]:  # it is resumed with the others
        return False
    end = run_end.read_end(run.path)
    can_help = end is None or end.is_resumable
    return can_help and (run.state != "stopped" or newest_position(run.path) is not None)


def resume(jobs: Jobs, run: RunState) -> Job:
    """Append a run to the queue, to continue from its last checkpoint.

    Raises:
        SettingError: another training in its directory waits or runs.
    """
    place = str(run.path.absolute())
    for job in jobs.all():
        if job.place == place and not job.swept:
            return jobs.resume(job)
    is_pretrained = run.config is not None and bool(run.config.pretrained.handle)
    words = (f"run.resume={quote_override(place)}",)
    return jobs.add(FINETUNE if is_pretrained else TRAIN, words, run.path.name, place=place)


def move_jobs(jobs: Jobs, old: Path, new: Path) -> None:
    """Have the records of a run's trainings name its new directory."""
    with jobs.changing():
        for job in jobs.all():
            if job.place == str(old.absolute()):
                jobs.save(replace(job, place=str(new.absolute())))


def check_not_queued(jobs: Jobs, run: Path) -> None:
    """Refuse a run that a training of the queue is about to go on from.

    Raises:
        SettingError: it waits, or has just been started.
    """
    place = str(run.absolute())
    if job := next((job for job in jobs.all() if job.place == place and not job.is_over), None):
        raise SettingError(
            f"the training of {job.name} is {job.state}; stop it first, on the Training page"
        )


def forget(jobs: Jobs, run: Path) -> None:
    """Take the trainings of a run that was deleted out of the list, a sweep with its last run."""
    place = run.absolute()
    for job in jobs.all():
        is_sweep = job.swept and job.place == str(place.parent)
        if job.place == str(place) or (is_sweep and not live_run.runs_of(job)):
            jobs.remove(job)


def overrides_of(run: RunState) -> list[str]:
    """The settings of a run as a command line, as far as they differ from those of its recipe.

    Raises:
        SettingError: its stages are not those of a recipe.
    """
    if run.config is None:
        raise SettingError(f"the settings of {run.name} cannot be read; choose another run")
    config = paths.located(run.config, read_paths(run.path))
    recipe = _recipe(config)
    words = [f"recipe={recipe.name}", *_data_words(config)]
    base, own = flatten_settings(_compose(words)), flatten_settings(config)
    return words + [
        f"{name}={_text(value)}"
        for name, value in own.items()
        if name not in ("data.name", "data.path") and (name not in base or base[name] != value)
    ]


def _compose(words: list[str]) -> Config:
    return compose.compose(*words)


def _recipe(config: Config) -> Recipe:
    """The recipe that a run was started from, by its name and its stages.

    Raises:
        SettingError: there is none with these stages.
    """
    is_pretrained = bool(config.pretrained.handle)
    default = default_recipe(is_pretrained, config.data.name)
    alike = [one for one in recipes() if one.is_pretrained == is_pretrained]
    named = [one for one in alike if one.name == config.name]
    for recipe in (*named, default, *alike):
        if _stages_of(recipe) == [*config.stages]:
            return recipe
    raise SettingError(
        f"the stages of this run, {', '.join(config.stages) or 'none'}, are those of no recipe; "
        "train it again on the command line, with the settings below"
    )


def _stages_of(recipe: Recipe) -> list[str]:
    content = yaml.safe_load((CONF / "recipe" / f"{recipe.name}.yaml").read_text(encoding="utf-8"))
    return [*content.get("stages", {})]


def _data_words(config: Config) -> list[str]:
    name, path = config.data.name, config.data.path
    if name == "arrays":
        raise SettingError(
            "the run was trained on arrays of a Python program; train it again there"
        )
    words = [f"task={config.task}"] if config.task != Config().task else []
    if name in group_choices("data"):
        words.append(f"data={name}")
    else:
        words += ["data=tfds", f"data.name={quote_override(name)}"]
    return words + ([f"data.path={quote_override(path)}"] if path else [])


def _text(value: Any) -> str:
    if value is None:
        return "null"
    return quote_override(value) if isinstance(value, str) else to_text(value)
