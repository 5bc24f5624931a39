"""Colors of the charts: our own, as what Streamlit's stand for is exchanged in the dark."""

import html
from collections.abc import Sequence

# Each can be told from the others, and from a light page and a dark one (contrast 3 and more).
PALETTE = (
    *("#3b82c4", "#e0701a", "#2f9e44", "#d6408f", "#8a63d2", "#8f8f00"),
    *("#10a0a0", "#e81040", "#707058", "#e810e8", "#d07070", "#a070a0"),
)
ROLES = dict(zip(("training", "validation", "test"), PALETTE, strict=False))


def names_legend(names: Sequence[str]) -> str:
    """The runs with their colors in HTML, one on each line, and whole."""
    lines = (
        f'<div style="display:flex;gap:.5em;align-items:center"><span style="flex:none;width:1.5em;'
        f'height:3px;background:{color}"></span><span style="overflow-wrap:anywhere">'
        f"{html.escape(name)}</span></div>"
        for name, color in zip(names, PALETTE, strict=False)
    )
    return f'<div style="font-size:.875rem">{"".join(lines)}</div>'
