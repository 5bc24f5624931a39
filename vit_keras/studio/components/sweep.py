"""One run, or several that differ in some settings: Hydra's own sweeps."""

import importlib.util
import re
from dataclasses import replace

import streamlit as st

from vit_keras.config.fields import Option, options
from vit_keras.config.schema import Config
from vit_keras.studio.jobs.command import SWEEPERS, Command, text_of

ONE = "one run"
HOW = {
    "grid": "every combination of the values given",
    "random": "so many runs, each drawn by lot from what is given",
    "Optuna": "so many runs, each drawn where those before it did well (TPE)",
}
FIRST = ("optim.learning_rate", "optim.weight_decay", "train.batch_size", "model.depth")


def ask(command: Command, base: Config) -> Command | None:
    """The command, as a sweep if one is wanted; None until it is said what is varied."""
    kind = st.radio(
        "How many runs",
        (ONE, *SWEEPERS),
        format_func=lambda kind: f"{kind}: {HOW[kind]}" if kind in HOW else kind,
        key="sweep",
    )
    if kind == ONE:
        return command
    if SWEEPERS[kind] and importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
        st.error("This needs hydra-optuna-sweeper: pip install hydra-optuna-sweeper")
        return None
    known = {name: option for name, option in options().items() if _can_vary(name)}
    names = [*FIRST, *(name for name in known if name not in FIRST)]
    varied = st.multiselect("What to vary", names, key="varied", help="settings of the runs")
    words = [_values(known[name], base, kind) for name in varied]
    if not varied:
        st.info("Choose the settings that the runs are to differ in.")
        return None
    kept = (word for word in command.words if word.partition("=")[0] not in varied)
    return replace(command, words=(*kept, *words, *_sweeper(kind)), swept=tuple(varied))


def _can_vary(name: str) -> bool:
    return name.partition(".")[0] in ("data", "model", "augment", "optim", "train")


def _values(option: Option, base: Config, kind: str) -> str:
    group, field = option.name.split(".")
    example = "0.001,0.0003" if kind == "grid" else "interval(0.0001,0.01)"
    value = st.text_input(
        f"Values of {option.name}",
        value=text_of(getattr(getattr(base, group), field)),
        key=f"values {kind} {option.name}",
        help=f"several with commas, 1,2; or range(1,4); or interval(1,4). Such as {example}",
    )
    return f"{option.name}=" + re.sub(r"\s*([,()])\s*", r"\1", value.strip())


def _sweeper(kind: str) -> tuple[str, ...]:
    """The words that choose Hydra's sweeper; the grid is its own."""
    if not SWEEPERS[kind]:
        return ()
    runs = int(st.number_input("Runs", min_value=2, max_value=1000, value=8, step=1, key="trials"))
    return (
        *SWEEPERS[kind],
        *(f"hydra.sweeper.n_trials={runs}", "hydra.sweeper.n_jobs=1"),
        *("hydra.sweeper.direction=maximize", "hydra.sweeper.sampler.seed=0"),
    )
