"""A form control for each setting, built from its declaration in `config.fields`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from vit_keras.config.fields import Option, options, stage_options
from vit_keras.errors import SettingError
from vit_keras.studio.components import kept_values, typed_values
from vit_keras.studio.components.display import escape_markdown
from vit_keras.studio.jobs.command import override, to_text

COLUMNS = 3  # controls side by side
UNSET = "auto"  # shown for null where nothing else is declared
SWITCH = {"true": "on", "false": "off"}  # values of settings -> words of the page
SIZES = tuple(str(2**power) for power in range(3, 11))  # offered for a number of images


@dataclass
class Form:
    """The controls of a form: their overrides, and where the error of each is shown.

    Attributes:
        key: prefix of the slots in which their values are kept.
        unset: the word for a setting that is null; empty for the one that is declared.
        columns: controls side by side, where the window is wide enough.
        words: overrides of the settings that differ from their base.
        errors: label -> what is wrong with what was typed.
        places: name of a setting -> the place below its control.
    """

    key: str
    unset: Callable[[Option, str], str] = lambda option, name: option.unset
    columns: int = COLUMNS
    words: list[str] = field(default_factory=list)
    errors: dict[str, str] = field(default_factory=dict)
    places: dict[str, Any] = field(default_factory=dict)

    def edit_rows(self, settings: Iterable[tuple[Option, Any]], prefix: str = "") -> None:
        """Draw the controls of (option, base value) pairs, some side by side."""
        rest = list(settings)
        while rest:
            row, rest = rest[: self.columns], rest[self.columns :]
            self.edit_row([(option, base, prefix) for option, base in row], self.columns)

    def edit_row(self, fields: Sequence[tuple[Option, Any, str]], columns: int = 0) -> None:
        """Draw controls side by side, and below them the errors of what was typed.

        Args:
            fields: option, base value, and prefix of the name: `stages.head.` of one of a stage.
            columns: of the row; as many as there are controls unless it is given.
        """
        words = []
        places = st.columns(columns or len(fields), vertical_alignment="bottom")
        for (option, base, prefix), column in zip(fields, places, strict=False):
            label, name = self._label(option, prefix), prefix + option.name
            with column:
                unset = self.unset(option, name) or UNSET
                words.append(edit_setting(option, base, self.key, prefix, label, unset))
        for (option, _, prefix), word in zip(fields, words, strict=True):
            self.places[prefix + option.name] = st.empty()
            self._add(option, prefix, word)

    @staticmethod
    def _label(option: Option, prefix: str) -> str:
        return label_of(prefix + option.name) or option.label

    def keep(self, option: Option, base: Any, prefix: str = "") -> None:
        """Add the override of a setting whose control is not drawn now."""
        name = prefix + option.name
        typed = kept_values.values().get(slot_of(self.key, name))
        word = None if typed is None else _word(option, name, typed, to_text(base))
        self._add(option, prefix, word)

    def _add(self, option: Option, prefix: str, word: str | None) -> None:
        if word is None:
            return
        self.words.append(word)
        name, label = prefix + option.name, self._label(option, prefix)
        typed = kept_values.values().get(slot_of(self.key, name), "")
        if problem := typed_values.problem(option, typed_values.as_value(option, typed)):
            self.errors[label] = problem
            self.show(name, f"{label}: {problem}")

    def show(self, name: str, text: str) -> None:
        """Show an error below the control of a setting, if it is drawn."""
        if name in self.places:
            self.places[name].error(escape_markdown(f"{text}."))

    def show_error(self, error: SettingError) -> str:
        """Show an error at the control it belongs to; its text in the words of the page."""
        text = typed_values.in_words(error, label_of)
        for name in typed_values.names_in(error, self.places)[:1]:
            self.show(name, text)
        return text


def label_of(name: str) -> str | None:
    """What the forms call a setting, `Epochs (head)` of one of a stage; None if there is none."""
    if name.startswith("stages."):
        _, stage, last = [*name.split(".", 2), ""][:3]
        return f"{stage_options()[last].label} ({stage})" if last in stage_options() else None
    return options()[name].label if name in options() else None


def edit_settings(settings: Iterable[tuple[Option, Any]], key: str, prefix: str = "") -> list[str]:
    """Controls for (option, base value) pairs, in rows; the overrides of the changed ones."""
    form = Form(key)
    form.edit_rows(settings, prefix)
    return form.words


def edit_setting(
    option: Option, base: Any, key: str, prefix: str = "", label: str = "", unset: str = UNSET
) -> str | None:
    """A control that starts at `base`; its override if the value differs, else None.

    Args:
        option: declaration of the setting.
        base: value of the setting in the recipe and the chosen presets.
        key: prefix of its slot; with another one the control starts at `base`.
        prefix: of the option's name on the command line, `stages.head.`.
        label: of the control; the declared one if it is empty.
        unset: shown for null.
    """
    name = prefix + option.name
    initial, slot = to_text(base), slot_of(key, name)
    control = _Control(
        option=option,
        label=label or option.label,
        help=f"{help_text(option, initial)} `{name}`",
        key=kept_values.key_of(slot, initial),
        value=kept_values.values().get(slot, initial),
        unset=unset,
    )
    typed = control.draw().strip()
    if typed_values.as_value(option, typed) == initial:
        kept_values.values().pop(slot, None)
        return None
    kept_values.values()[slot] = typed
    return _word(option, name, typed, initial)


def _word(option: Option, name: str, typed: str, initial: str) -> str | None:
    text = typed_values.as_value(option, typed)
    return None if text == initial else override(name, option.kind, option.is_optional, text)


def slot_of(key: str, name: str) -> str:
    """Where what was typed for a setting is kept."""
    return f"{key}{name}"


def _is_whole(text: str) -> bool:
    """Whether it is a whole number that browsers can hold."""
    return text.removeprefix("-").isdecimal() and abs(int(text)) < 2**53


@dataclass(frozen=True)
class _Control:
    """One control of Streamlit; `draw` returns what stands in it as text."""

    option: Option
    label: str
    help: str
    key: str
    value: str
    unset: str

    def draw(self) -> str:
        option, value = self.option, self.value
        if option.kind == "switch" and not option.is_optional:
            return to_text(self._show(st.checkbox, value == "true"))
        if option.kind in ("choice", "switch"):
            return self._select(option.choices or tuple(SWITCH))
        if option.words:
            return self._select((*option.words, *SIZES), accept_new_options=True)
        if option.kind == "whole" and (not value or _is_whole(value)):
            return self._step()
        if option.step and not option.is_optional and self._is_in_bounds():
            return self._slide(option.step)
        placeholder = self.unset if option.is_optional else ""
        return str(self._show(st.text_input, value, self._title(), placeholder=placeholder))

    def _is_in_bounds(self) -> bool:
        return not self.value or not typed_values.problem(self.option, self.value)

    def _title(self) -> str:
        return f"{self.label} ({self.option.unit})" if self.option.unit else self.label

    def _show(self, draw: Callable[..., Any], start: Any, title: str = "", **options: Any) -> Any:
        if self.key not in st.session_state:
            st.session_state[self.key] = start
        return draw(title or self.label, key=self.key, help=self.help, **options)

    def _select(self, choices: tuple[str, ...], **options: Any) -> str:
        found = ["", *choices] if self.option.is_optional else list(choices)
        found += [] if self.value in found else [self.value]
        return str(
            self._show(
                st.selectbox,
                self.value,
                self._title(),
                options=found,
                format_func=lambda choice: SWITCH.get(choice, choice) or self.unset,
                **options,
            )
            or ""
        )

    def _step(self) -> str:
        """A whole number with steppers; it may be emptied, which means null, or is an error.

        Without its bounds: the browser would keep what is out of them to itself, and the page would
        call the value before it valid.
        """
        number = self._show(
            st.number_input,
            int(self.value) if self.value else None,
            self._title(),
            value=None,
            step=1,
            placeholder=self.unset if self.option.is_optional else "",
        )
        return "" if number is None else str(int(number))

    def _slide(self, step: float) -> str:
        limits = self.option.limits
        low = limits.at_least if limits.at_least is not None else step
        high = limits.at_most if limits.at_most is not None else float(limits.below or 1) - step
        number = self._show(
            st.slider,
            min(max(float(self.value), low), high),
            min_value=float(low),
            max_value=float(high),
            step=step,
            format="%.4g",
        )
        return f"{number:.10g}"


def help_text(option: Option, base: str) -> str:
    """Help and bounds of a setting, and its value in the recipe and the presets, if it has one."""
    bounds = f" Use {option.bounds}." if option.bounds else ""
    start = f" In the recipe: `{SWITCH.get(base, base)}`." if base else ""
    return f"{option.help}{bounds}{start}"


def select_group(group: str, choices: dict[str, str], key: str, label: str = "") -> str | None:
    """Choose a preset of a group, `augment=light`; None keeps that of the recipe."""
    selected: str = kept_values.control(
        st.selectbox,
        label or group.capitalize(),
        slot_of(key, group),
        "",
        # A preset is for all settings of its group, those that were changed before included.
        changed=lambda: kept_values.drop(lambda slot: slot.startswith(slot_of(key, f"{group}."))),
        options=["", *choices],
        format_func=lambda choice: choice or "from the recipe",
        help=f"A preset for all settings of this group; those below change it. `{group}=...`",
    )
    if selected and choices[selected]:
        st.markdown(choices[selected])
    return f"{group}={selected}" if selected else None
