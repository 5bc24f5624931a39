"""What stands in the form of a new training, in plain session state, and where it is set."""

from pathlib import Path

import streamlit as st

import vit_keras
from vit_keras.studio.components import data_source, kept_values, navigation
from vit_keras.studio.components.setting_inputs import slot_of
from vit_keras.studio.jobs.command import Recipe, as_typed, default_recipe, recipes

FORM = "training "  # begins the slots of the form
START, MODEL, ADDRESS = f"{FORM}start", f"{FORM}pretrained model", f"{FORM}address"
FURTHER = f"{FORM}further overrides"
SOURCE = f"{FORM}source"  # the run whose settings the form began with
PRESETS = ("model", "augment", "optim", "loss")
HANDLE = "pretrained.handle"
EMBEDDED = "saved_models/cifar10_hour"  # in the repository: needs no network
ROOT = Path(vit_keras.__file__).parents[1]
OF_DATA = (*data_source.FOLDER_SETTINGS, *data_source.COLUMNS, "data.path", "data.name")
OF_ONE_RUN = ("run.dir", "run.root", "run.resume")
NEW, FOLLOW = "New training", "Trainings"  # the tabs of the page
TO_OPEN = "tab_to_open"  # session key: the tab that is opened when the page is drawn next


def begin_with(overrides: list[str], source: str = "") -> None:
    """Put the overrides into the form in place of what stands there, and open the page.

    Args:
        overrides: of a command line: `recipe=folder`, `data=folder`, `data.path=photos`,
            `train.epochs=30`. Those of one run alone (`run.dir`, `run.resume`) are left out.
        source: the run whose settings they are.

    Raises:
        SettingError: a word is no override.
    """
    fill_in(overrides)
    kept_values.put({SOURCE: source})
    st.session_state[TO_OPEN] = NEW
    navigation.open_page("training")


def fill_in(overrides: list[str]) -> None:
    """Put the overrides into the form in place of what stands there.

    Raises:
        SettingError: a word is no override.
    """
    typed = as_typed(word for word in overrides if not word.startswith(OF_ONE_RUN))
    of_data = ("data", "task", "data.several_labels", *OF_DATA)
    recipe = _recipe_of(typed)
    handle = typed.pop(HANDLE, recipe.handle)
    if handle.endswith(EMBEDDED):
        handle = embedded() or handle
    kept_values.drop(lambda slot: slot.startswith(FORM))
    data_source.choose(
        [f"data={typed.get('data', recipe.data)}"]
        + [word for word in overrides if word.partition("=")[0] in of_data[1:]]
    )
    data = typed.get("data.name", typed.get("data", recipe.data))
    names = {name for name in typed if name.startswith(("+", "~", "hydra"))}
    further = [word for word in overrides if word.partition("=")[0] in names]
    kept_values.put(
        {
            START: bool(handle),
            MODEL: handle,
            recipe_slot(data, handle): recipe.name,
            FURTHER: "\n".join(further),
            **{
                slot_of(FORM, name): text
                for name, text in typed.items()
                if name not in of_data and name not in names
            },
        }
    )


def _recipe_of(typed: dict[str, str]) -> Recipe:
    """The recipe that the overrides name, or the one that suits their data and model."""
    known = {recipe.name: recipe for recipe in recipes()}
    if (name := typed.pop("recipe", "")) in known:
        return known[name]
    handle = typed.get(HANDLE, "")
    return default_recipe(bool(handle), typed.get("data", "digits"), handle)


def embedded() -> str:
    """The pretrained model of the repository, from here; empty if it is not there."""
    if Path(EMBEDDED).is_dir():
        return EMBEDDED
    return str(ROOT / EMBEDDED) if (ROOT / EMBEDDED).is_dir() else ""


def recipe_slot(data: str, handle: str) -> str:
    """Where the recipe is kept: each data set and start has another one to begin with."""
    return f"{FORM}recipe {data} {handle}"
