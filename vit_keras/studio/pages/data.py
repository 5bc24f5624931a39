"""The Data page: inspect a data set and its augmentation, and go on to train on it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import streamlit as st

# Named in Streamlit's documentation of multithreading; nothing else has the id of the session.
from streamlit.runtime.scriptrunner import get_script_run_ctx

from vit_keras.config import compose
from vit_keras.config.fields import options
from vit_keras.data import registry
from vit_keras.errors import SettingError
from vit_keras.studio.components import (
    charts,
    data_source,
    display,
    kept_values,
    next_steps,
    setting_inputs,
    typed_values,
)
from vit_keras.studio.components.display import escape_markdown, show_errors, show_note, table
from vit_keras.studio.components.palette import ROLES
from vit_keras.studio.jobs.command import command_line, default_recipe, group_choices
from vit_keras.studio.worker.client import worker
from vit_keras.studio.worker.png import decode_png
from vit_keras.text import counted

SAMPLES = 12
WIDTH = 96  # pixels of a sample
AUGMENTED = "augmentation_of_data"  # session key: what was augmented last, and the overrides
COLUMNS, DRAWS = 6, 4  # images, and augmented versions of each
MANY = 50  # classes that have bars, and findings that are listed
BAR, AROUND = 26, 130  # pixels: the height of a class, and of the axis and the legend
FILE_SIZE = "64"  # pixels, at first: files have sizes of their own
COLOURS = dict(zip(("train", "validation", "test"), ROLES.values(), strict=True))
X = {"field": "images", "type": "quantitative", "title": "images"}
COUNTS: dict[str, Any] = {
    # Hidden from screen readers, which would read every bar; the table has the values.
    "mark": {"type": "bar", "aria": False},
    "encoding": {
        "y": {"field": "class", "type": "nominal", "sort": None, "title": None},
        "color": {
            "field": "split",
            "scale": {"domain": list(COLOURS), "range": list(COLOURS.values())},
            "title": None,
            "legend": {"orient": "bottom"},
        },
        "order": {"field": "place"},
    },
}


def show(root: Path) -> None:
    """Show the page below its title."""
    with show_errors(), _in_words():
        name, words = data_source.select_data(root)
        if not words:
            st.info("Choose the images.")
            return
        words = (*words, *data_source.select_task(name))
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        with left:
            size = _size_override(name)
        reload = right.button("Read the data again", key="reload")
        with st.spinner("reading the images; those of a folder are scanned once"):
            summary = _summary((*words, *size), reload)
        _show_counts(summary)
        recipe = f"recipe={default_recipe(False, name).name}"
        chosen = () if size == (f"data.image_size={FILE_SIZE}",) else size
        about = (recipe, *words, *size)
        # Before the rest is drawn, which takes some seconds. A click on it draws the page again,
        # and by then the augmentation is what the last drawing found.
        of_last, augmented = st.session_state.get(AUGMENTED, (None, ()))
        others = (*chosen, *augmented) if of_last == about else chosen
        with show_errors(), _in_words():
            next_steps.show(recipe, words, others, summary)
        _show_problems(summary)
        _show_samples((*words, *size), summary)
        st.subheader("Classes and sizes")
        _show_bars(summary)
        st.subheader("Augmentation")
        augmented = ()
        with show_errors(), _in_words():
            augmented = _select_augmentation(about)
        st.session_state[AUGMENTED] = about, augmented
        _show_augmented((*about, *augmented))
        next_steps.show_at_end(recipe, words, (*chosen, *augmented))


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    """Errors of this block in the words of the page, without the names of settings."""
    try:
        yield
    except SettingError as error:
        text = typed_values.in_words(error, setting_inputs.label_of)
        raise SettingError(text) from error


def _size_override(name: str) -> tuple[str, ...]:
    """Choose the size that images are resized to; a known data set has its own."""
    typed = kept_values.control(
        st.text_input,
        "Image size",
        f"size {name}",
        FILE_SIZE if name in registry.OF_FILES else "",
        placeholder=setting_inputs.UNSET,
        help="What the images are resized to, in pixels: a side, or [height,width]. "
        "`data.image_size`",
    ).strip()
    return (f"data.image_size={typed}",) if typed else ()


def _summary(words: tuple[str, ...], reload: bool = False, label: int | None = None) -> dict:
    context = get_script_run_ctx()
    summary: dict = worker("data").call(
        "summary",
        session=context.session_id if context else "",
        words=list(words),
        samples=SAMPLES,
        label=label,
        reload=reload,
    )
    return summary


def _show_counts(summary: dict) -> None:
    """Images of each split."""
    names, totals = summary["class_names"], summary["images"]
    splits = ", ".join(f"{split} {total:,}" for split, total in totals.items())
    images = counted(sum(totals.values()), "image[s]")
    classes = counted(len(names), "label[s]" if summary["several_labels"] else "class[es]")
    text = f"{images} of {classes}: {splits}"
    if summary["not_read"]:
        text += f"; not read: {summary['not_read']:,}"
    st.markdown(escape_markdown(text))


def _show_bars(summary: dict) -> None:
    """Images of each class in each split, and image sizes."""
    names, counts = summary["class_names"], summary["counts"]
    if len(names) <= MANY:
        import pandas as pd  # a dependency of Streamlit; only pages with bars wait for it

        bars = pd.DataFrame(
            {"class": name, "images": count, "split": split, "place": list(COLOURS).index(split)}
            for split, class_counts in counts.items()
            for name, count in zip(names, class_counts, strict=True)
        )
        st.vega_lite_chart(bars, _bars_spec(counts), height=AROUND + BAR * len(names))
    with st.expander("Images of each class"):
        rows = zip(names, *counts.values(), strict=True)
        st.markdown(table([("class", *counts), *rows]))
    st.markdown("**Image sizes**")
    st.markdown(table([("height x width", "images"), *summary["sizes"]]))


def _bars_spec(counts: dict[str, list[int]]) -> dict[str, Any]:
    """The bars in Vega-Lite, with whole numbers on their axis.

    Args:
        counts: images of each class in each split.
    """
    longest = max(map(sum, zip(*counts.values(), strict=True)), default=0)
    axis = {"values": charts.whole_ticks(longest), "format": ",d"}
    return {**COUNTS, "encoding": {**COUNTS["encoding"], "x": {**X, "axis": axis}}}


def _show_problems(summary: dict) -> None:
    """Skipped files, duplicates, and missing classes."""
    if not summary["warnings"]:
        st.success("No problems were found in the images and labels.")
        return
    for warning in summary["warnings"]:
        text = typed_values.in_words(warning, setting_inputs.label_of)
        st.warning(escape_markdown(text[:1].upper() + text[1:]))
        if text != warning:  # it names a setting
            show_note("The setting is on the Training page, under Advanced settings.")
    if not summary["findings"]:
        return
    with st.expander("Files"):
        rows = [
            (f["problem"].replace("_", " "), f["file"], f["split"], f["class_name"], f["detail"])
            for f in summary["findings"][:MANY]
        ]
        st.markdown(table([("problem", "file", "split", "class", "reason"), *rows]))
    content = summary["table"].encode("utf-8")
    st.download_button("Download all as CSV", content, "data_report.csv", "text/csv")


def _show_samples(words: tuple[str, ...], summary: dict) -> None:
    names = summary["class_names"]
    label = st.selectbox(
        "Samples of",
        [None, *range(len(names))],
        format_func=lambda index: "all classes" if index is None else names[index],
        key=f"samples {words}",
    )
    shown = summary if label is None else _summary(words, label=label)
    with st.container(horizontal=True):
        for sample in shown["samples"]:
            display.show_image(decode_png(sample["image"]), sample["label"], WIDTH)


def _select_augmentation(words: tuple[str, ...]) -> tuple[str, ...]:
    """Choose an augmentation; its overrides."""
    key = f"sheet {' '.join(words)} "
    choice = setting_inputs.select_group("augment", group_choices("augment"), key)
    chosen = (choice,) if choice else ()
    base = compose.compose(*words, *chosen).augment
    with st.expander("All augmentation settings"):
        settings = [
            (option, getattr(base, name.partition(".")[2]))
            for name, option in options().items()
            if name.startswith("augment.")
        ]
        return (*chosen, *setting_inputs.edit_settings(settings, f"{key}{choice} "))


def _show_augmented(words: tuple[str, ...]) -> None:
    """Show training images and their augmented versions."""
    if st.button("Next random seed", key="next_seed", help="other random draws of the same kind"):
        st.session_state["seed"] = st.session_state.get("seed", 0) + DRAWS
    st.code(command_line("show-augment", words), language=None, wrap_lines=True)
    with st.spinner("augmenting"):
        sheet = worker("data").call(
            "augment",
            words=list(words),
            columns=COLUMNS,
            draws=DRAWS,
            seed=st.session_state.get("seed", 0),
        )
    display.show_image(decode_png(sheet), "Training images above their augmented versions")
