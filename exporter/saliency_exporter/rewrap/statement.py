"""What a manifest says of a rewrapped model: what was changed, and how near its maps are."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from saliency_engine.models.graph.inspect import read_graph
from saliency_engine.numerics.fidelity import PARITY, Fidelity
from saliency_exporter.rewrap.convention import Convention, MapForm
from saliency_exporter.rewrap.graph import INPUT, OPSET, OUTPUT
from saliency_exporter.rewrap.upstream import Upstream


def list_changes(upstream: Upstream, convention: Convention, form: MapForm, shape: list[int]) -> list[str]:
    """What is not as upstream made it, in sentences: Apache-2.0 §4 (b). ``shape`` is the input's, ``[N, 3, H, W]``."""
    changes = [
        f"Only the output {upstream.output} was kept"
        + (
            f"; {', '.join(upstream.dropped)} and the nodes that only they need were dropped."
            if upstream.dropped
            else "."
        )
    ]
    if upstream.opset != OPSET:
        changes.append(f"The graph was converted from ONNX opset {upstream.opset} to {OPSET}.")
    changes.append(
        f"The input {upstream.frames.name} and the output {upstream.output} were named {INPUT} and {OUTPUT}."
    )
    changes.append(f"The input's shape was fixed to {' x '.join(map(str, shape))}.")
    before = [node.op_type for node in convention.make_input_nodes("", "") if node.op_type != "Constant"]
    after = [node.op_type for node in form.make_output_nodes("", "") if node.op_type != "Constant"]
    if before:
        changes.append(
            f"Nodes were added in front, from ImageNet-normalised R'G'B' in NCHW to {convention.describe()}: "
            f"{', '.join(before)}."
        )
    if after:
        changes.append(f"Nodes were added behind, to one float32 map in [0, 1]: {', '.join(after)}.")
    changes.append("Metadata with the model's name and origin were added.")
    return changes


def describe_export(
    shape: list[int], upstream: Upstream, convention: Convention, content: bytes, changes: list[str]
) -> dict[str, Any]:
    """The manifest's ``export``: the model ``content``, and what was done to make it."""
    batch, _, height, width = shape
    return {
        "opset": OPSET,
        "batch": batch,
        "height": height,
        "width": width,
        "input_name": INPUT,
        "output_name": OUTPUT,
        "selected_upstream_output": upstream.output,
        "metadata_written": True,
        "upstream_takes": convention.describe(),
        "changes": changes,
        "operators": sorted(read_graph(content).operators),
    }


def describe_parity(figures: Fidelity, expected: NDArray[np.float32]) -> dict[str, Any]:
    """The manifest's ``parity``; ``expected`` are the upstream file's maps ``[n, H, W]``."""
    return {
        "frames": figures.frames,
        "max_abs_difference": figures.max_abs,
        "mean_abs_difference": figures.mae,
        "limit": PARITY.max_abs,
        "mean_map_deviation": measure_deviation(expected),
        "onnxruntime": onnxruntime.__version__,
    }


def measure_deviation(maps: NDArray[np.float32]) -> float:
    """Standard deviation within a map, on average: near 0 the maps are flat, and equal maps prove little."""
    return float(maps.std(axis=(1, 2)).mean())
