"""A gallery of predicted images: each with its class and a bar of its confidence."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from vit_keras.predict import outputs
from vit_keras.predict.predictor import Prediction
from vit_keras.studio.components import kept_values
from vit_keras.studio.components.display import escape_markdown, show_note
from vit_keras.text import counted

AT_ONCE = 24  # images that are shown; a click shows as many more
WIDTH = 150  # pixels of an image in the gallery
NAME = 20  # characters of a file name below it
THUMBNAIL = 480  # pixels of the longer side of what is sent to the browser
AS_GIVEN, LEAST_SURE = ORDERS = ("as given", "least confident first")
SELECTED = "selected_image"  # session key: id of the image that is shown in detail


@dataclass(frozen=True)
class Upload:
    """An image file from the browser: its name, an id of its content, and the content."""

    name: str
    id: str
    content: bytes


def select(predicted: Sequence[tuple[Upload, Prediction]]) -> int:
    """Show the images with their predictions; the number of the one to show in detail."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        order = kept_values.control(
            st.radio, "Order", "gallery order", AS_GIVEN, options=ORDERS, horizontal=True
        )
    numbers = list(range(len(predicted)))
    if order == LEAST_SURE:
        numbers.sort(key=lambda number: predicted[number][1].confidence)
    count = kept_values.values().get("gallery count", AT_ONCE)
    ids = [image.id for image, _ in predicted]
    with st.container(horizontal=True):
        for number in numbers[:count]:
            with st.container(width=WIDTH, key=f"predicted {number}"):
                _show_one(number, *predicted[number])
    left = len(predicted) - count
    if left > 0 and st.button(f"Show {counted(min(AT_ONCE, left), 'more image[s]')}", key="more"):
        kept_values.values()["gallery count"] = count + AT_ONCE
        st.rerun()
    selected = st.session_state.get(SELECTED)
    return ids.index(selected) if selected in ids else numbers[0]


def _show_one(number: int, image: Upload, prediction: Prediction) -> None:
    shown = thumbnail(image.content)
    if shown is not None:
        st.image(shown, width=WIDTH, alt=image.name)
    show_note(escape_markdown(_short(image.name)))
    st.progress(min(1.0, max(0.0, prediction.confidence)), escape_markdown(title(prediction)))
    if prediction.decision is not None and prediction.decision.abstain:
        st.markdown(escape_markdown(outputs.decision_text(prediction)))
    if st.button("Details", key=f"details {number} {image.id}", help=escape_markdown(image.name)):
        st.session_state[SELECTED] = image.id


@st.cache_data(max_entries=300, show_spinner=False)
def thumbnail(content: bytes) -> bytes | None:
    """A JPEG or PNG of an image file for the browser; None of a format that Pillow cannot read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.draft("RGB", (THUMBNAIL, THUMBNAIL))
            shown = ImageOps.exif_transpose(image)
            if shown.mode.startswith(("I", "F")):  # 16 bits: only the worker knows their range
                return None
            shown = shown.convert(
                "RGBA" if "A" in shown.mode or "transparency" in shown.info else "RGB"
            )
            if max(shown.size) < WIDTH:  # as it is, and not blurred by the browser
                factor = -(-WIDTH // max(shown.size))
                size = (shown.width * factor, shown.height * factor)
                shown = shown.resize(size, Image.Resampling.NEAREST)
            shown.thumbnail((THUMBNAIL, THUMBNAIL))
            stream = io.BytesIO()
            shown.save(stream, "PNG" if shown.mode == "RGBA" or max(image.size) < WIDTH else "JPEG")
            return stream.getvalue()
    except (OSError, ValueError, SyntaxError, MemoryError, Image.DecompressionBombError):
        return None


def _short(name: str) -> str:
    """A file name that fits below its image; names differ at their ends."""
    return name if len(name) <= NAME else f"{name[: NAME // 3]}…{name[1 + NAME // 3 - NAME :]}"


def title(prediction: Prediction) -> str:
    """The class with its confidence, or each label with its own."""
    if prediction.labels is None:
        return f"{prediction.label}: {prediction.confidence:.1%}"
    return ", ".join(f"{c.label}: {c.confidence:.1%}" for c in prediction.labels) or "no label"
