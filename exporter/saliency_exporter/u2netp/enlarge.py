"""Maps enlarged by factors instead of to sizes.

torch writes the size that U2NETP enlarges a map to as ``Shape`` → ``Slice`` → ``Concat``, which every library folds
anew, or leaves to the processor. The shapes of an exported graph are fixed, so that the factors are known: a library
divides the sizes to get the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, helper, numpy_helper, shape_inference

from saliency_exporter.graphs import replace_nodes


def enlarge_by_factors(model: ModelProto) -> None:
    """Give each ``Resize`` to a size the factors that it comes to, and drop the nodes that made the size.

    One whose shapes are not known, or whose factors would round to another size, stays as it is.
    """
    known = shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*known.input, *known.value_info, *known.output)
    }
    nodes = []
    for node in model.graph.node:
        to_size = node.op_type == "Resize" and len(node.input) == 4 and not any(node.input[1:3])
        factors = _find_factors(shapes.get(node.input[0]), shapes.get(node.output[0])) if to_size else None
        if factors is not None:
            name = f"{node.output[0]}_factors"
            tensor = numpy_helper.from_array(factors)
            nodes.append(helper.make_node("Constant", [], [name], f"{name}_node", value=tensor))
            node.input[:] = [node.input[0], "", name]
        nodes.append(node)
    replace_nodes(model, nodes)
    _drop_unread_nodes(model.graph)


def _find_factors(taken: Sequence[int] | None, given: Sequence[int] | None) -> NDArray[np.float32] | None:
    if not taken or not given or len(taken) != len(given) or 0 in (*taken, *given):
        return None
    before, after = np.array(taken, np.float32), np.array(given, np.float32)
    factors = after / before
    return factors if (np.floor(before * factors) == after).all() else None


def _drop_unread_nodes(graph: GraphProto) -> None:
    """Drop nodes that nothing reads, the last ones first: they stand in the order in which they run."""
    read = {value.name for value in graph.output}
    for node in reversed(list(graph.node)):
        if read.isdisjoint(node.output):
            graph.node.remove(node)
        else:
            read.update(node.input)
