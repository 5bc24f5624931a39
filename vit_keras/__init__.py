"""Vision Transformers in Keras 3: train, fine-tune and understand them.

Names are loaded on first use, so that checking a configuration does not wait for Keras.
"""

import importlib
from typing import TYPE_CHECKING, Any

import wrapt

__version__ = "0.2.0"

if TYPE_CHECKING:
    from vit_keras.augment.preview import augmentation_sheet
    from vit_keras.data.readers.in_memory import build_splits
    from vit_keras.data.splits import load_splits
    from vit_keras.errors import SettingError
    from vit_keras.evaluation.evaluate import evaluate_run
    from vit_keras.explain.explanation import explain_run
    from vit_keras.export.exporter import export_run
    from vit_keras.model.architecture import VARIANTS
    from vit_keras.model.vit import build_vit, describe, features
    from vit_keras.predict.predictor import Predictor
    from vit_keras.pretrained.load import load_pretrained
    from vit_keras.pretrained.save import save_pretrained
    from vit_keras.runs.saved_run import open_run
    from vit_keras.training.finetune import finetune_model
    from vit_keras.training.preflight import load_config
    from vit_keras.training.train import train_model

_HOMES = {
    "Predictor": "predict.predictor",
    "SettingError": "errors",
    "VARIANTS": "model.architecture",
    "augmentation_sheet": "augment.preview",
    "build_splits": "data.readers.in_memory",
    "build_vit": "model.vit",
    "describe": "model.vit",
    "evaluate_run": "evaluation.evaluate",
    "explain_run": "explain.explanation",
    "export_run": "export.exporter",
    "features": "model.vit",
    "finetune_model": "training.finetune",
    "load_config": "training.preflight",
    "load_pretrained": "pretrained.load",
    "load_splits": "data.splits",
    "open_run": "runs.saved_run",
    "save_pretrained": "pretrained.save",
    "train_model": "training.train",
}

_SUBMODULES = ("explain",)  # called by their name: `vit_keras.explain.rollout`

__all__ = [
    "VARIANTS",
    "Predictor",
    "SettingError",
    "augmentation_sheet",
    "build_splits",
    "build_vit",
    "describe",
    "evaluate_run",
    "explain_run",
    "export_run",
    "features",
    "finetune_model",
    "load_config",
    "load_pretrained",
    "load_splits",
    "open_run",
    "save_pretrained",
    "train_model",
]


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return importlib.import_module(f"vit_keras.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'vit_keras' has no attribute '{name}'")
    try:
        home = importlib.import_module(f"vit_keras.{_HOMES[name]}")
    except AttributeError as error:  # would read as if the name did not exist
        raise ImportError(f"vit_keras.{_HOMES[name]} cannot be imported: {error}") from error
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_SUBMODULES])


@wrapt.when_imported("keras")
def _register_layers(_: Any) -> None:
    """Make `keras.models.load_model` know our layers, whichever of the two is imported first."""
    for home in (
        "model.tokens",
        "model.patch_embedding",
        "model.position_embedding",
        "model.encoder_block",
        "model.ensemble",
        "model.pooling",
        "pretrained.saved_model_layer",
    ):
        importlib.import_module(f"vit_keras.{home}")
