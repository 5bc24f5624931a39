"""Which data a probe is measured on, checked before Keras is imported."""

from collections.abc import Sequence
from pathlib import Path

from vit_keras.config import compose
from vit_keras.config.schema import Config
from vit_keras.data import registry
from vit_keras.errors import SettingError
from vit_keras.evaluation.preflight import evaluation_config
from vit_keras.predict.backbone import find_run
from vit_keras.training import preflight

NEIGHBOURS = 20  # k of kNN, as DINO reports it (Caron et al. 2021)


def probe_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """The settings of the data that the features of a model are measured on.

    Args:
        source: the folder of a run, or a handle as of `load_pretrained`.
        overrides: its data, such as `["data=cifar10", "data.limit=5000"]`; none are the run's own.

    Raises:
        SettingError: the model or the data do not exist, the data have several labels, or none are
            named for a handle.
    """
    saved = find_run(source)
    if saved is None:
        if not overrides:
            raise SettingError(
                f"model={source} is no run, which has data of its own; name them, such as "
                "data=cifar10, or data=folder data.path=..."
            )
        config = compose.with_data(Config(), overrides)
    else:
        config = evaluation_config(saved, overrides)  # whose classes need not be those of the run
        if config.data.path == saved.config.data.path:
            saved.check_data_path()
    if config.data.several_labels:
        raise SettingError(
            "data.several_labels=true has no kNN accuracy, which is of images with one label; name "
            "data of one label each"
        )
    preflight.check_settings(Config(data=config.data))
    registry.image_counts(config.data)
    return config
