"""Choose one run, or a sweep over some settings by Hydra's sweepers."""

import importlib.util
import re
from dataclasses import replace

import streamlit as st

from vit_keras.config.fields import Option, options
from vit_keras.config.schema import Config
from vit_keras.studio.jobs.command import GRID, OPTUNA, RANDOM, SWEEPERS, Command, to_text

ONE = "One run"
HELP = {
    GRID: "every combination of the values",
    RANDOM: "independent draws from the values or intervals",
    OPTUNA: "draws guided by the results so far (TPE)",
}
FIRST = ("optim.learning_rate", "optim.weight_decay", "train.batch_size", "model.depth")


def select_sweep(command: Command, base: Config) -> Command | None:
    """The command, or a sweep of it; None until the settings to vary are chosen."""
    kind = st.radio(
        "Runs to train",
        (ONE, *SWEEPERS),
        format_func=lambda kind: f"{kind}: {HELP[kind]}" if kind in HELP else kind,
        key="sweep",
    )
    if kind == ONE:
        return command
    if SWEEPERS[kind] and importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
        st.error("This needs hydra-optuna-sweeper: pip install hydra-optuna-sweeper")
        return None
    known = {name: option for name, option in options().items() if _can_vary(name)}
    names = [*FIRST, *(name for name in known if name not in FIRST)]
    swept = st.multiselect("Settings to vary", names, key="swept")
    words = [_values(known[name], base, kind) for name in swept]
    if not swept:
        st.info("Choose the settings to vary.")
        return None
    fixed = (word for word in command.words if word.partition("=")[0] not in swept)
    return replace(command, words=(*fixed, *words, *_sweeper(kind)), swept=tuple(swept))


def _can_vary(name: str) -> bool:
    return name.partition(".")[0] in ("data", "model", "augment", "optim", "loss", "train")


def _values(option: Option, base: Config, kind: str) -> str:
    group, field = option.name.split(".")
    example = "0.001,0.0003" if kind == GRID else "interval(0.0001,0.01)"
    value = st.text_input(
        f"Values of {option.name}",
        value=to_text(getattr(getattr(base, group), field)),
        key=f"values {kind} {option.name}",
        help=f"a list 1,2, or range(1,4), or interval(1,4); for example {example}",
    )
    return f"{option.name}=" + re.sub(r"\s*([,()])\s*", r"\1", value.strip())


def _sweeper(kind: str) -> tuple[str, ...]:
    """Overrides that choose the sweeper; Hydra's default one is the grid."""
    if not SWEEPERS[kind]:
        return ()
    runs = int(st.number_input("Runs", min_value=2, max_value=1000, value=8, step=1, key="trials"))
    return (
        *SWEEPERS[kind],
        *(f"hydra.sweeper.n_trials={runs}", "hydra.sweeper.n_jobs=1"),
        *("hydra.sweeper.direction=maximize", "hydra.sweeper.sampler.seed=0"),
    )
