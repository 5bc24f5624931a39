"""ONNX, for ONNX Runtime and most other inference engines.

`keras.Model.export(format="onnx")` was tried instead (Keras 3.15.1, tf2onnx 1.17) and not taken:

- ONNX Runtime refuses its file of a ViT with the exact GELU: `No Op registered for Erfc`;
- with the tanh GELU the file has 926 nodes against our 430, none of them a LayerNormalization, and
  runs at 0.93 of our speed (ViT-Ti/16, batch 4, in turns); the size and the difference from Keras,
  2e-9, are equal;
- it passes the weights to tf2onnx as constants: ViT-S/16 takes 5.8 GB, 4.8 of them for 88 MB of
  weights, and ViT-B/16 was not finished after 300 s within 24 GB; `write` takes 23 s and 2.8 GB;
- it writes no labels and calls the output `Identity:0`.

For ONNX Runtime's transformer optimizer see `onnx_graph.py`.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import keras

from vit_keras.errors import SettingError
from vit_keras.export.formats import Reader, onnx_graph, tf_saved_model
from vit_keras.export.onnx_session import PROBABILITIES, OnnxSession

ABSTENTION = "abstention"  # key of the thresholds in the metadata
OPSET = 17
LIMIT = 2**31 - 2**26  # bytes of weights; the file is a protobuf, of less than 2 GiB


def write(
    model: keras.Model,
    folder: Path,
    class_names: list[str],
    metadata: dict[str, Any],
    abstention: dict[str, Any] | None = None,
) -> None:
    """`model.onnx` in float32, with labels, thresholds and the other metadata in its own.

    Args:
        model: of `serving_model`, with the OOD score or without.
        folder: to write to.
        class_names: the labels.
        metadata: how an image comes to the input, and more.
        abstention: the thresholds of a decision to abstain; None without an OOD score.

    Raises:
        SettingError: the weights do not fit into one file.
    """
    import onnx

    made = with_metadata(proto(model), class_names, metadata)
    if abstention is not None:
        add_metadata(made, ABSTENTION, abstention)
    onnx.save(made, str(folder / "model.onnx"))


def proto(model: keras.Model) -> Any:
    """The model as an `onnx.ModelProto`: `pixels` in, `probabilities` out, any batch size.

    A second output is `ood_score`, if the model has it.
    """
    import tensorflow as tf
    import tf2onnx

    if 4 * model.count_params() > LIMIT:
        raise SettingError(
            f"format=onnx holds weights up to 2 GB, and {model.name} has "
            f"{4 * model.count_params() / 1e9:.1f}; use format=openvino or tf_saved_model"
        )
    # The weights are inputs at first, and filled in afterwards: as constants they cost tf2onnx some
    # fifty times their size in memory.
    weights = {f"weight_{index}": weight for index, weight in enumerate(model.weights)}
    signature = [
        tf_saved_model.signature(model),
        *(tf.TensorSpec(weight.shape, weight.dtype, name) for name, weight in weights.items()),
    ]
    made, _ = tf2onnx.convert.from_function(
        tf.function(_stateless(model), input_signature=signature),
        signature,
        opset=OPSET,
        custom_op_handlers=onnx_graph.HANDLERS,
    )
    parts = [part.name for part in model.layers if isinstance(part, keras.Model)]
    onnx_graph.simplify(made, [model.name, *parts])
    # Members of an ensemble have weights of the same paths.
    counts = Counter(weight.path for weight in model.weights)
    values = {
        name: (weight.path if counts[weight.path] == 1 else f"{name}/{weight.path}", weight.numpy())
        for name, weight in weights.items()
    }
    onnx_graph.fill(made.graph, values)
    # The probabilities stay the first output, whatever others there are.
    outputs = sorted(made.graph.output, key=lambda value: value.name != PROBABILITIES)
    del made.graph.output[:]
    made.graph.output.extend(outputs)
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    return made


def _stateless(model: keras.Model) -> Any:
    """The model as a function of the pixels and of each weight."""

    def run(pixels: Any, *weights: Any) -> dict[str, Any]:
        passed = {id(weight): value for weight, value in zip(model.weights, weights, strict=True)}
        variables = (model.trainable_variables, model.non_trainable_variables)
        # Seeds are variables but no weights and keep their values.
        values = [[passed.get(id(one), one.value) for one in some] for some in variables]
        outputs = model.stateless_call(*values, pixels, training=False)[0]
        return outputs if isinstance(outputs, dict) else {PROBABILITIES: outputs}

    return run


def with_metadata(made: Any, class_names: list[str], metadata: dict[str, Any]) -> Any:
    """Add the metadata, and the labels as `names`, {index: name}, the key of other tools."""
    for key, value in {"names": dict(enumerate(class_names)), **metadata}.items():
        add_metadata(made, key, value)
    return made


def add_metadata(made: Any, key: str, value: Any) -> None:
    """Add a value, in JSON."""
    entry = made.metadata_props.add()
    entry.key, entry.value = key, json.dumps(value, ensure_ascii=False)


def reader(folder: Path) -> Reader:
    session = OnnxSession(folder / "model.onnx")
    return lambda images: session.outputs(images).probabilities
