"""What an ONNX file may hold before ONNX Runtime sees a byte of it.

A graph can name other files to be read (external data), native code to be called (custom domains, ``EPContext``), and
whatever the runtime's parser meets. So the file is walked here without the onnx package, every message of it down to
the tensors, and refused when it holds any of these or anything this version does not know.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from saliency_engine.errors import ModelError
from saliency_engine.models.graph.operators import ADMITTED
from saliency_engine.models.graph.protobuf import Field, WireError, fields

_DOMAINS = ("", "ai.onnx")
_DEEPEST = 100  # protobuf's own limit
# Fields of onnx.proto (IR version 13) by number: those that hold messages to walk …
_CHILDREN: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        **{5: "TensorProto", 10: "TensorProto", 6: "GraphProto", 11: "GraphProto"},
        **{22: "SparseTensorProto", 23: "SparseTensorProto"},
    },
    "TensorProto": {},
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
}
# … and those that can do no harm: numbers, names, types, notes. Fields that are in neither are looked at one by one.
_PLAIN: dict[str, frozenset[int]] = {
    "ModelProto": frozenset({1, 2, 3, 4, 5, 6, 8, 26}),
    "GraphProto": frozenset({2, 10, 11, 12, 13, 14, 16}),
    "NodeProto": frozenset({1, 2, 3, 6, 8, 9, 10}),
    "AttributeProto": frozenset({1, 2, 3, 4, 7, 8, 9, 13, 14, 15, 20, 21}),
    "TensorProto": frozenset({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 16}),
    "SparseTensorProto": frozenset({3}),
}


@dataclass
class Graph:
    """What a graph says about itself.

    ``operators``: every operator type used, those of inner graphs too. ``metadata``: its metadata properties.
    ``input_shape``: dimensions of the first input that is no weight, free ones by name. ``fault``: why no map it gives
    can be trusted, empty where nothing speaks against it.
    """

    operators: set[str] = field(default_factory=set)
    metadata: dict[str, str] = field(default_factory=dict)
    input_shape: tuple[int | str, ...] = ()
    fault: str = ""


def read_graph(data: bytes) -> Graph:
    """Walk an ONNX file.

    Raises ``ModelError`` when it is malformed, or has external data, a custom domain, an ``EPContext`` node,
    functions of its own, a training graph, or a field that this version does not know.
    """
    if data[4:8] == b"ORTM":  # ONNX Runtime would take it for its own format and never parse it as ONNX
        raise ModelError("it is in ONNX Runtime's own format, which cannot be checked; give the ONNX file")
    found, message = Graph(), memoryview(data)
    try:
        _walk("ModelProto", message, found, 0)
        found.input_shape = _input_shape(message)
    except WireError as error:
        raise ModelError(f"it is not an ONNX file, or a damaged one ({error})") from error
    if not found.operators:
        raise ModelError("it is not an ONNX model: it has no operators")
    return found


def check_operators(graph: Graph, allowed: Collection[str]) -> None:
    """Raise ``ModelError`` naming the operators that are neither the contract's nor ``allowed``."""
    refused = sorted(graph.operators.difference(ADMITTED, allowed))
    if refused:
        options = " ".join(f"--allow-op {name}" for name in refused)
        raise ModelError(f"unsupported op {', '.join(refused)}: if you trust it with this model, add {options}")


def _walk(kind: str, message: memoryview, found: Graph, depth: int) -> None:
    if depth > _DEEPEST:
        raise ModelError(f"its graphs are nested more than {_DEEPEST} messages deep")
    children, plain = _CHILDREN[kind], _PLAIN[kind]
    if kind == "TensorProto":
        from saliency_engine.models.graph import weights  # noqa: PLC0415  numpy would make every --help slower

        found.fault = found.fault or weights.fault(message)
    for entry in fields(message):
        if entry.number in children:
            _walk(children[entry.number], entry.message(), found, depth + 1)
        elif entry.number not in plain:
            _judge(kind, entry, found)


def _judge(kind: str, entry: Field, found: Graph) -> None:
    """Fields that decide. A field given twice is judged twice, so it does not matter which one a parser would take."""
    match kind, entry.number:
        case "NodeProto", 4:
            _operator(entry.text(), found)
        case "NodeProto", 7:
            if entry.text() not in _DOMAINS:
                raise ModelError(
                    f"it uses an operator of the custom domain {entry.text()!r}; only ONNX's own operators run here"
                )
        case "TensorProto", 13:
            raise ModelError("it keeps weights in another file (external data); save it as one file")
        case "TensorProto", 14:
            if entry.value != 0:
                raise ModelError("it keeps weights in another file (external data); save it as one file")
        case "ModelProto", 14:
            texts = {part.number: part.text() for part in fields(entry.message())}
            found.metadata[texts.get(1, "")] = texts.get(2, "")
        case "ModelProto", 20:
            raise ModelError("it holds a training graph; export it for inference")
        case "ModelProto", 25:
            raise ModelError("it defines functions of its own; inline them when you export it")
        case _:
            raise ModelError(f"its {kind} has a field {entry.number} that this version does not know")


def _operator(name: str, found: Graph) -> None:
    if name == "EPContext":
        raise ModelError("it holds an EPContext node: code compiled for one machine, which cannot be checked")
    found.operators.add(name)


def _input_shape(model: memoryview) -> tuple[int | str, ...]:
    graphs = list(_within(model, 7))
    names = {part.text() for graph in graphs for tensor in _within(graph, 5) for part in _numbered(tensor, 8)}
    for graph in graphs:
        for value in _within(graph, 11):
            if not any(part.text() in names for part in _numbered(value, 1)):
                # ValueInfoProto.type → TypeProto.tensor_type → Tensor.shape → TensorShapeProto.dim
                shapes = (s for t in _within(value, 2) for tensor in _within(t, 1) for s in _within(tensor, 2))
                return tuple(_dimension(size) for shape in shapes for size in _within(shape, 1))
    return ()


def _dimension(size: memoryview) -> int | str:
    parts = list(fields(size))
    fixed = [part.value for part in parts if part.number == 1 and isinstance(part.value, int)]
    return fixed[-1] if fixed else next((part.text() for part in parts if part.number == 2), "")


def _numbered(message: memoryview, number: int) -> Iterator[Field]:
    return (part for part in fields(message) if part.number == number)


def _within(message: memoryview, number: int) -> Iterator[memoryview]:
    return (part.message() for part in _numbered(message, number))
