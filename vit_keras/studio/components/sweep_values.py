"""The values of one setting that a search tries: a range, or a list."""

from dataclasses import dataclass, replace
from typing import Any

import streamlit as st

from vit_keras.config.fields import Option
from vit_keras.studio.components import kept_values, typed_values
from vit_keras.studio.components.setting_inputs import SWITCH, Form, label_of
from vit_keras.studio.components.training_choice import FORM
from vit_keras.studio.jobs.command import GRID, to_text

BY_RANGE, BY_VALUES = "Range", "Values"


def edit(name: str, option: Option, value: Any, kind: str, form: Form) -> str:
    """The override of one setting that a search varies."""
    label, slot = str(label_of(name)), f"{FORM}values {name} "
    if option.kind in ("choice", "switch"):
        choices = option.choices or tuple(SWITCH)
        chosen = kept_values.control(
            st.multiselect,
            f"Values of {label}",
            f"{slot}choices",
            list(choices[:3]),
            options=choices,
            format_func=lambda choice: SWITCH.get(choice, choice),
        )
        if len(chosen) < 2:
            form.errors[label] = "choose two or more values"
        return f"{name}={','.join(chosen)}"
    is_number = option.kind in ("whole", "number")
    with st.container(border=True):
        st.markdown(f"**{label}**")
        by = BY_VALUES
        if is_number:
            by = kept_values.control(
                *(st.radio, f"How {label} varies", f"{slot}by", BY_RANGE),
                options=(BY_RANGE, BY_VALUES),
                horizontal=True,
                label_visibility="collapsed",
            )
        if by == BY_RANGE:
            return f"{name}={_range(label, slot, option, value, kind, form)}"
        return f"{name}={_listed(label, slot, option, value, form)}"


def _listed(label: str, slot: str, option: Option, value: Any, form: Form) -> str:
    typed = kept_values.control(
        st.text_input,
        f"Values of {label}",
        f"{slot}listed",
        "",
        placeholder=f"{to_text(value) or '1'}; ...",
        help="Separated by semicolons or spaces, such as 0.001; 0.0003",
    )
    values = [typed_values.as_value(option, one) for one in typed.replace(";", " ").split()]
    if option.kind == "number":  # a comma between two numbers is no decimal comma: 0.001,0.0003
        values = [part for one in values for part in one.split(",")]
    problems = [problem for one in values if (problem := typed_values.problem(option, one))]
    if len(values) < 2:
        problems = ["list two or more values, separated by semicolons"]
    if problems:
        form.errors[label] = problems[0]
    return ",".join(values)


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, evenly or by equal factors."""

    low: float
    high: float
    is_log: bool
    is_whole: bool

    def text(self, number: float) -> str:
        return str(round(number)) if self.is_whole else f"{number:.3g}"

    def values(self, count: int) -> list[str]:
        """So many values from end to end, rounded to what one would type."""
        parts = [place / (count - 1) for place in range(count)]
        if self.is_log:
            found = [self.low * (self.high / self.low) ** part for part in parts]
        else:
            found = [self.low + (self.high - self.low) * part for part in parts]
        return list(dict.fromkeys(map(self.text, found)))

    def interval(self) -> str:
        inner = f"interval({self.text(self.low)},{self.text(self.high)})"
        return f"tag(log,{inner})" if self.is_log else inner


def _range(label: str, slot: str, option: Option, value: Any, kind: str, form: Form) -> str:
    """The values of a grid, or the interval of a search, between two ends."""
    start = default_range(option, value)
    columns = iter(st.columns(4 if kind == GRID else 3, vertical_alignment="bottom"))

    def typed(title: str, end: float) -> str:
        with next(columns):
            text = kept_values.control(
                st.text_input, f"{title} {label}", f"{slot}{title}", start.text(end)
            )
        return typed_values.as_value(option, text)

    low, high = typed("Lowest", start.low), typed("Highest", start.high)
    with next(columns):
        is_log = kept_values.control(
            *(st.checkbox, f"Log scale of {label}", f"{slot}log", start.is_log),
            help="By equal factors, as for a learning rate, and not by equal steps",
        )
    count = 3
    if kind == GRID:
        with next(columns):
            count = int(
                kept_values.control(
                    *(st.number_input, f"Number of values of {label}", f"{slot}count", 3),
                    min_value=2,
                    max_value=50,
                    step=1,
                )
            )
    if problem := _range_problem(option, low, high, is_log):
        form.errors[label] = problem
        return f"{low},{high}"
    found = Range(float(low), float(high), is_log, option.kind == "whole")
    return ",".join(found.values(count)) if kind == GRID else found.interval()


def _range_problem(option: Option, low: str, high: str, is_log: bool) -> str:
    needed = replace(option, is_optional=False, words=())
    for text in (low, high):
        if problem := typed_values.problem(needed, text):
            return problem
    if float(low) >= float(high):
        return f"the lowest value, {low}, is not below the highest, {high}"
    if is_log and float(low) <= 0:
        return f"a log scale cannot begin at {low}; use a lowest value above 0"
    return ""


def default_range(option: Option, value: Any) -> Range:
    """A range around the present value, within the bounds of the setting."""
    is_whole, limits = option.kind == "whole", option.limits
    known = float(value) if isinstance(value, int | float) and value else None
    is_log = limits.at_most is None and limits.below is None and known is not None
    middle = known if known is not None else 4.0 if is_whole else 0.1
    ratio = 2 if is_whole else 3
    has_zero = known is None and limits.above is None
    low, high = (0.0, 2 * middle) if has_zero else (middle / ratio, middle * ratio)
    if limits.at_least is not None:
        low = max(low, limits.at_least)
    ends = [end for end in (limits.at_most, limits.below) if end is not None]
    high = min([high, *ends])
    return Range(low, high, is_log and low > 0, is_whole)
