"""A Keras file with int8 weights in the encoder, by Keras' own quantisation."""

import json
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from vit_keras.export.formats import Reader

METADATA = "metadata.json"


def write(
    model: keras.Model, folder: Path, class_names: list[str], metadata: dict[str, Any]
) -> None:
    """`model.keras`, which `keras.models.load_model` opens after `import vit_keras`.

    Quantises every dense layer except the head, whose few weights decide between classes.
    """
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    copy.quantize("int8", filters=_is_dense)
    copy.save(folder / "model.keras")
    _add_metadata(folder / "model.keras", {**metadata, "labels": class_names})


def _is_dense(layer: Any) -> bool:
    return isinstance(layer, keras.layers.Dense) and layer.name != "head"


def _add_metadata(file: Path, more: dict[str, Any]) -> None:
    """Add to the `metadata.json` that every `.keras` file has, and that Keras does not read."""
    written = file.with_name("without_metadata")
    file.rename(written)
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(file, "w") as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename == METADATA:
                content = json.dumps({**json.loads(content), **more}, ensure_ascii=False).encode()
            target.writestr(entry, content)
    written.unlink()


def reader(folder: Path) -> Reader:
    model = keras.models.load_model(folder / "model.keras", compile=False)

    def predict(images: Any) -> Any:
        return np.asarray(model.predict_on_batch(images))

    return predict
