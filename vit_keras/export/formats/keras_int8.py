"""A Keras file with int8 weights in the encoder, by Keras' own quantisation."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from vit_keras.export.formats import Reader


def write(model: keras.Model, folder: Path, class_names: list[str]) -> None:
    """`model.keras`, which `keras.models.load_model` opens after `import vit_keras`.

    Quantises every dense layer except the head, whose few weights decide between classes.
    """
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    copy.quantize("int8", filters=_is_dense)
    for part in _flat(copy):
        # When the file is opened, a layer of ours builds its inner layers again from its dtype
        # policy alone, so the policy has to name the quantised ones.
        inner = list(part._flatten_layers(include_self=False))
        policies = {layer.path: layer.dtype_policy for layer in inner if layer.quantization_mode}
        if policies:
            default = part.dtype_policy.name
            part.dtype_policy = keras.dtype_policies.DTypePolicyMap(default, policies)
    copy.save(folder / "model.keras")


def _is_dense(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Dense) and layer.name != "head"


def _flat(model: keras.Model) -> list[Any]:
    """The layers of a model and of the models inside it."""
    parts = [_flat(part) if isinstance(part, keras.Model) else [part] for part in model.layers]
    return [part for some in parts for part in some]


def reader(folder: Path) -> Reader:
    model = keras.models.load_model(folder / "model.keras", compile=False)

    def predict(images: Any) -> Any:
        return np.asarray(model.predict_on_batch(images))

    return predict
