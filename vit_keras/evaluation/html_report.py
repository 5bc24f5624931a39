"""An evaluation as one self-contained page, `report.html`; its text is in `report.html.j2`.

Nothing in it is loaded from elsewhere: images are data URIs, and a content security policy forbids
the rest. Every name is escaped by Jinja2 (autoescape).
"""

import base64
import functools
from pathlib import Path
from typing import Any

import jinja2

from vit_keras.runs.accuracy import FEW_IMAGES, UNEQUAL
from vit_keras.text import counted


def render_report(report: dict[str, Any], folder: Path) -> str:
    """Render the content of `evaluation.json` as HTML, with those PNG files that `folder` has.

    Raises:
        KeyError, TypeError: a value is missing, or of another type.
    """

    def image(name: str) -> str:
        if not (folder / name).is_file():  # of a run from elsewhere, such as a released one
            return ""
        content = base64.b64encode((folder / name).read_bytes()).decode("ascii")
        return f"data:image/png;base64,{content}"

    try:
        return _template().render(report=report, image=image)
    except jinja2.UndefinedError as error:
        raise KeyError(error.message) from None


@functools.cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.globals.update(few_images=FEW_IMAGES, unequal=UNEQUAL)
    environment.filters.update(
        percent=_percent,
        interval=_interval,
        score=_score,
        severity="severity {}".format,
        counted=counted,
    )
    return environment.get_template("report.html.j2")


def _percent(share: float) -> str:
    return f"{share:.2%}"


def _interval(bounds: list[float]) -> str:
    return f"{bounds[0]:.2%} to {bounds[1]:.2%}"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
