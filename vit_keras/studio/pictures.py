"""Pictures with words below them; Streamlit's own captions are too pale to be read by everybody."""

from pathlib import Path

import streamlit as st

from vit_keras.studio.plain import plain


def show(picture: bytes | Path, said: str, width: int | None = None) -> None:
    """A picture, so many pixels wide or as wide as there is room."""
    image = str(picture) if isinstance(picture, Path) else picture
    with st.container(width=width or "stretch"):
        st.image(image, width=width or "stretch", alt=said)
        st.markdown(plain(said))
