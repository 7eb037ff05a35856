"""What the tests of the variants share: what every variant must have, and small models."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto
from tests.exporter.upstream import manifest_of
from tests.small_models import saliency_model

from saliency_engine.models.graph.operators import ADMITTED


def run_model(path: Path, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (maps,) = session.run(None, {session.get_inputs()[0].name: frames})
    return np.asarray(maps)


def check_variant(output: Path, parent: Path, model_id: str) -> dict[str, Any]:
    """What every variant must have; returns its manifest."""
    model, manifest = onnx.load(output), manifest_of(output)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= ADMITTED
    assert {entry.domain for entry in model.opset_import} == {""}
    assert [(len(model.graph.input), len(model.graph.output))] == [(1, 1)]
    ends = model.graph.input[0], model.graph.output[0]
    assert [end.type.tensor_type.elem_type for end in ends] == [TensorProto.FLOAT] * 2
    parent_sha256 = hashlib.sha256(parent.read_bytes()).hexdigest()
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["lusoris.model_id"] == manifest["model_id"] == model_id
    assert metadata["lusoris.parent_sha256"] == manifest["parent"]["sha256"] == parent_sha256
    assert json.loads(metadata["lusoris.variant_figures"]) == manifest["figures"]
    assert manifest["schema"] == "saliency-variant-manifest-v1"
    assert manifest["outputs"]["onnx_sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert manifest["run_provenance"]["inputs"]["parent"]["sha256"] == parent_sha256
    return manifest


def save_model(path: Path, nodes: Sequence[onnx.NodeProto], constants: dict[str, NDArray[Any]]) -> Path:
    """``nodes`` as a graph ``[1, 3, 48, 64]`` → ``[1, 1, 48, 64]``."""
    onnx.save(saliency_model(*nodes, frames=(1, 3, 48, 64), maps=(1, 1, 48, 64), **constants), path)
    return path
