"""The file that upstream ships: looked through before it runs, and run as it is."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto

from saliency_engine.errors import ModelError
from saliency_engine.models.entry import read_model
from saliency_engine.models.graph.inspect import parse_model, read_graph
from saliency_exporter.graphs import read_metadata, run_in_calls
from saliency_exporter.rewrap.graph import find_map, keep_output

_ELEMENTS = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.UINT8: "uint8"}


@dataclass(frozen=True)
class Upstream:
    """A graph that is cut down to the map, and the file that it comes from."""

    path: Path
    data: bytes
    """The whole file, unchanged."""
    model: ModelProto
    """What the map needs of it."""
    dropped: tuple[str, ...]
    """The other outputs."""

    @property
    def sha256(self) -> str:
        """Lower-case hex digest of the file."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def output(self) -> str:
        """The name of the map."""
        name: str = self.model.graph.output[0].name
        return name

    @property
    def frames(self) -> ValueInfoProto:
        """The only input."""
        frames: ValueInfoProto = self.model.graph.input[0]
        return frames

    @property
    def element(self) -> int:
        """The input's element type, one of float32, float16 and uint8."""
        element: int = self.frames.type.tensor_type.elem_type
        return element

    @property
    def opset(self) -> int:
        """The version of ONNX's operators that it was made for."""
        version: int = next(entry.version for entry in self.model.opset_import if entry.domain in ("", "ai.onnx"))
        return version

    def read_size(self, layout: str) -> tuple[int | None, int | None]:
        """(height, width) in pixels; ``None`` where it leaves one free.

        Raises ``ModelError`` where the input is not one of ``layout``.
        """
        kind = self.frames.type.tensor_type
        sizes = [size.dim_value if size.dim_value > 0 else None for size in kind.shape.dim]
        if not kind.HasField("shape"):
            return None, None
        at = 1 if layout == "nchw" else 3
        if len(sizes) != 4 or sizes[at] not in (3, None):
            other, swapped = ("nhwc", 3) if layout == "nchw" else ("nchw", 1)
            cure = f": give --layout {other}" if len(sizes) == 4 and sizes[swapped] == 3 else ""
            raise ModelError(
                f"{self.path} takes frames {[size or '?' for size in sizes]}, which are not {layout.upper()} with "
                f"three channels{cure}"
            )
        height, width = sizes[2:] if layout == "nchw" else sizes[1:3]
        return height, width

    def run(self, fed: NDArray[Any]) -> NDArray[Any]:
        """What the unchanged file gives for ``fed`` as its map, in its own type and layout. Raises ``ModelError``."""
        return run_in_calls(self.data, fed, self.output)


def open_upstream(path: Path, output: str) -> Upstream:
    """Read a file and cut its graph down to the map, ``output`` or the one that is found.

    Raises ``ModelError`` when it is no valid ONNX file, holds what may not run (external data, custom domains and
    others), says that its licence is not Apache-2.0, or its map does not come from one input of pictures alone.
    """
    data = read_model(path)
    try:
        read_graph(data)
        model = parse_model(data)
        onnx.checker.check_model(model)
        names = [value.name for value in model.graph.output]
        keep_output(model, find_map(model.graph, output))
    except onnx.checker.ValidationError as error:
        raise ModelError(f"{path} is not a valid ONNX model: {' '.join(str(error).split())[:300]}") from error
    except ModelError as error:
        raise ModelError(f"{path} cannot be rewrapped: {error}") from error
    _check_stated_licence(path, model)
    weights = {tensor.name for tensor in model.graph.initializer}
    frames = [value for value in model.graph.input if value.name not in weights]
    kinds = [_ELEMENTS.get(value.type.tensor_type.elem_type, "another type") for value in frames]
    if len(frames) != 1 or kinds[0] not in _ELEMENTS.values():
        inputs = ", ".join(f"{value.name} ({kind})" for value, kind in zip(frames, kinds, strict=True)) or "none"
        raise ModelError(
            f"{path} cannot be rewrapped: its map comes from the inputs {inputs}, and must come from one alone that is "
            "float32, float16 or uint8"
        )
    del model.graph.input[:]  # older files have their weights among the inputs
    model.graph.input.append(frames[0])
    kept = model.graph.output[0].name
    return Upstream(path, data, model, tuple(name for name in names if name != kept))


def _check_stated_licence(path: Path, model: ModelProto) -> None:
    """Raise ``ModelError`` where the file's own metadata name a licence that is not Apache-2.0."""
    for key, value in read_metadata(model).items():
        if re.search("licen[cs]e", key, re.IGNORECASE) and not re.search(r"apache\b.*\b2\b", value, re.IGNORECASE):
            raise ModelError(
                f"{path} says that its licence is {value!r} (its metadata, {key}), which is not recognisably "
                "Apache-2.0: what it allows cannot be judged here"
            )
