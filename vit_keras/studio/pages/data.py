"""The Data page: inspect a data set and its augmentation before training on it."""

from pathlib import Path
from typing import Any

import streamlit as st

# Named in Streamlit's documentation of multithreading; nothing else has the id of the session.
from streamlit.runtime.scriptrunner import get_script_run_ctx

from vit_keras.config import compose
from vit_keras.config.fields import options
from vit_keras.data import registry
from vit_keras.studio.components import data_source, display, setting_inputs
from vit_keras.studio.components.display import escape_markdown, show_errors, table
from vit_keras.studio.jobs.command import command_line, default_recipe, group_choices
from vit_keras.studio.worker.client import worker
from vit_keras.studio.worker.png import decode_png
from vit_keras.text import counted

SAMPLES = 12
WIDTH = 96  # pixels of a sample
COLUMNS, DRAWS = 6, 4  # images, and augmented versions of each
MANY = 50  # classes that have bars, and findings that are listed
COUNTS: dict[str, Any] = {
    # Hidden from screen readers, which would read every bar; the table has the values.
    "mark": {"type": "bar", "aria": False},
    "encoding": {
        "x": {"field": "class", "type": "nominal", "sort": None, "title": None},
        "y": {"field": "images", "type": "quantitative", "title": None},
        "color": {"field": "split", "sort": None, "title": None, "legend": {"orient": "bottom"}},
    },
}


def show(root: Path) -> None:
    """Show the page below its title."""
    with show_errors():
        name, words = data_source.select_data(root)
        if not words:
            st.info("Choose the images.")
            return
        words = (*words, *data_source.select_task(name), *_size_override(name))
        reload = st.button("Read the data again", key="reload")
        with st.spinner("reading; a large folder is scanned once"):
            summary = _summary(words, reload)
        _show_counts(summary)
        _show_problems(summary)
        _show_samples(words, summary)
        st.subheader("Augmentation")
        with show_errors():
            _show_augmentation((f"recipe={default_recipe(False, name).name}", *words))


def _size_override(name: str) -> tuple[str, ...]:
    """Choose the size that images are resized to; a known data set has its own."""
    typed = st.text_input(
        "image size",
        "64" if name in registry.OF_FILES else "",
        key=f"size {name}",
        placeholder=setting_inputs.UNSET,
        help="`data.image_size`: what the images are resized to, in pixels: a side, or "
        "[height,width]",
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
    """Images of each class in each split, and image sizes."""
    names, counts, totals = summary["class_names"], summary["counts"], summary["images"]
    splits = ", ".join(f"{split} {total:,}" for split, total in totals.items())
    images = counted(sum(totals.values()), "image[s]")
    classes = counted(len(names), "label[s]" if summary["several_labels"] else "class[es]")
    text = f"{images} of {classes}: {splits}"
    if summary["not_read"]:
        text += f"; not read: {summary['not_read']:,}"
    st.markdown(escape_markdown(text))
    if len(names) <= MANY:
        import pandas as pd  # a dependency of Streamlit; only pages with bars wait for it

        bars = pd.DataFrame(
            {"class": name, "images": count, "split": split}
            for split, class_counts in counts.items()
            for name, count in zip(names, class_counts, strict=True)
        )
        st.vega_lite_chart(bars, COUNTS, height=260)
    with st.expander("Images of each class"):
        rows = zip(names, *counts.values(), strict=True)
        st.markdown(table([("class", *counts), *rows]))
    st.markdown("**Image sizes**")
    st.markdown(table([("height x width", "images"), *summary["sizes"]]))


def _show_problems(summary: dict) -> None:
    """Skipped files, duplicates, and missing classes."""
    if not summary["warnings"]:
        st.success("No problems were found in the images and labels.")
        return
    for warning in summary["warnings"]:
        st.warning(escape_markdown(warning))
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
        format_func=lambda index: "any class" if index is None else names[index],
        key=f"samples {words}",
    )
    shown = summary if label is None else _summary(words, label=label)
    with st.container(horizontal=True):
        for sample in shown["samples"]:
            display.show_image(decode_png(sample["image"]), sample["label"], WIDTH)


def _show_augmentation(words: tuple[str, ...]) -> None:
    """Choose an augmentation and show it on some training images."""
    key = f"sheet {' '.join(words)} "
    choice = setting_inputs.select_group("augment", group_choices("augment"), key)
    words = (*words, *((choice,) if choice else ()))
    base = compose.compose(*words).augment
    with st.expander("All augmentation settings"):
        settings = [
            (option, getattr(base, name.partition(".")[2]))
            for name, option in options().items()
            if name.startswith("augment.")
        ]
        words = (*words, *setting_inputs.edit_settings(settings, f"{key}{choice} "))
    if st.button("Next random seed", key="next_seed"):
        st.session_state["seed"] = st.session_state.get("seed", 0) + DRAWS
    st.code(command_line("show-augment", words), language="bash", wrap_lines=True)
    with st.spinner("augmenting"):
        sheet = worker("data").call(
            "augment",
            words=list(words),
            columns=COLUMNS,
            draws=DRAWS,
            seed=st.session_state.get("seed", 0),
        )
    display.show_image(decode_png(sheet), "Training images above their augmented versions")
