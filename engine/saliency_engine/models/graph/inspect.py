"""What an ONNX file may hold before ONNX Runtime sees a byte of it.

A graph can name other files to be read (external data), native code to be called (custom domains, ``EPContext``), and
whatever the runtime's parser meets. So every message of the file is looked at here, down to the tensors, and the file
is refused when it holds any of these, or anything that this version does not know. Nothing but the bytes is read.

Importing onnx takes 0.05 s of a processor's time. A model of 176 MB takes 0.3 s, and as much memory once more until
``read_graph`` returns; a run needs more than that later, when the model is loaded.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import onnx
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from onnx import AttributeProto, ModelProto, TensorProto, TensorShapeProto, defs

from saliency_engine.errors import ModelError
from saliency_engine.models.graph.operators import ADMITTED
from saliency_engine.models.graph.weights import find_fault
from saliency_engine.storage.contents import HEAD_BYTES, Content, identify

_DOMAINS = ("", "ai.onnx")
_CURES = {
    Content.WEB_PAGE: "the download has probably failed; fetch the model again",
    Content.LFS_POINTER: "run git lfs pull",
    Content.ZIP: "PyTorch saves such files; export the model to ONNX, or unpack it if an ONNX file is inside",
    Content.GZIP: "unpack it first",
    Content.ZSTD: "unpack it first",
}
_OTHERWISE = "give the .onnx file"
_MOST_BYTES = 2**31 - 1  # of a message of Protocol Buffers, for every library that reads them
# Fields of onnx.proto (IR version 13): those that hold messages to look into …
_INNER: dict[str, frozenset[str]] = {
    "ModelProto": frozenset({"graph"}),
    "GraphProto": frozenset({"node", "initializer", "sparse_initializer"}),
    "NodeProto": frozenset({"attribute"}),
    "AttributeProto": frozenset({"t", "tensors", "g", "graphs", "sparse_tensor", "sparse_tensors"}),
    "TensorProto": frozenset(),
    "SparseTensorProto": frozenset({"values", "indices"}),
}
# … and those that can do no harm: numbers, names, types, notes. Fields that are in neither are looked at one by one.
_HARMLESS: dict[str, frozenset[str]] = {
    kind: frozenset(names.split())
    for kind, names in {
        "ModelProto": """ir_version producer_name producer_version domain model_version doc_string opset_import
            configuration""",
        "GraphProto": "name doc_string input output value_info quantization_annotation metadata_props",
        "NodeProto": "input output name doc_string overload metadata_props device_configurations",
        "AttributeProto": "name f i s floats ints strings doc_string tp type_protos type ref_attr_name",
        "TensorProto": """dims data_type segment float_data int32_data string_data int64_data name raw_data double_data
            uint64_data doc_string metadata_props""",
        "SparseTensorProto": "dims",
    }.items()
}


@dataclass
class Graph:
    """What a graph says about itself."""

    operators: set[str] = field(default_factory=set)
    """Every operator type used, those of inner graphs too."""
    metadata: dict[str, str] = field(default_factory=dict)
    """The file's metadata properties."""
    input_shape: tuple[int | str, ...] = ()
    """Dimensions of the first input that is no weight. A free one is its name, or empty; exporters also write 0 or -1
    for such a one. No dimensions: the file states none."""
    fault: str = ""
    """Why no map that the graph gives can be trusted; empty where nothing speaks against it."""

    @property
    def has_plain_input(self) -> bool:
        """Whether every free size of the input has a name of its own: then all libraries understand the same."""
        names = [size for size in self.input_shape if isinstance(size, str)]
        return bool(self.input_shape) and all(names) and len(set(names)) == len(names)


def read_graph(data: bytes) -> Graph:
    """Look through an ONNX file.

    Raises ``ModelError`` when it is malformed, or has external data, a custom domain, an ``EPContext`` node,
    functions of its own, a training graph, or a field that this version does not know.
    """
    model, graph = parse_model(data), Graph()
    _look_into(model, graph)
    if not graph.operators:
        raise ModelError("it is not an ONNX model: it has no operators")
    _check_versions(model)
    graph.input_shape = _read_input_shape(model)
    graph.fault = find_fault(model.graph)
    return graph


def parse_model(data: bytes) -> ModelProto:
    """The message that an ONNX file holds: a copy of it in memory. Raises ``ModelError``."""
    if data[4:8] == b"ORTM":  # ONNX Runtime would take it for its own format and never parse it as ONNX
        raise ModelError("it is in ONNX Runtime's own format, which cannot be checked; give the ONNX file")
    if len(data) > _MOST_BYTES:
        raise ModelError(f"it has {len(data)} bytes; an ONNX file has at most {_MOST_BYTES}")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, UnicodeDecodeError) as error:  # the second comes from protobuf in pure Python
        content = identify(data[:HEAD_BYTES])
        if content not in {None, Content.ONNX}:
            raise ModelError(f"it is {content}, not ONNX: {_CURES.get(content, _OTHERWISE)}") from error
        raise ModelError("it is not an ONNX file, or it is damaged, or nested more than 100 messages deep") from error
    return model


def check_operators(graph: Graph, allowed: Collection[str]) -> None:
    """Raise ``ModelError`` naming the operators that are neither the contract's nor ``allowed``."""
    refused = sorted(graph.operators.difference(ADMITTED, allowed))
    if refused:
        options = " ".join(f"--allow-op {name}" for name in refused)
        raise ModelError(f"unsupported op {', '.join(refused)}: if you trust it with this model, add {options}")


def _look_into(message: Message, graph: Graph) -> None:
    """Refuse what may not be in ``message``, and note in ``graph`` what it says."""
    kind = message.DESCRIPTOR.name
    _refuse_unknown_fields(message)
    if isinstance(message, AttributeProto) and message.name == "training_mode" and message.i:
        # ONNX Runtime changes the weights then: every run gives other maps.
        raise ModelError(
            "its BatchNormalization is in training mode; export it for inference (in PyTorch, after eval())"
        )
    for descriptor, value in message.ListFields():
        if descriptor.name in _INNER[kind]:
            for inner in [value] if isinstance(value, Message) else value:
                _look_into(inner, graph)
        elif descriptor.name not in _HARMLESS[kind]:
            _judge_field(kind, descriptor.name, value, graph)


def _refuse_unknown_fields(message: Message) -> None:
    """Refuse what onnx has not parsed, which another parser might; also a known field of another wire type."""
    if len(unknown := UnknownFieldSet(message)):
        kind, name = message.DESCRIPTOR.name, f"{unknown[0].field_number} of wire type {unknown[0].wire_type}"
        raise ModelError(f"its {kind} has a field {name}; onnx {onnx.__version__} knows no such field: upgrade onnx")


def _judge_field(kind: str, name: str, value: Any, graph: Graph) -> None:
    """Fields that decide. Of one that is given twice the last counts, as for every parser of Protocol Buffers."""
    match kind, name:
        case "NodeProto", "op_type":
            if value == "EPContext":
                raise ModelError("it holds an EPContext node: code compiled for one machine, which cannot be checked")
            graph.operators.add(check_text(name, value))
        case "NodeProto", "domain":
            if value not in _DOMAINS:
                raise ModelError(
                    f"it uses an operator of the custom domain {value!r}; only ONNX's own operators run here"
                )
        case "TensorProto", "data_location" if value == TensorProto.DEFAULT:
            pass
        case "TensorProto", "data_location" | "external_data":
            raise ModelError("it keeps weights in another file (external data); save it as one file")
        case "ModelProto", "metadata_props":
            graph.metadata |= {check_text(name, text.key): check_text(name, text.value) for text in value}
        case "ModelProto", "training_info":
            raise ModelError("it holds a training graph; export it for inference")
        case "ModelProto", "functions":
            raise ModelError("it defines functions of its own; inline them when you export it")
        case _:
            raise ModelError(f"its {kind} has a field {name}, which cannot be checked yet: upgrade saliency-batch")


def _check_versions(model: ModelProto) -> None:
    """Refuse what is newer than onnx: OpenVINO would take tomorrow's operators for today's of the same name."""
    sets = [entry.version for entry in model.opset_import if entry.domain in _DOMAINS]  # others have no operators here
    checks = [("operator set", version, defs.onnx_opset_version()) for version in sets]
    for name, version, newest in [("IR version", model.ir_version, int(onnx.IR_VERSION)), *checks]:
        if version > newest:
            raise ModelError(
                f"it needs the {name} {version}, and onnx {onnx.__version__} knows none newer than {newest}: upgrade "
                "onnx, or export the model for an older one"
            )


def check_text(name: str, value: Any) -> str:
    """``value``, where it is text; protobuf gives bytes for what is not UTF-8."""
    if not isinstance(value, str):
        raise ModelError(f"it is damaged: its {name} {value!r} is not text in UTF-8")
    return value


def _read_input_shape(model: ModelProto) -> tuple[int | str, ...]:
    weights = {check_text("weight's name", tensor.name) for tensor in model.graph.initializer}
    for value in model.graph.input:
        if check_text("input's name", value.name) not in weights:
            shape = value.type.tensor_type.shape
            for message in (value, value.type, value.type.tensor_type, shape, *shape.dim):
                _refuse_unknown_fields(message)
            return tuple(map(_read_dimension, shape.dim))
    return ()


def _read_dimension(size: TensorShapeProto.Dimension) -> int | str:
    return size.dim_value if size.dim_value > 0 else check_text("size's name", size.dim_param)
