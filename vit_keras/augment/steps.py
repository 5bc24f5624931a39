"""What each image of a batch gets, one operation after another.

A policy draws steps; `warp` knows what those that move pixels do, `colour` what the others do.
"""

from typing import Any, NamedTuple

# Operation -> what its strength is.
STRENGTHS = {
    "identity": "nothing",
    "shear_x": "pixels to the left, of a row for each row above it",
    "shear_y": "pixels up, of a column for each column left of it",
    "translate_x": "pixels to the right",
    "translate_y": "pixels down",
    "rotate": "degrees counter-clockwise",
    "brightness": "the factor less one, away from black",
    "contrast": "the factor less one, away from the image's mean grey",
    "colour": "the factor less one, away from grey; -1 is grey itself",
    "sharpness": "the factor less one, away from smooth",
    "posterize": "the bits that stay",
    "solarize": "the level from which on it is inverted; at 0 all is",
    "autocontrast": "nothing",
    "equalize": "nothing",
    "hue": "the part of the colour circle that it is turned by",
    "blur": "the Gaussian's standard deviation in pixels",
}
CODES = {name: code for code, name in enumerate(STRENGTHS)}
MOVES = frozenset({"shear_x", "shear_y", "translate_x", "translate_y", "rotate"})


class Step(NamedTuple):
    """One operation of each image."""

    operation: Any  # (B,) int32 of CODES
    strength: Any  # (B,) float32, see STRENGTHS
    among: frozenset[str]  # the names that can occur
