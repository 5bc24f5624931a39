"""The Training page: configure, check, start and follow a training."""

import functools
from pathlib import Path

import streamlit as st

from vit_keras.config import compose
from vit_keras.config.fields import options, stage_options
from vit_keras.config.quoting import quote_override
from vit_keras.config.schema import MULTILABEL, Config
from vit_keras.errors import SettingError
from vit_keras.runs import run_dir
from vit_keras.studio.components import data_source, estimate, job_monitor, setting_inputs, sweep
from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.studio.jobs import runner
from vit_keras.studio.jobs.command import (
    FINETUNE,
    TRAIN,
    Command,
    Recipe,
    default_recipe,
    group_choices,
    recipes,
)
from vit_keras.studio.jobs.queue import Job, Jobs
from vit_keras.training.task import OF_ONE_LABEL

COMMON = ("train.epochs", "train.batch_size", "optim.learning_rate", "train.sample_predictions")
# Set elsewhere on the page, or not applicable to a new run.
HIDDEN = (
    *("data.name", "data.path", "data.several_labels", *data_source.FOLDER_SETTINGS),
    *(*data_source.COLUMNS, "task", "run.root", "run.resume"),
)
TITLES = {
    "": "Name",
    "data": "Data",
    "model": "Model",
    "pretrained": "Pretrained weights",
    "augment": "Augmentation",
    "optim": "Optimizer",
    "loss": "Loss",
    "train": "Training",
    "run": "Run directory",
}
SAMPLES = 8
NEW, FOLLOW = "New training", "Trainings"
STARTED = "has_started"  # session key: a training was started by the last click

_compose = functools.lru_cache(maxsize=128)(compose.compose)  # a page is drawn at every click


def show(jobs: Jobs) -> None:
    """Show the page below its title: a form for a new training, and the trainings so far."""
    if st.session_state.pop(STARTED, False):
        st.session_state["tab"] = FOLLOW
    if "first_tab" not in st.session_state:  # tabs with another default would be reset
        shown = "job" in st.query_params or job_monitor.is_active(jobs)
        st.session_state["first_tab"] = FOLLOW if shown else NEW
    # Both tabs are always drawn: Streamlit resets the values of a form that is not.
    first = st.session_state["first_tab"]
    new, follow = st.tabs([NEW, FOLLOW], default=first, key="tab", on_change="rerun")
    with follow, show_errors():
        job_monitor.show(jobs)
    with new, show_errors():
        command = _edit_command(jobs.root)
        if command is not None:
            _show_start(jobs, command)


def _edit_command(root: Path) -> Command | None:
    """The form of a new training; its command, or None until the required choices are made."""
    is_pretrained = st.radio(
        "Start from",
        (False, True),
        format_func=lambda pretrained: "Pretrained weights" if pretrained else "Scratch",
        key="start_from",
        horizontal=True,
    )
    data, data_words = data_source.select_data(root)
    if not data_words:
        st.info("Choose the images.")
        return None
    task_words = data_source.select_task(data)
    recipe = _select_recipe(is_pretrained, data)
    # The recipe itself sets `data=<its data set>`, the first of the overrides.
    words = [f"recipe={recipe.name}", *task_words, *data_words[data == recipe.data :]]
    key = f"{recipe.name} {data} {' '.join(task_words)}"
    left, right = st.columns(2)
    for group, column in zip(("model", "augment"), (left, right), strict=True):
        with column:
            choice = setting_inputs.select_group(group, group_choices(group), key)
        words += [choice] if choice else []
    base = _compose(*words)
    if root != Path(base.run.root).absolute():
        words.append(f"run.root={quote_override(root)}")
    words += _edit_common(base, key)
    words += _edit_stages(base, key)
    words += _edit_others(base, key)
    return sweep.select_sweep(Command(FINETUNE if is_pretrained else TRAIN, tuple(words)), base)


def _select_recipe(is_pretrained: bool, data: str) -> Recipe:
    """Choose a recipe for this start, at first the one that is written for the data."""
    found = [recipe for recipe in recipes() if recipe.is_pretrained == is_pretrained]
    first = default_recipe(is_pretrained, data)
    recipe: Recipe = st.selectbox(
        "Recipe",
        found,
        index=found.index(first),
        format_func=lambda recipe: recipe.name,
        key=f"recipe {is_pretrained} {data}",
        help="`recipe=...`: a complete configuration; the settings below change it",
    )
    st.markdown(escape_markdown(recipe.help))
    return recipe


def _edit_common(base: Config, key: str) -> list[str]:
    """Edit the settings that are changed most often, side by side."""
    words = []
    for name, column in zip(_common_names(base), st.columns(len(_common_names(base))), strict=True):
        group, field = name.split(".")
        value = getattr(getattr(base, group), field)
        with column:
            # The page shows sample predictions by default; the recipes do not.
            shown = value or SAMPLES if name == "train.sample_predictions" else value
            word = setting_inputs.edit_setting(options()[name], shown, key)
        if name == "train.sample_predictions" and word is None and shown != value:
            word = f"{name}={shown}"
        words += [word] if word else []
    return words


def _common_names(base: Config) -> list[str]:
    # Each stage has its own number of epochs.
    names = [name for name in COMMON if not (base.stages and name == "train.epochs")]
    return [name for name in names if name not in _not_applicable(base)]


def _not_applicable(base: Config) -> tuple[str, ...]:
    """Settings that the task does not have."""
    return tuple(OF_ONE_LABEL) if base.task == MULTILABEL else ()


def _edit_stages(base: Config, key: str) -> list[str]:
    words = []
    for name, stage in base.stages.items():
        with st.expander(f"Stage {escape_markdown(name)}", expanded=False):
            pairs = [(option, getattr(stage, field)) for field, option in stage_options().items()]
            words += setting_inputs.edit_settings(pairs, key, f"stages.{name}.")
    return words


def _edit_others(base: Config, key: str) -> list[str]:
    """Edit all other settings, in one expander per group."""
    words = []
    for group, title in TITLES.items():
        names = [name for name in options() if name.rpartition(".")[0] == group]
        hidden = (*COMMON, *HIDDEN, *_not_applicable(base))
        names = [name for name in names if name not in hidden]
        node = getattr(base, group) if group else base
        with st.expander(title):
            pairs = [(options()[name], getattr(node, name.rpartition(".")[2])) for name in names]
            words += setting_inputs.edit_settings(pairs, key)
    return words


def _show_start(jobs: Jobs, command: Command) -> None:
    """Check the settings, and offer to estimate and to start the training if they are valid."""
    st.subheader("This training")
    try:
        config = command.check()
    except SettingError as error:
        st.error(escape_markdown(error))
        config = None
    st.code(command.text(), language="bash", wrap_lines=True)
    if config is None:
        st.button("Start training", disabled=True, key="not_yet")
        return
    st.success("The settings are valid.")
    estimate.show(command)
    if st.button("Start training", type="primary", key="start"):
        job = start(jobs, command, config)
        st.query_params["job"] = job.id
        st.session_state[STARTED] = True
        st.rerun()


def start(jobs: Jobs, command: Command, config: Config) -> Job:
    """Add the training to the queue, and make sure that a runner is running."""
    run_dir.check_free(config.run)
    job = jobs.add(
        command.name, command.all_words, config.name, command.swept, place=config.run.dir
    )
    runner.ensure(jobs)
    return job
