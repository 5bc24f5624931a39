"""Say what a job trains, and offer the ways on from one that has finished."""

from pathlib import Path
from typing import Any

import streamlit as st

from vit_keras.config.quoting import quote_override
from vit_keras.errors import SettingError
from vit_keras.runs import run_dir
from vit_keras.runs.describe import flatten_settings
from vit_keras.runs.saved_run import MODEL
from vit_keras.studio.components import figures, navigation, training_choice
from vit_keras.studio.components.display import escape_markdown, show_errors, table
from vit_keras.studio.components.setting_inputs import SWITCH, label_of
from vit_keras.studio.jobs.command import as_typed, command_line, to_text
from vit_keras.studio.jobs.queue import Job, Jobs

INFERENCE_TAB = "inference_tab"  # session key: the tab that the Inference page opens
RESUME = "run.resume="
DATA = ("data.path", "data.name", "data", "recipe")  # the first of them names the data
LEFT_OUT = ("run.root", "run.dir", "run.resume")


def words_of(jobs: Jobs, job: Job) -> tuple[str, ...]:
    """The overrides that a job was started with: of a resumed one those of its first start."""
    alike = [other for other in jobs.all() if other.place == job.place]
    first = (other.words for other in reversed(alike) if not _is_resumed(other))
    return next(first, job.words)


def _is_resumed(job: Job) -> bool:
    return any(word.startswith(RESUME) for word in job.words)


def show(jobs: Jobs, job: Job) -> None:
    """What is trained: the data, and the settings that differ from the recipe."""
    st.markdown(_summary(_settings_of(jobs, job)))


def show_settings(jobs: Jobs, job: Job) -> None:
    """Everything that a job was started with, and the command that does the same."""
    with st.expander("Settings and command"):
        settings = _settings_of(jobs, job)
        rows = [(label_of(name) or name, _in_words(text)) for name, text in settings.items()]
        st.markdown(table([("setting", "value"), *rows]))
        words = words_of(jobs, job)
        st.code(command_line(job.command, words), language=None, wrap_lines=True)


def _settings_of(jobs: Jobs, job: Job) -> dict[str, str]:
    typed = as_typed(word for word in words_of(jobs, job) if word != "--multirun")
    return {
        name: text
        for name, text in typed.items()
        if name not in LEFT_OUT and not name.startswith("hydra")
    }


def _summary(shown: dict[str, str]) -> str:
    """The data and the settings that differ from the recipe, in a line."""
    data = next((shown[name] for name in DATA if shown.get(name)), "digits")
    settings = [
        f"{label_of(name)} {_in_words(text)}"
        for name, text in shown.items()
        if label_of(name) and name not in (*DATA, "name", "train.sample_predictions")
    ]
    return " · ".join([f"Data: **{escape_markdown(data)}**", *map(escape_markdown, settings)])


def _in_words(text: str) -> str:
    return SWITCH.get(text, figures.typed(text)) or "none"


def show_ways_on(jobs: Jobs, job: Job, run: Path) -> None:
    """Buttons that go on from a run that has a model, in the same browser tab."""
    name = str(run.relative_to(jobs.root)) if run.is_relative_to(jobs.root) else str(run)
    with st.container(horizontal=True):
        if (run / MODEL).is_file():
            if st.button("Try it", key="try", type="primary", help="predict your own images"):
                navigation.open_page("inference", run=name)
            for tab, help in {
                "Evaluate": "accuracy, confusion matrix and calibration",
                "Export": "the model for another program or a phone",
            }.items():
                if st.button(tab, key=f"to {tab}", help=help):
                    st.session_state[INFERENCE_TAB] = tab
                    navigation.open_page("inference", run=name)
        if st.button(
            "Train again with changes",
            key="again",
            help="put the settings of this training into the form of a new one",
        ):
            _begin_again(jobs, job, run)


def _begin_again(jobs: Jobs, job: Job, run: Path) -> None:
    """Open the form with the settings of a run."""
    with show_errors():
        words = words_of_run(jobs, job, run)
        if any(word.startswith(RESUME) for word in words):
            raise SettingError(
                f"{job.name} was started elsewhere; the Runs page begins again with its settings"
            )
        training_choice.begin_with(words, run.name)


def words_of_run(jobs: Jobs, job: Job, run: Path) -> list[str]:
    """The overrides of one run of a job: of a sweep with the values that this run has."""
    words = [word for word in words_of(jobs, job) if not word.startswith(("--", "hydra"))]
    if not job.swept:
        return words
    own = flatten_settings(run_dir.config_of_run(str(run)))
    fixed = [word for word in words if word.partition("=")[0] not in job.swept]
    return [*fixed, *(f"{name}={_text(own[name])}" for name in job.swept)]


def _text(value: Any) -> str:
    """A value as that of an override."""
    if isinstance(value, str):
        return quote_override(value)
    return to_text(value) or "null"
