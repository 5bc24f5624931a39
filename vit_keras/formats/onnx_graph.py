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


# Of tf2onnx: operation -> its handler and what that gets besides.
HANDLERS: dict[str, tuple[Any, list[Any]]] = {"Erfc": (_erfc, [])}


def simplify(made: Any) -> None:
    """An `onnx.ModelProto` of the same function, in place: fewer nodes, shorter names.

    Its weights are still inputs, and have no values yet: see `fill`.
    """
    graph = made.graph
    while _join_products(graph, _shapes(made)):  # each that is joined lets more shapes be known
        _drop_unread(graph)
    _drop_unread(graph)
    _shorten_names(graph)


def fill(graph: Any, weights: dict[str, tuple[str, np.ndarray]]) -> None:
    """Turn inputs into weights, in place: name of the input -> its new name and value."""
    import onnx

    read = {name for node in graph.node for name in node.input}
    for index in reversed(range(len(graph.input))):
        if graph.input[index].name in weights:
            del graph.input[index]
    for node in graph.node:
        node.input[:] = [weights[name][0] if name in weights else name for name in node.input]
    for old, (name, value) in weights.items():
        if old in read:
            graph.initializer.append(onnx.numpy_helper.from_array(value, name))


def _shapes(made: Any) -> dict[str, list[int | str]]:
    """The shape of each value that can be told; a name stands for what only a run can tell."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(made).graph
    values = (*graph.input, *graph.value_info)
    sides = {value.name: value.type.tensor_type.shape.dim for value in values}
    return {name: [side.dim_value or side.dim_param for side in dim] for name, dim in sides.items()}


def _join_products(graph: Any, shapes: dict[str, list[int | str]]) -> int:
    """Reshape, MatMul with a weight, Reshape -> MatMul, which takes (B, N, D) as it is; how many.

    TensorFlow multiplies (BN, D) and computes both shapes as it runs; engines then see neither the
    layer nor what they could fuse with it.
    """
    makers = {name: node for node in graph.node for name in node.output}
    readers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    weights = {value.name for value in graph.input}
    fixed = {constant.name for constant in graph.initializer}
    joined = 0
    for node in graph.node:
        before = makers.get(node.input[0]) if node.op_type == "MatMul" else None
        if before is None or before.op_type != "Reshape" or node.input[1] not in weights:
            continue
        if shapes.get(before.input[0], [])[-1:] != shapes[node.input[1]][:1]:
            continue  # more than tokens was flattened, or this cannot be told yet
        node.input[0] = before.input[0]
        joined += 1
        after = readers[node.output[0]]
        # A shape that is computed is the input's again. One that is fixed splits heads, and does
        # that to (B, N, D) as it did to (BN, D).
        if [reader.op_type for reader in after] == ["Reshape"] and after[0].input[1] not in fixed:
            node.output[0], after[0].output[0] = after[0].output[0], node.output[0]
    return joined


def _drop_unread(graph: Any) -> None:
    """Leave out nodes and weights that nothing reads, and notes on shapes, which engines infer."""
    read = {value.name for value in graph.output}
    for index in reversed(range(len(graph.node))):  # readers come behind what they read
        if read.intersection(graph.node[index].output):
            read.update(graph.node[index].input)
        else:
            del graph.node[index]
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in read:
            del graph.initializer[index]
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
