"""How the studio draws: colors, legends and axes, without a browser and without Keras."""

import itertools
import math

import pytest

from helpers.paths import SAVED_MODELS

pytest.importorskip("streamlit", reason="needs the extra `studio`")

from vit_keras.studio.components import charts, palette, prediction_detail, run_details
from vit_keras.studio.pages import data


def contrast(one, other):
    """Of WCAG 2: 1 of equal colors, 21 of black and white."""

    def luminance(color):
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        weighted = zip((0.2126, 0.7152, 0.0722), linear, strict=True)
        return 0.05 + sum(weight * part for weight, part in weighted)

    darker, lighter = sorted(map(luminance, (one, other)))
    return lighter / darker


def test_colors_are_seen_on_light_and_dark_pages_and_told_apart():
    for color in palette.PALETTE:
        assert min(contrast(color, "#ffffff"), contrast(color, "#191918")) > 3, color
    for one, other in itertools.combinations(palette.PALETTE, 2):
        parts = [[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in (one, other)]
        assert math.dist(*parts) > 50, (one, other)
    light, dark = map(prediction_detail._bars_spec, (False, True))
    for spec, page in ((light, "#ffffff"), (dark, "#191918")):
        assert contrast(spec["layer"][1]["mark"]["color"], page) > 7
    model = SAVED_MODELS / "digits" / "best.keras"
    assert run_details.DARK in run_details.layer_diagram(model, has_dark_page=True)


def test_a_role_has_one_color_and_a_legend_whole_names():
    names = ["finetune_photos-20261129-222015 <b>", "finetune_photos-20261129-220940"]
    one = charts.curve_spec(names[:1], ["training", "validation"], False, False, True)
    look = one["layer"][0]["encoding"]
    of_role = dict(zip(*look["color"]["scale"].values(), strict=True))
    assert of_role == {role: palette.ROLES[role] for role in ("training", "validation")}
    assert data.COLOURS["validation"] == palette.ROLES["validation"]
    assert look["color"]["legend"]["columns"] == 1
    assert look["y"]["axis"] == {"format": "~%"}
    several = charts.curve_spec(names, ["training", "validation"], False, False)
    assert several["layer"][0]["encoding"]["color"]["legend"] is None
    legend = palette.names_legend(names)
    assert "finetune_photos-20261129-222015 &lt;b&gt;" in legend
    assert all(color in legend for color in palette.PALETTE[:2])


@pytest.mark.parametrize("most", [0, 1, 7, 8, 25, 26, 99, 1234, 50_000])
def test_an_axis_of_images_has_few_whole_ticks(most):
    ticks = charts.whole_ticks(most)
    assert 1 <= len(ticks) <= 8
    assert ticks[0] == 0
    assert most / 2 - 1 < ticks[-1] <= most
    assert charts.whole_ticks(25) == [0, 5, 10, 15, 20, 25]
    axis = data._bars_spec({"train": [18, most], "test": [7, 0]})["encoding"]["x"]["axis"]
    assert axis["values"] == charts.whole_ticks(max(25, most))
