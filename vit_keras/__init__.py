"""Vision Transformers in Keras 3: train, fine-tune and understand them.

Names are loaded on first use, so that checking a configuration does not wait for Keras.
"""

import importlib
from typing import TYPE_CHECKING, Any

import wrapt

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vit_keras.augment.sheet import augmentation_sheet
    from vit_keras.cli import load_config
    from vit_keras.errors import SettingError
    from vit_keras.evaluate import evaluate_run
    from vit_keras.explain import explain_run
    from vit_keras.export import export_run
    from vit_keras.finetune import finetune_model
    from vit_keras.given import build_splits
    from vit_keras.predict import Predictor
    from vit_keras.pretrained.hub import load_pretrained
    from vit_keras.pretrained.writers import save_pretrained
    from vit_keras.saved_run import open_run
    from vit_keras.train import train_model
    from vit_keras.variants import VARIANTS
    from vit_keras.vit import build_vit, features

_HOMES = {
    "Predictor": "predict",
    "SettingError": "errors",
    "VARIANTS": "variants",
    "augmentation_sheet": "augment.sheet",
    "build_splits": "given",
    "build_vit": "vit",
    "evaluate_run": "evaluate",
    "explain_run": "explain",
    "export_run": "export",
    "features": "vit",
    "finetune_model": "finetune",
    "load_config": "cli",
    "load_pretrained": "pretrained.hub",
    "open_run": "saved_run",
    "save_pretrained": "pretrained.writers",
    "train_model": "train",
}

_ROOMS = ("explain",)  # whose functions are called by the room's name: `vit_keras.explain.rollout`

__all__ = [
    "VARIANTS",
    "Predictor",
    "SettingError",
    "augmentation_sheet",
    "build_splits",
    "build_vit",
    "evaluate_run",
    "explain_run",
    "export_run",
    "features",
    "finetune_model",
    "load_config",
    "load_pretrained",
    "open_run",
    "save_pretrained",
    "train_model",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"vit_keras.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'vit_keras' has no attribute '{name}'")
    try:
        home = importlib.import_module(f"vit_keras.{_HOMES[name]}")
    except AttributeError as error:  # would read as if the name did not exist
        raise ImportError(f"vit_keras.{_HOMES[name]} cannot be imported: {error}") from error
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_ROOMS])


@wrapt.when_imported("keras")
def _register_layers(_: Any) -> None:
    """Make `keras.models.load_model` know our layers, whichever of the two is imported first."""
    for home in ("tokens", "stem", "layers", "pooling", "pretrained.opaque"):
        importlib.import_module(f"vit_keras.{home}")
