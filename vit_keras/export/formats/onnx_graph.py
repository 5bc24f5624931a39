"""Simplify tf2onnx's graph of a ViT: one node per dense layer and LayerNormalization, exact GELU.

`onnxruntime.transformers.optimizer` (`model_type="vit"`, ONNX Runtime 1.31) was tried instead and
not taken. It looks for the graph that PyTorch exports: in tf2onnx's it fuses only the tanh GELUs
(926 -> 842 nodes), and does not repair the exact ones. After this module it makes 287 nodes of 394,
by 24 SkipLayerNormalization and 12 BiasGelu but no Attention; these are in `com.microsoft`, which
other engines lack, and the file runs at 0.89 of the speed (ViT-Ti/16, batch 4, in turns), because
ONNX Runtime fuses what suits the machine when it opens a file. It also needs sympy.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import numpy as np


def _erfc(graph: Any, node: Any, name: str, args: Any) -> None:
    """Write erfc(x), which TensorFlow's exact GELU uses and ONNX lacks, as 1 - erf(x).

    Without it tf2onnx writes a file that ONNX Runtime refuses.
    """
    one = graph.make_const(f"{name}/one", np.float32(1)).output[0]
    shapes, types = node.output_shapes, node.output_dtypes
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", [node.input[0]])
    graph.make_node(
        "Sub", [one, erf.output[0]], outputs=node.output, shapes=shapes, dtypes=types, name=name
    )


# As tf2onnx takes them: operation -> (handler, its further arguments).
HANDLERS: dict[str, tuple[Any, list[Any]]] = {"Erfc": (_erfc, [])}


def simplify(made: Any, models: Iterable[str]) -> None:
    """Simplify an `onnx.ModelProto` in place: the same function, fewer nodes, shorter names.

    Args:
        made: the graph; its weights are still inputs without values, see `fill`.
        models: names of the Keras models that it was made of, which prefix the name of every node.
    """
    graph = made.graph
    _rewrite_gelus(graph)
    fused = 1
    while fused:  # each fusion lets more shapes be inferred
        shapes = _shapes(made)
        fused = _fuse_dense(graph, shapes) + _fuse_layer_norms(graph, shapes)
        _remove_unread(graph)
    _shorten_names(graph, models)


def fill(graph: Any, weights: dict[str, tuple[str, np.ndarray]]) -> None:
    """Turn inputs into initializers, in place.

    Args:
        graph: the graph.
        weights: name of the input -> (its new name, its value).
    """
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
    """The inferred shape of each value; a name stands for a dimension known only at run time."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(made).graph
    values = (*graph.input, *graph.value_info)
    sides = {value.name: value.type.tensor_type.shape.dim for value in values}
    return {name: [side.dim_value or side.dim_param for side in dim] for name, dim in sides.items()}


def _fuse_dense(graph: Any, shapes: dict[str, list[int | str]]) -> int:
    """Reshape, MatMul with a weight, Reshape -> MatMul of (B, N, D); returns how many were fused.

    TensorFlow multiplies (BN, D) and computes both shapes at run time, which hides the layer from
    engines and what they could fuse with it.
    """
    makers, readers = _links(graph)
    weights = {value.name for value in graph.input}
    fixed = {constant.name for constant in graph.initializer}
    fused = 0
    for node in graph.node:
        before = makers.get(node.input[0]) if node.op_type == "MatMul" else None
        if before is None or before.op_type != "Reshape" or node.input[1] not in weights:
            continue
        shape = shapes.get(before.input[0], [])
        if len(shape) != 3 or shape[-1:] != shapes[node.input[1]][:1]:
            # Rows and columns of a stem, or one head, (B, 1, N, D), were flattened; or the shape is
            # not known yet.
            continue
        after = readers[node.output[0]]
        if [reader.op_type for reader in after] != ["Reshape"]:
            continue  # (B, 1, D) became (B, D) for good, as before a head
        node.input[0] = before.input[0]
        fused += 1
        # A computed shape restores the input's: the Reshape goes. A fixed one splits heads, of
        # (B, N, D) just as of (BN, D): it stays.
        if after[0].input[1] not in fixed:
            node.output[0], after[0].output[0] = after[0].output[0], node.output[0]
    return fused


def _fuse_layer_norms(graph: Any, shapes: dict[str, list[int | str]]) -> int:
    """Thirteen nodes that normalise (B, N, D) over D -> LayerNormalization; returns how many."""
    import onnx

    makers, readers = _links(graph)
    constants = {constant.name: constant for constant in graph.initializer}
    fused = 0
    for inverse in graph.node:
        path = _back(makers, inverse, "Reciprocal Sqrt Add GlobalAveragePool Mul Sub")
        if path is None or len(shapes.get(path[-1].input[0], ())) != 3:
            continue
        x, epsilon = path[-1].input[0], constants.get(path[2].input[1])
        scale = readers[inverse.output[0]][0]  # gamma / deviation
        last = next(  # gamma / deviation * x + (beta - gamma / deviation * mean)
            (readers[node.output[0]][0] for node in readers[scale.output[0]] if x in node.input),
            None,
        )
        shift = last and makers.get(last.input[1])
        if epsilon is None or last is None or shift is None or shift.op_type != "Add":
            continue
        gamma, beta = (_flat(makers, name) for name in (scale.input[1], shift.input[1]))
        last.op_type = "LayerNormalization"
        last.input[:] = [x, gamma, beta]
        size = float(onnx.numpy_helper.to_array(epsilon))
        settings = {"axis": -1, "epsilon": size}
        last.attribute.extend(onnx.helper.make_attribute(*item) for item in settings.items())
        fused += 1
    return fused


def _rewrite_gelus(graph: Any) -> None:
    """1 - erf(-x / √2) -> erf(x / √2) + 1: equal, and the form in which engines detect a GELU."""
    import onnx

    makers, readers = _links(graph)
    root = onnx.numpy_helper.from_array(np.asarray(2**0.5, "float32"), "sqrt_2")
    graph.initializer.append(root)
    for erf in graph.node:
        path = _back(makers, erf, "Erf Mul Neg")
        after = readers[erf.output[0]]
        if path is not None and [reader.op_type for reader in after] == ["Sub"]:
            path[1].op_type = "Div"
            path[1].input[:] = [path[2].input[0], root.name]
            after[0].op_type = "Add"
            after[0].input[:] = after[0].input[::-1]


def _links(graph: Any) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Value -> the node that computes it; value -> the nodes that read it."""
    makers = {name: node for node in graph.node for name in node.output}
    readers = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    return makers, readers


def _back(makers: dict[str, Any], node: Any, kinds: str) -> list[Any] | None:
    """The chain of nodes back along first inputs, if it has these types; None otherwise."""
    path = [node]
    for kind in kinds.split():
        if path[-1] is None or path[-1].op_type != kind:
            return None
        path.append(makers.get(path[-1].input[0]))
    return path[:-1]


def _flat(makers: dict[str, Any], name: str) -> str:
    """The weight (D,) from which a Reshape makes (1, 1, D)."""
    maker = makers.get(name)
    return maker.input[0] if maker is not None and maker.op_type == "Reshape" else name


def _remove_unread(graph: Any) -> None:
    """Remove nodes and weights that nothing reads, and shape annotations, which engines infer."""
    read = {value.name for value in graph.output}
    for index in reversed(range(len(graph.node))):  # in topological order: readers come last
        if read.intersection(graph.node[index].output):
            read.update(graph.node[index].input)
        else:
            del graph.node[index]
    for index in reversed(range(len(graph.initializer))):
        if graph.initializer[index].name not in read:
            del graph.initializer[index]
    del graph.value_info[:]


def _shorten_names(graph: Any, models: Iterable[str]) -> None:
    """Remove the models' names from every name: they are a tenth of a small quantised file."""
    front = re.compile(rf"(?:(?:{'|'.join(map(re.escape, models))})(?:_\d+)?/)+")
    short = {value.name: value.name for value in (*graph.input, *graph.output)}
    taken = set(short)

    def shortened(name: str) -> str:
        if name and name not in short:
            end = front.sub("", name, count=1) if front.match(name) else name
            short[name] = name if end in taken else end
            taken.add(short[name])
        return short.get(name, name)

    for constant in graph.initializer:
        constant.name = shortened(constant.name)
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [shortened(name) for name in names]
        node.name = node.output[0]
