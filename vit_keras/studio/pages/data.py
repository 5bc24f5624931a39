"""The page on which data are looked at before anything is trained on them."""

from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from vit_keras.config import compose
from vit_keras.config.fields import options
from vit_keras.studio.components import data_source, display, setting_inputs
from vit_keras.studio.components.display import escape_markdown, show_errors, table
from vit_keras.studio.jobs.command import command_line, first_recipe, group_choices
from vit_keras.studio.worker.client import worker
from vit_keras.studio.worker.png import decode_png

SAMPLES = 12
WIDTH = 96  # pixels of a sample
COLUMNS, DRAWS = 6, 4  # of the sheet of augmentations
MANY = 50  # classes that have bars, and files that are listed
COUNTS: dict[str, Any] = {
    # A screen reader would name every bar; the table is beside.
    "mark": {"type": "bar", "aria": False},
    "encoding": {
        "x": {"field": "class", "type": "nominal", "sort": None, "title": None},
        "y": {"field": "images", "type": "quantitative", "title": None},
        "color": {"field": "split", "sort": None, "title": None, "legend": {"orient": "bottom"}},
    },
}


def show(root: Path) -> None:
    """The whole page, below its title."""
    with show_errors():
        name, words = data_source.ask(root)
        if not words:
            st.info("Say where the images are.")
            return
        words = (*words, *_size(name))
        afresh = st.button("Read the data again", key="afresh")
        with st.spinner("reading; a large folder is scanned once"):
            found = _look(words, afresh)
        _counts(found)
        _wrong(found)
        _samples(words, found)
        st.subheader("Augmentation")
        with show_errors():
            _augmentation((f"recipe={first_recipe(False, name).name}", *words))


def _size(name: str) -> tuple[str, ...]:
    """The size that images of many sizes are brought to; a known set has its own."""
    typed = st.text_input(
        "image size",
        "64" if name == "folder" else "",
        key=f"size {name}",
        placeholder=setting_inputs.UNSET,
        help="`data.image_size`: rows and columns that the images are brought to",
    ).strip()
    return (f"data.image_size={typed}",) if typed else ()


def _look(words: tuple[str, ...], afresh: bool = False, label: int | None = None) -> dict:
    context = get_script_run_ctx()
    found: dict = worker("data").ask(
        "look",
        asker=context.session_id if context else "",
        words=list(words),
        samples=SAMPLES,
        label=label,
        afresh=afresh,
    )
    return found


def _counts(found: dict) -> None:
    """How many images each class has in each split."""
    names, counts = found["class_names"], found["counts"]
    totals = {split: sum(own) for split, own in counts.items()}
    said = ", ".join(f"{total:,} to {split}" for split, total in totals.items())
    st.markdown(escape_markdown(f"{sum(totals.values()):,} images of {len(names)} classes: {said}"))
    if len(names) <= MANY:
        import pandas as pd  # Streamlit's own; a page without bars does not wait for it

        lines = pd.DataFrame(
            {"class": name, "images": count, "split": split}
            for split, own in counts.items()
            for name, count in zip(names, own, strict=True)
        )
        st.vega_lite_chart(lines, COUNTS, height=260)
    with st.expander("Images of each class"):
        rows = zip(names, *counts.values(), strict=True)
        st.markdown(table([("class", *counts), *rows]))
    st.markdown("**Sizes of the images**")
    st.markdown(table([("height x width", "images"), *found["sizes"]]))


def _wrong(found: dict) -> None:
    """Files that are no use, what is there twice, and classes that are missing."""
    if not found["warnings"]:
        st.success("Nothing was found wrong with the images and their labels.")
        return
    for warning in found["warnings"]:
        st.warning(escape_markdown(warning))
    if not found["findings"]:
        return
    with st.expander("The files"):
        rows = [
            (f["problem"].replace("_", " "), f["file"], f["split"], f["class_name"], f["detail"])
            for f in found["findings"][:MANY]
        ]
        st.markdown(table([("problem", "file", "split", "class", "why"), *rows]))
    content = found["table"].encode("utf-8")
    st.download_button("All of them as CSV", content, "data_report.csv", "text/csv")


def _samples(words: tuple[str, ...], found: dict) -> None:
    names = found["class_names"]
    label = st.selectbox(
        "Samples of",
        [None, *range(len(names))],
        format_func=lambda index: "any class" if index is None else names[index],
        key=f"samples {words}",
    )
    shown = found if label is None else _look(words, label=label)
    with st.container(horizontal=True):
        for sample in shown["samples"]:
            display.show_picture(decode_png(sample["picture"]), sample["label"], WIDTH)


def _augmentation(words: tuple[str, ...]) -> None:
    """What the chosen augmentation makes of some training images, drawn anew at every change."""
    key = f"sheet {' '.join(words)} "
    choice = setting_inputs.ask_choice("augment", group_choices("augment"), key)
    words = (*words, *((choice,) if choice else ()))
    base = compose.compose(*words).augment
    with st.expander("Every setting of it"):
        asked = [
            (option, getattr(base, name.partition(".")[2]))
            for name, option in options().items()
            if name.startswith("augment.")
        ]
        words = (*words, *setting_inputs.ask_all(asked, f"{key}{choice} "))
    if st.button("Other draws", key="draws"):
        st.session_state["draw"] = st.session_state.get("draw", 0) + DRAWS
    st.code(command_line("show-augment", words), language="bash", wrap_lines=True)
    with st.spinner("drawing"):
        sheet = worker("data").ask(
            "augment",
            words=list(words),
            columns=COLUMNS,
            draws=DRAWS,
            seed=st.session_state.get("draw", 0),
        )
    display.show_picture(decode_png(sheet), "training images above, and draws of each below")
