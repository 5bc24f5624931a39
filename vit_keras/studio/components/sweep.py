"""Choose one run, or a search over some settings by Hydra's sweepers."""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import streamlit as st
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from vit_keras.config.compose import get_setting
from vit_keras.config.fields import Option, options, stage_options
from vit_keras.config.schema import Config
from vit_keras.studio.components import kept_values, sweep_values
from vit_keras.studio.components.setting_inputs import Form, label_of
from vit_keras.studio.components.training_choice import FORM
from vit_keras.studio.jobs.command import GRID, OPTUNA, RANDOM, SWEEPERS, Command
from vit_keras.text import counted

ONE = "One run"
HELP = {
    GRID: "every combination of the values",
    RANDOM: "independent draws from the values or ranges",
    OPTUNA: "draws guided by the results so far (TPE)",
}
KIND, SWEPT, TRIALS = f"{FORM}sweep", f"{FORM}swept", f"{FORM}trials"
# What a search can be worth its time for.
OF_TRAINING = (
    *("optim.learning_rate", "optim.weight_decay", "train.batch_size", "train.epochs"),
    *("optim.name", "optim.schedule", "optim.warmup_ratio", "optim.label_smoothing"),
    *("optim.clip_norm", "optim.ema_momentum", "train.seed", "data.image_size"),
    *("augment.policy", "augment.policy_magnitude", "augment.random_erasing", "augment.mixup"),
    *("augment.cutmix", "augment.crop_padding", "augment.flip", "loss.name", "data.sampling"),
    *("train.class_weight", "model.dropout", "model.stochastic_depth", "model.patch_dropout"),
)
OF_SCRATCH = (
    *("model.depth", "model.width", "model.num_heads", "model.mlp_dim", "model.patch_size"),
    *("model.pool", "model.position", "model.stem", "model.initialization"),
)
OF_STAGE = ("learning_rate", "epochs", "layer_decay", "warmup_ratio")


def select_sweep(command: Command, base: Config, form: Form) -> Command | None:
    """The command, or a sweep of it; None until the settings to vary are chosen.

    What is wrong with a range is among the errors of the form.
    """
    kind = kept_values.control(
        st.radio,
        "Runs to train",
        KIND,
        ONE,
        options=(ONE, *SWEEPERS),
        format_func=lambda kind: f"{kind}: {HELP[kind]}" if kind in HELP else kind,
        help="Several runs, one after another, with other values of some settings; the best of "
        "them is found at the end.",
    )
    if kind == ONE:
        return command
    if SWEEPERS[kind] and importlib.util.find_spec("hydra_plugins.hydra_optuna_sweeper") is None:
        st.error("This needs hydra-optuna-sweeper: pip install hydra-optuna-sweeper")
        return None
    known = _variable(base)
    kept_values.values()[SWEPT] = [
        one for one in kept_values.values().get(SWEPT, []) if one in known
    ]
    swept = kept_values.control(
        st.multiselect, "Settings to vary", SWEPT, [], options=list(known), format_func=_title
    )
    if not swept:
        st.info("Choose the settings to vary.")
        return None
    words = [
        sweep_values.edit(name, known[name], get_value(base, name), kind, form) for name in swept
    ]
    fixed = (word for word in command.words if word.partition("=")[0] not in swept)
    sweeper = _sweeper(kind)
    found = replace(command, words=(*fixed, *words, *sweeper), swept=tuple(swept))
    if count := run_count(found):
        st.markdown(f"**{counted(count, 'run[s]')}**")
    return found


def run_count(command: Command) -> int | None:
    """The number of runs of a command; None while its values cannot be read."""
    trials = [word for word in command.words if word.startswith("hydra.sweeper.n_trials=")]
    if trials:
        return int(trials[0].partition("=")[2])
    try:
        parsed = OverridesParser.create().parse_overrides(overrides=list(command.words))
        sweeps = [one for one in parsed if one.is_sweep_override()]
        return math.prod(len([*one.sweep_string_iterator()]) for one in sweeps)
    except (HydraException, ValueError):
        return None


def _variable(base: Config) -> dict[str, Option]:
    """The settings that a search of this training can vary."""
    names = [*OF_TRAINING, *(OF_SCRATCH if base.pretrained.handle is None else ())]
    names = [name for name in names if not (base.stages and name == "train.epochs")]
    found = {name: options()[name] for name in names}
    stages = {
        f"stages.{stage}.{field}": replace(stage_options()[field], is_optional=False)
        for stage in base.stages
        for field in OF_STAGE
    }
    return {**stages, **found}


def get_value(base: Config, name: str) -> Any:
    """The value of a setting, `stages.head.epochs` included."""
    if name.startswith("stages."):
        _, stage, field = name.split(".", 2)
        return getattr(base.stages[stage], field)
    return get_setting(base, name)


def _title(name: str) -> str:
    return f"{label_of(name)} ({name})"


def _sweeper(kind: str) -> tuple[str, ...]:
    """Overrides that choose the sweeper; Hydra's default one is the grid."""
    if not SWEEPERS[kind]:
        return ()
    draw: Callable[..., Any] = st.number_input
    runs = int(
        kept_values.control(draw, "Number of runs", TRIALS, 8, min_value=2, max_value=1000, step=1)
    )
    return (
        *SWEEPERS[kind],
        *(f"hydra.sweeper.n_trials={runs}", "hydra.sweeper.n_jobs=1"),
        *("hydra.sweeper.direction=maximize", "hydra.sweeper.sampler.seed=0"),
    )
