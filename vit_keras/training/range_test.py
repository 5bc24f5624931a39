"""What a learning-rate range test may be asked, and its files; nothing here imports Keras."""

import math

from vit_keras.errors import SettingError
from vit_keras.validators import Bounds, check_bounds, check_number, check_whole_number

CSV, PNG = "learning_rates.csv", "learning_rates.png"  # a folder with the CSV is such a test
LOWEST, HIGHEST, STEPS = 1e-6, 1.0, 100
FEWEST_STEPS = 10


def check_range(lowest: float, highest: float, steps: int) -> None:
    """Refuse rates that do not rise, and too few steps to see a curve.

    Raises:
        SettingError: naming `lowest`, `highest` or `steps`.
    """
    for name, rate in (("lowest", lowest), ("highest", highest)):
        check_number(name, rate)
        check_bounds(name, rate, Bounds(above=0))
    check_whole_number("steps", steps)
    check_bounds("steps", steps, Bounds(at_least=FEWEST_STEPS))
    if highest <= lowest or math.isclose(highest, lowest):
        raise SettingError(
            f"highest={highest:g} is not above lowest={lowest:g}; use such as "
            f"lowest={LOWEST:g} and highest={HIGHEST:g}"
        )
