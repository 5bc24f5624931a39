"""What tf2onnx makes of a ViT, mended: the exact GELU, and products that are just products."""

from collections import defaultdict
from typing import Any

import numpy as np


def _erfc(graph: Any, node: Any, name: str, args: Any) -> None:
    """erfc(x) as 1 - erf(x): TensorFlow's exact GELU has the one, ONNX only the other.

    Without it tf2onnx says nothing, and ONNX Runtime refuses the file.
    """
    one = graph.make_const(f"{name}/one", np.float32(1)).output[0]
    shapes, types = node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", [node.input[0]])
    graph.make_node(
        "Sub", [one, erf.output[0]], outputs=node.output, shapes=shapes, dtypes=types, name=name
    )


HANDLERS = {"Erfc": (_erfc, [])}


def simplify(graph: Any) -> None:
    """An `onnx.GraphProto` of the same function, in place: fewer nodes, shorter names."""
    _join_products(graph)
    _drop_unread(graph)
    _shorten_names(graph)
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


def _join_products(graph: Any) -> None:
    """Reshape, MatMul with a weight, Reshape -> MatMul, which takes (B, N, D) as it is.

    TensorFlow multiplies (BN, D) and computes both shapes as it runs; engines then see neither the
    layer nor what they could fuse with it.
    """
    makers = {name: node for node in graph.node for name in node.output}
    readers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    weights = {weight.name for weight in graph.initializer}
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            continue
        before, after = makers.get(node.input[0]), readers[node.output[0]]
        is_flattened = before is not None and before.op_type == "Reshape"
        if is_flattened and [reader.op_type for reader in after] == ["Reshape"]:
            node.input[0] = before.input[0]
            node.output[0], after[0].output[0] = after[0].output[0], node.output[0]


def _drop_unread(graph: Any) -> None:
    """Leave out nodes and weights that nothing reads, and notes on shapes, which engines infer."""
    read = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):  # in order of computation, so readers come first from here
        if read.intersection(node.output):
            kept.append(node)
            read.update(node.input)
    weights = [weight for weight in graph.initializer if weight.name in read]
    for field, values in ((graph.node, kept[::-1]), (graph.initializer, weights)):
        del field[:]
        field.extend(values)
    del graph.value_info[:]


def _shorten_names(graph: Any) -> None:
    """Without the models' names in front of each, which are a tenth of a small quantised file."""
    kept = {value.name for value in (*graph.input, *graph.output)}
    short: dict[str, str] = {name: name for name in kept}

    def shortened(name: str) -> str:
        if name and name not in short:
            end = name.split("/", 2)[-1] if name.startswith("serving") else name
            short[name] = end if end not in short.values() else name
        return short.get(name, name)

    for weight in graph.initializer:
        weight.name = shortened(weight.name)
    for node in graph.node:
        node.name = node.output[0] if node.output[0] in kept else shortened(node.output[0])
        for names in (node.input, node.output):
            names[:] = [shortened(name) for name in names]
