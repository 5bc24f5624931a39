"""Hydra's launchers, which start the jobs of a sweep on a cluster: the plugins that they are of."""

import importlib.util
import os

from vit_keras.errors import SettingError

# Value of hydra/launcher -> the plugin that it is of.
LAUNCHERS = {
    "ray": "hydra-ray-launcher",
    "ray_aws": "hydra-ray-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
}
MODULES = ("ray.", "submitit.")  # of the exceptions for a job that was lost


def check_launcher(words: list[str]) -> None:
    """Refuse a launcher that is not installed.

    Raises:
        SettingError: with the command that installs it.
    """
    for word in words:
        setting, _, value = word.partition("=")
        if setting != "hydra/launcher" or value not in LAUNCHERS:
            continue
        package = LAUNCHERS[value]
        if importlib.util.find_spec("hydra_plugins." + package.replace("-", "_")) is None:
            raise SettingError(
                f'{word} needs {package}, not installed here: pip install "vit-keras-lab[cluster]"'
            )
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no statistics are sent
