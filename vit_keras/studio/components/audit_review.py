"""The images of an audit, list by list, with what is proposed and what was decided."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from vit_keras.data import decode
from vit_keras.data.pixel_options import PixelOptions
from vit_keras.evaluation.audit_decisions import Decision, Decisions
from vit_keras.evaluation.audit_table import Audited
from vit_keras.studio.components import display
from vit_keras.studio.components.display import escape_markdown, show_errors
from vit_keras.text import counted

PAGE = 24  # images
CARD, SIDE = 262, 228  # pixels of the width of a card, and of an image
AMBIGUOUS = 0.1  # a margin below which two classes are about as probable
OTHER = "Another class"
CHANGES = "changes of decisions"  # session key: how many there were, undone ones too


class Kind(NamedTuple):
    """A list of images: which, in what order, and why an image is on it."""

    title: str
    has: Callable[[Audited], bool]
    order: Callable[[Audited], tuple]
    why: Callable[[Audited], str]


def _probabilities(row: Audited) -> str:
    return f"{row.confidence:.0%} for {row.most_probable}, {row.label_score:.0%} for {row.label}"


ERRORS, *_ = KINDS = (
    Kind(
        "Likely label errors",
        lambda row: row.is_label_error,
        lambda row: (row.label_score,),
        _probabilities,
    ),
    Kind(
        "Outliers",
        lambda row: row.is_outlier,
        lambda row: (row.outlier_score,),
        lambda row: f"unlike all others, score {row.outlier_score:.2f}",
    ),
    Kind(
        "Near twins",
        lambda row: row.is_near_duplicate,
        lambda row: (row.group, row.near_duplicate_score),
        lambda row: f"twins {row.group}",
    ),
    Kind(
        "Ambiguous images",
        lambda row: row.margin < AMBIGUOUS,
        lambda row: (row.margin,),
        lambda row: f"two classes are about as probable, {row.confidence:.0%} the first",
    ),
    Kind("All images", lambda row: True, lambda row: (row.label_score,), _probabilities),
)


def show(folder: Path, rows: Sequence[Audited]) -> None:
    """Show a page of one list, with the buttons that decide."""
    with show_errors():
        decisions = Decisions(folder)
        lists = [sorted(filter(kind.has, rows), key=kind.order) for kind in KINDS]
        left, right = st.columns([3, 1])
        number = left.selectbox(
            "Show",
            range(len(KINDS)),
            format_func=lambda index: f"{KINDS[index].title} ({len(lists[index]):,})",
            key=f"kind {folder.name}",
        )
        kind, found = KINDS[number], lists[number]
        pages = max(1, -(-len(found) // PAGE))
        page = right.number_input(
            f"Page of {pages}", 1, pages, key=f"page {folder.name} {number} {pages}"
        )
        shown = found[(page - 1) * PAGE : page * PAGE]
        _show_steps(kind, shown, decisions)
        if not shown:
            st.write("No image is on this list.")
        classes = sorted({row.label for row in rows})
        with st.container(horizontal=True, key="gallery"):
            for place, row in enumerate(shown):
                with st.container(width=CARD, border=True):
                    _show_card(
                        f"{folder.name} {number} {page} {place}", kind, row, classes, decisions
                    )


def _show_steps(kind: Kind, shown: Sequence[Audited], decisions: Decisions) -> None:
    """What was decided so far, and the buttons for all images in view and for the last step."""
    labels = decisions.labels
    kept = sum(new == label for (_, label), new in labels.items())
    out = sum(new == "" for new in labels.values())
    st.markdown(
        f"{len(labels):,} decided: {len(labels) - kept - out:,} with another label, {kept:,} kept, "
        f"{out:,} left out."
    )
    undecided = [row for row in shown if _decided(row, decisions) is None]
    with st.container(horizontal=True):
        if kind is ERRORS and st.button(
            f"Accept all in view ({len(undecided)})",
            key="accept_all",
            disabled=not undecided,
            help="the proposed label of each image on this page that is undecided",
        ):
            _decide(decisions, [(row, row.most_probable) for row in undecided])
        if st.button("Undo", key="undo", disabled=not decisions.steps, help="the last decision"):
            undone = decisions.undo()
            st.toast(f"Undone: {counted(len(undone), 'decision[s]')}.")
            _show_again()


def _decide(decisions: Decisions, made: Sequence[tuple[Audited, str]]) -> None:
    decisions.decide([Decision(row.path, row.label, new) for row, new in made])
    _show_again()


def _show_again() -> None:
    st.session_state[CHANGES] = st.session_state.get(CHANGES, 0) + 1
    st.rerun(scope="fragment")


def _show_card(
    key: str, kind: Kind, row: Audited, classes: list[str], decisions: Decisions
) -> None:
    """An image with its labels, why it is listed, what was decided, and what can be."""
    file = Path(row.path)
    name = f"{file.parent.name}/{file.name}"
    try:
        image = _thumbnail(row.path, file.stat().st_mtime_ns)
        display.show_image(image, name, SIDE)
    except (OSError, decode.UnreadableError) as error:
        reason = decode.error_reason(error)
        st.warning(escape_markdown(f"{name} cannot be shown: {reason}"))
    is_proposed = row.most_probable != row.label
    proposed = f", proposed **{escape_markdown(row.most_probable)}**" if is_proposed else ""
    lines = (f"Label **{escape_markdown(row.label)}**{proposed}", escape_markdown(kind.why(row)))
    decided = _decided(row, decisions)
    st.markdown("  \n".join((*lines, _decided_text(row, decided))))
    with st.container(horizontal=True, gap="small"):
        if is_proposed and st.button(
            "Accept", key=f"accept {key}", type="primary" if decided is None else "secondary"
        ):
            _decide(decisions, [(row, row.most_probable)])
        if st.button("Keep", key=f"keep {key}", help="the label is right"):
            _decide(decisions, [(row, row.label)])
        if st.button("Drop", key=f"drop {key}", help="leave the image out of the new table"):
            _decide(decisions, [(row, "")])
    others = [one for one in classes if one != row.label]
    chosen = st.selectbox(
        f"{OTHER} for {name}",
        [OTHER, *others],
        # A key for once: a browser keeps what was chosen, and would choose it again after an undo.
        key=f"fix {key} {st.session_state.get(CHANGES, 0)}",
        label_visibility="collapsed",
    )
    if chosen != OTHER:
        _decide(decisions, [(row, chosen)])


def _decided(row: Audited, decisions: Decisions) -> str | None:
    """The label that was decided on, here or in `audit.csv`; None if none was."""
    edited = row.new_label if row.new_label != row.label else None
    return decisions.labels.get((row.path, row.label), edited)


def _decided_text(row: Audited, decided: str | None) -> str:
    if decided is None:
        return ":gray[Undecided]"
    if decided == "":
        return "**Left out**"
    return "**Kept**" if decided == row.label else f"**Now {escape_markdown(decided)}**"


@st.cache_data(max_entries=1000, show_spinner=False)
def _thumbnail(path: str, mtime: int) -> bytes:
    """A PNG of the image; `mtime` is part of the key."""
    content = decode.read_regular_file(Path(path))
    pixels = decode.decode_bytes(content, (SIDE, SIDE), "pad", PixelOptions())
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(stream, "PNG")
    return stream.getvalue()
