"""What a training would be, what is wrong with it, and Start, beside the form."""

import contextlib

import streamlit as st

from vit_keras.config.compose import compose
from vit_keras.config.schema import Config
from vit_keras.data import registry
from vit_keras.errors import SettingError
from vit_keras.runs import run_dir
from vit_keras.studio.components import estimate, kept_values, sweep, training_choice
from vit_keras.studio.components.display import escape_markdown
from vit_keras.studio.components.setting_inputs import Form, label_of, slot_of
from vit_keras.studio.components.training_choice import FOLLOW, SOURCE, TO_OPEN
from vit_keras.studio.jobs import runner
from vit_keras.studio.jobs.command import Command, recipes
from vit_keras.studio.jobs.queue import Job, Jobs
from vit_keras.text import abbreviated_list, counted, folder_name
from vit_keras.training.recommend import Recommendation, recommend

# The panel stays in view beside a long form, where it stands beside it.
STYLE = """<style>
@media (min-width: 641px) {
  [data-testid=stColumn]:has(.st-key-start_panel) > [data-testid=stVerticalBlock] { height: 100% }
  [data-testid=stLayoutWrapper]:has(> .st-key-start_panel) { position: sticky; top: 4rem }
}
</style>"""


def show(jobs: Jobs, command: Command | None, form: Form) -> None:
    """Check the settings, and offer to estimate and to start the training if they are valid."""
    st.html(STYLE)
    with st.container(key="start_panel", border=True):
        st.markdown("**This training**")
        if source := kept_values.values().get(SOURCE):
            st.markdown(escape_markdown(f"Begun with the settings of {source}."))
        with st.spinner("checking the settings and the images"):
            config = None if command is None else _check(command, form)
            if command is not None:
                _show_changes(form)
                _show_data(command)
        if command is None or config is None:
            st.button("Start training", disabled=True, key="not_yet")
        else:
            if st.button("Start training", type="primary", key="start"):
                job = start(jobs, command, config)
                st.query_params["job"] = job.id
                st.session_state[TO_OPEN] = FOLLOW
                st.rerun()
            st.markdown(escape_markdown(_folder(config, command)))
            runs = sweep.run_count(command) if command.swept else 1
            if runs and runs > 1:
                st.markdown(f"**{counted(runs, 'run[s]')}**, one after another")
            estimate.show(command, runs or 1)
        if command is not None:
            with st.expander("Command", expanded=True):
                st.code(command.text(), language=None, wrap_lines=True)


def _check(command: Command, form: Form) -> Config | None:
    """The settings; None, and what is wrong with them, if they cannot be trained."""
    if form.errors:
        lines = [f"{label}: {problem}." for label, problem in form.errors.items()]
        st.error("  \n".join(map(escape_markdown, lines)))
        return None
    try:
        config = command.check()
    except SettingError as error:
        st.error(escape_markdown(form.show_error(error)))
        return None
    st.success("The settings are valid.")
    return config


def _show_changes(form: Form) -> None:
    """What differs from the recipe, of which most may be out of view, and a way back."""
    words = [word for word in form.words if not word.startswith("name=")]
    if not words:
        return
    named = (word.partition("=")[::2] for word in words)
    changes = [f"{label_of(name) or name} {text}" for name, text in named]
    st.markdown(escape_markdown(f"Changed from the recipe: {abbreviated_list(changes)}."))
    slots = {slot_of(form.key, word.partition("=")[0]) for word in words}
    st.button(
        "Reset the changes",
        key="reset",
        help="back to the settings of the recipe",
        on_click=lambda: kept_values.drop(lambda slot: slot in slots),
    )


def _folder(config: Config, command: Command) -> str:
    """Where the run will be: its name as that of a folder."""
    if config.run.dir:
        return f"Folder: {config.run.dir}"
    name = f"{config.name}-sweep" if command.swept else config.name
    return f"Folder: {folder_name(name)}-<date>-<time>"


def _show_data(command: Command) -> None:
    """Images and classes, and what is recommended for them where that is another recipe."""
    words = _data_words(command)
    with contextlib.suppress(SettingError):  # which the check of the training reports
        st.markdown(escape_markdown(_describe(words)))
        found = _recommend(words)
        recipe = next(word for word in command.words if word.startswith("recipe="))
        if recipe in found.words:
            return
        st.info(escape_markdown(f"Recommended: {found}"))
        st.button(
            "Take the recommendation",
            key="take",
            help="fills in the form; the Data page has the reasons",
            on_click=lambda: training_choice.fill_in(list(found.words)),
        )


def _data_words(command: Command) -> tuple[str, ...]:
    """The overrides that choose the images, with those of the recipe itself."""
    recipes_by_name = {recipe.name: recipe for recipe in recipes()}
    named = dict(word.partition("=")[::2] for word in command.words)
    data = named.get("data", recipes_by_name[named["recipe"]].data)
    of_data = ("task", *training_choice.OF_DATA)
    rest = (word for word in command.words if word.partition("=")[0] in of_data)
    return (f"data={data}", *rest)


@st.cache_data(ttl=30, show_spinner=False)
def _recommend(words: tuple[str, ...]) -> Recommendation:
    return recommend(words)


@st.cache_data(ttl=30, show_spinner=False)
def _describe(words: tuple[str, ...]) -> str:
    """`75 images of 3 classes: ...` of the data that overrides name; less before a download."""
    config = compose(*words).data
    counts = registry.image_counts(config)
    if counts is None:
        return "The images are downloaded first."
    names = registry.class_names(config) or []
    classes = f" of {counted(len(names), 'class[es]')}: {abbreviated_list(names)}" if names else ""
    return f"{counted(sum(counts.values()), 'image[s]')}{classes}."


def start(jobs: Jobs, command: Command, config: Config) -> Job:
    """Add the training to the queue, and make sure that a runner is running."""
    run_dir.check_free(config.run)
    job = jobs.add(
        command.name, command.all_words, config.name, command.swept, place=config.run.dir
    )
    runner.ensure(jobs)
    return job
