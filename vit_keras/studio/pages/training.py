"""The page on which a training is put together, checked, started and watched."""

import functools
from pathlib import Path

import streamlit as st

from vit_keras.config import compose
from vit_keras.config.fields import options, stage_options
from vit_keras.config.overrides import quote_override
from vit_keras.config.schema import Config
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
    first_recipe,
    group_choices,
    recipes,
)
from vit_keras.studio.jobs.queue import Job, Jobs

GROUPS = ("data", "model", "augment", "optim")  # with named choices of their own
COMMON = ("train.epochs", "train.batch_size", "optim.learning_rate", "train.sample_predictions")
# Asked for elsewhere on the page, or no matter of a new run.
ELSEWHERE = ("data.name", "data.path", "run.root", "run.resume")
TITLES = {
    "": "Name",
    "data": "Data",
    "model": "Model",
    "pretrained": "Pretrained weights",
    "augment": "Augmentation",
    "optim": "Optimizer",
    "train": "Training",
    "run": "Run directory",
}
SAMPLES = 8
NEW, FOLLOW = "New training", "Trainings"
STARTED = "has_started"  # in the session, until the page is drawn again


def show(jobs: Jobs) -> None:
    """The whole page, below its title: what is put together, and what runs."""
    if st.session_state.pop(STARTED, False):
        st.session_state["tab"] = FOLLOW
    if "first_tab" not in st.session_state:  # another one later would be other tabs to Streamlit
        shown = "job" in st.query_params or job_monitor.is_active(jobs)
        st.session_state["first_tab"] = FOLLOW if shown else NEW
    # Both are always made: a form that is not would forget what was chosen.
    first = st.session_state["first_tab"]
    new, follow = st.tabs([NEW, FOLLOW], default=first, key="tab", on_change="rerun")
    with follow, show_errors():
        job_monitor.show(jobs)
    with new, show_errors():
        command = _asked(jobs.root)
        if command is not None:
            _offer(jobs, command)


def _asked(root: Path) -> Command | None:
    """What is chosen so far as a command; None while something has to be chosen first."""
    is_pretrained = st.radio(
        "Start from",
        (False, True),
        format_func=lambda pretrained: "trained weights" if pretrained else "scratch",
        key="start_from",
        horizontal=True,
    )
    data, data_words = data_source.ask(root)
    if not data_words:
        st.info("Say where the images are.")
        return None
    recipe = _recipe(is_pretrained, data)
    words = [f"recipe={recipe.name}", *data_words[data == recipe.data :]]
    key = f"{recipe.name} {data} "
    left, right = st.columns(2)
    for group, column in zip(("model", "augment"), (left, right), strict=True):
        with column:
            choice = setting_inputs.ask_choice(group, group_choices(group), key)
        words += [choice] if choice else []
    base = _composed(*words)
    if root != Path(base.run.root).absolute():
        words.append(f"run.root={quote_override(root)}")
    words += _common(base, key)
    words += _stages(base, key)
    words += _rare(base, key)
    return sweep.ask(Command(FINETUNE if is_pretrained else TRAIN, tuple(words)), base)


_composed = functools.lru_cache(maxsize=128)(compose.compose)  # for every look at the page


def _recipe(is_pretrained: bool, data: str) -> Recipe:
    """A recipe of those for this start; the one that is written for the data comes first."""
    found = [recipe for recipe in recipes() if recipe.is_pretrained == is_pretrained]
    first = first_recipe(is_pretrained, data)
    recipe: Recipe = st.selectbox(
        "Recipe",
        found,
        index=found.index(first),
        format_func=lambda recipe: recipe.name,
        key=f"recipe {is_pretrained} {data}",
        help="`recipe=...`: a whole configuration; whatever follows changes it",
    )
    st.markdown(escape_markdown(recipe.help))
    return recipe


def _common(base: Config, key: str) -> list[str]:
    """The settings that most people look at, side by side."""
    words = []
    for name, column in zip(_common_names(base), st.columns(len(_common_names(base))), strict=True):
        group, field = name.split(".")
        value = getattr(getattr(base, group), field)
        with column:
            # The page shows predictions unless they are not wanted; the recipes have none.
            shown = value or SAMPLES if name == "train.sample_predictions" else value
            word = setting_inputs.ask(options()[name], shown, key)
        if name == "train.sample_predictions" and word is None and shown != value:
            word = f"{name}={shown}"
        words += [word] if word else []
    return words


def _common_names(base: Config) -> list[str]:
    """Stages have epochs of their own."""
    return [name for name in COMMON if not (base.stages and name == "train.epochs")]


def _stages(base: Config, key: str) -> list[str]:
    words = []
    for name, stage in base.stages.items():
        with st.expander(f"Stage {escape_markdown(name)}", expanded=False):
            asked = [(option, getattr(stage, field)) for field, option in stage_options().items()]
            words += setting_inputs.ask_all(asked, key, f"stages.{name}.")
    return words


def _rare(base: Config, key: str) -> list[str]:
    """Every other setting, folded by its group."""
    words = []
    for group, title in TITLES.items():
        names = [name for name in options() if name.rpartition(".")[0] == group]
        names = [name for name in names if name not in (*COMMON, *ELSEWHERE)]
        node = getattr(base, group) if group else base
        with st.expander(title):
            asked = [(options()[name], getattr(node, name.rpartition(".")[2])) for name in names]
            words += setting_inputs.ask_all(asked, key)
    return words


def _offer(jobs: Jobs, command: Command) -> None:
    """What is chosen, held to what can be trained; if it can, the buttons."""
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
    st.success("These settings can be trained.")
    estimate.show(command)
    if st.button("Start training", type="primary", key="start"):
        job = start(jobs, command, config)
        st.query_params["job"] = job.id
        st.session_state[STARTED] = True
        st.rerun()


def start(jobs: Jobs, command: Command, config: Config) -> Job:
    """Queue what is chosen, and see to it that the queue is worked off."""
    run_dir.check_free(config.run)
    job = jobs.add(
        command.name, command.all_words, config.name, command.swept, place=config.run.dir
    )
    runner.ensure(jobs)
    return job
