"""The Training page: configure, check, start and follow a training."""

import functools
import re
from dataclasses import replace
from pathlib import Path

import streamlit as st

from vit_keras.config import compose
from vit_keras.config.fields import options, stage_options
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import MULTILABEL, Config
from vit_keras.data import registry
from vit_keras.studio.components import (
    advanced_settings,
    data_source,
    job_monitor,
    kept_values,
    model_size,
    start_panel,
    starting_point,
    sweep,
    training_choice,
)
from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.studio.components.setting_inputs import Form
from vit_keras.studio.components.training_choice import FOLLOW, FORM, HANDLE, NEW, TO_OPEN
from vit_keras.studio.jobs.command import FINETUNE, TRAIN, Command, default_recipe, recipes
from vit_keras.studio.jobs.queue import Jobs
from vit_keras.text import folder_name
from vit_keras.training.task import OF_ONE_LABEL

LENGTH = ("train.epochs", "train.batch_size", "optim.learning_rate")
PATH_SYNTAX = re.compile(r":? *data\.path=<[^>]*>")  # of the command line, in a recipe's comment
SAMPLES = "train.sample_predictions"
SHOWN_SAMPLES = 8  # the page shows sample predictions, where a recipe has none

_compose = functools.lru_cache(maxsize=128)(compose.compose)  # a page is drawn at every click


def show(jobs: Jobs) -> None:
    """Show the page below its title: a form for a new training, and the trainings so far."""
    if TO_OPEN in st.session_state:
        st.session_state["tab"] = st.session_state.pop(TO_OPEN)
    if "first_tab" not in st.session_state:  # tabs with another default would be reset
        shown = "job" in st.query_params or job_monitor.is_active(jobs)
        st.session_state["first_tab"] = FOLLOW if shown else NEW
    # Both tabs are always drawn: Streamlit resets the values of a form that is not.
    first = st.session_state["first_tab"]
    new, follow = st.tabs([NEW, FOLLOW], default=first, key="tab", on_change="rerun")
    with follow, show_errors():
        job_monitor.show(jobs)
    with new, show_errors():
        left, right = st.columns([2, 1], gap="medium")
        form, command = Form(FORM, columns=2), None
        with left, show_errors():
            command = _edit_command(jobs.root, form)
        with right, show_errors():
            start_panel.show(jobs, command, form)


def _edit_command(root: Path, form: Form) -> Command | None:
    """The form of a new training; its command, or None until the required choices are made."""
    name_place = st.container()
    data, data_words = data_source.select_data(root)
    task_words = data_source.select_task(data) if data_words else ()
    form.places["data.path"] = st.empty()
    handle = starting_point.select()
    if not data_words:
        st.info("Choose the images.")
    if not data_words or handle is None:
        return None
    words = _base_words(data, data_words, task_words, handle)
    size_place = st.container()
    with size_place:
        words += _select_size(handle)
    words += advanced_settings.select_presets()
    base = _compose(*words)
    if not base.train.sample_predictions and SAMPLES not in _not_applicable(base):
        words.append(f"{SAMPLES}={SHOWN_SAMPLES}")
        base = _compose(*words)
    if root != Path(base.run.root).absolute():
        words.append(f"run.root={quote_override(root)}")
    form.unset = advanced_settings.unset_words(base)
    with name_place:
        _edit_name(form, base)
    in_view = _edit_size_and_length(form, base)
    advanced_settings.edit(
        form,
        base,
        hidden=(*in_view, *_not_applicable(base)),
        recipe=lambda: _select_recipe(data, handle),
    )
    words += [*form.words, *advanced_settings.further_overrides()]
    command = Command(FINETUNE if handle else TRAIN, _last_of_each(words))
    return sweep.select_sweep(command, base, form)


def _base_words(
    data: str, data_words: tuple[str, ...], task_words: tuple[str, ...], handle: str
) -> list[str]:
    """The recipe, the task, the data and the pretrained model."""
    recipe = next(one for one in recipes() if one.name == _recipe_name(data, handle))
    # The recipe itself sets `data=<its data set>`, the first of the overrides.
    words = [f"recipe={recipe.name}", *task_words, *data_words[data == recipe.data :]]
    if handle != recipe.handle:
        words.append(f"{HANDLE}={quote_override(handle)}")
    return words


def _recipe_name(data: str, handle: str) -> str:
    """The recipe that is kept for this data and start, at first the one that is written for it."""
    found = [recipe.name for recipe in recipes() if recipe.is_pretrained == bool(handle)]
    kept = kept_values.values().get(training_choice.recipe_slot(data, handle))
    return kept if kept in found else _default_recipe(data, handle)


def _default_recipe(data: str, handle: str) -> str:
    known = training_choice.EMBEDDED if handle == training_choice.embedded() else handle
    return default_recipe(bool(handle), data, known).name


def _select_recipe(data: str, handle: str) -> None:
    name = kept_values.control(
        st.selectbox,
        "Recipe",
        training_choice.recipe_slot(data, handle),
        _default_recipe(data, handle),
        options=[recipe.name for recipe in recipes() if recipe.is_pretrained == bool(handle)],
        help="A complete configuration that was tried out; what is set here changes it. "
        "`recipe=...`",
    )
    help = next(one.help for one in recipes() if one.name == name)
    st.markdown(escape_markdown(PATH_SYNTAX.sub("", help)))


def _select_size(handle: str) -> list[str]:
    """The preset of the model; a pretrained one has its own size."""
    size = None if handle else model_size.select()
    return [size] if size else []


def _edit_name(form: Form, base: Config) -> None:
    """The name, and how it reads as that of a folder where that differs."""
    form.edit_row([(options()["name"], base.name, "")])
    typed = kept_values.values().get(f"{FORM}name", "")
    if typed and folder_name(typed) != typed:
        st.markdown(f"As a folder: {escape_markdown(folder_name(typed))}")


def _edit_size_and_length(form: Form, base: Config) -> list[str]:
    """Edit the image size, of files, and how long and in what steps to train."""
    hidden = _not_applicable(base)
    names = [name for name in LENGTH if name not in hidden]
    names = [*(["data.image_size"] if base.data.name in registry.OF_FILES else []), *names]
    # Without epochs there is no training; an image size may be that of the data.
    fields = [
        (
            replace(options()[name], is_optional=name == "data.image_size"),
            compose.get_setting(base, name),
            "",
        )
        for name in names
    ]
    epochs = stage_options()["epochs"]
    stages = [(epochs, stage.epochs, f"stages.{name}.") for name, stage in base.stages.items()]
    per_row = 2 if len(fields) == 4 else 3  # two rows of two; numbers need the room
    for row in (fields, stages):
        for start in range(0, len(row), per_row):
            form.edit_row(row[start : start + per_row])
    return [*names, *(prefix + option.name for option, _, prefix in stages)]


def _not_applicable(base: Config) -> tuple[str, ...]:
    """Settings that this training does not have."""
    hidden = ("train.epochs",) if base.stages else ()
    if base.stages and all(stage.learning_rate for stage in base.stages.values()):
        hidden = (*hidden, "optim.learning_rate")
    return (*hidden, *(OF_ONE_LABEL if base.task == MULTILABEL else ()))


def _last_of_each(words: list[str]) -> tuple[str, ...]:
    """The overrides without those that a later one of the same setting replaces."""
    last = {word.partition("=")[0]: place for place, word in enumerate(words)}
    return tuple(words[place] for place in sorted(last.values()))
