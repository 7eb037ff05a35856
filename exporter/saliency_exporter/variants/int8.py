"""A graph in 8-bit integers: static quantization, QDQ, calibrated on frames of the user's own.

The plainest settings are tried first; when they miss the gate, layers go back to float: first the ends, then as
many of the most sensitive blocks as it takes. What is written says which settings passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import onnxruntime
from onnx import ModelProto
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from saliency_engine.errors import InputError, ModelError
from saliency_engine.numerics.fidelity import EIGHT_BITS, Fidelity, compare
from saliency_exporter import sample_frames as made
from saliency_exporter.graphs import Parent, maps_of, open_parent
from saliency_exporter.variants.blocks import Block, costly, costs, cut
from saliency_exporter.variants.variant import Variant, publish, signed

_ROOM = 1 - 0.998
_BUDGETS = (0.9 * _ROOM, 0.7 * _ROOM, 0.5 * _ROOM, 0.3 * _ROOM)  # of 1 − r, for what stays in int8; it adds up roughly
_HOPELESS = 10 * _ROOM
_PROBES = 4  # frames that sensitivity is measured on: 250 blocks of U2NETP take minutes as it is


def int8(path: Path, output: Path, calibration: Sequence[str]) -> dict[str, Any]:
    """Write ``path`` in int8; returns the manifest.

    ``calibration`` names clips or tables. Of each clip's frames every other one calibrates; those between are held
    out, and the gate is measured on them alone. Raises ``ModelError`` when no settings pass the gate, ``InputError``.
    """
    parent = open_parent(path)
    frames = made.from_sources(calibration, *parent.size)
    learn, held_out = frames[0::2], frames[1::2]
    if not len(held_out):
        raise InputError(f"{', '.join(calibration)}: one frame is not enough, some must be held out")
    reference = maps_of(parent.data, held_out)
    tried: list[tuple[str, Fidelity, bytes]] = []
    with TemporaryDirectory(prefix="saliency-int8-") as folder:
        prepared = _prepared(parent, Path(folder))
        for how, in_float in _settings(prepared, learn, tried):
            content = signed(parent, "int8", _quantized(prepared, learn, in_float, Path(folder)))
            tried.append((how, compare(reference, maps_of(content, held_out)), content))
            if not EIGHT_BITS.misses(tried[-1][1]):
                break
    how, figures, content = max(tried, key=lambda attempt: (not EIGHT_BITS.misses(attempt[1]), attempt[1].correlation))
    settings = {
        "settings": how,
        "format": "QDQ, static, weights int8 per channel, activations uint8 by minimum and maximum",
        "calibration_frames": len(learn),
        "tried": [{"settings": name, **asdict(reached)} for name, reached, _ in tried],
        "onnxruntime": onnxruntime.__version__,
    }
    return publish(parent, Variant("int8", content, figures, settings), EIGHT_BITS, output, calibration)


def _settings(
    model: ModelProto, learn: made.Frames, tried: list[tuple[str, Fidelity, bytes]]
) -> Iterator[tuple[str, list[Block]]]:
    """What to leave in float, in the order of trying; looks at what ``tried`` has reached so far."""
    yield "every layer in int8", []
    blocks = cut(model, (int(learn.shape[2]), int(learn.shape[3])))
    convolutions = [block for block in blocks if block.nodes[0].op_type.startswith("Conv")]
    ends = [convolutions[0], convolutions[-1]] if len(convolutions) > 2 else []
    if not ends:
        return
    yield "first and last convolution in float", ends
    if 1 - tried[-1][1].correlation > _HOPELESS:
        return  # no half of the layers could mend that
    prices = costs(model, blocks, learn[:: max(1, len(learn) // _PROBES)])
    for budget in _BUDGETS:
        in_float = [*ends, *(block for block in costly(blocks, prices, budget) if block not in ends)]
        share = sum(block in convolutions for block in in_float)
        if 2 * share > len(convolutions):
            return  # that would be a float model with some int8 in it
        yield (
            f"first, last and the most sensitive blocks in float ({share} of {len(convolutions)} convolutions)",
            in_float,
        )


def _prepared(parent: Parent, folder: Path) -> ModelProto:
    """The parent with its constants folded and its shapes inferred, every node with a name of its own."""
    folded = folder / "folded.onnx"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(parent.data, options, providers=["CPUExecutionProvider"])
    model = onnx.load(folded)
    standard = [entry for entry in model.opset_import if not entry.domain]
    del model.opset_import[:]
    model.opset_import.extend(standard)
    for at, node in enumerate(model.graph.node):
        node.name = f"{at:03d}_{node.op_type}"
    model = onnx.shape_inference.infer_shapes(model)
    add_pre_process_metadata(model)
    return model


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    """Gives calibration frames in the batches that the graph takes."""

    def __init__(self, model: ModelProto, frames: made.Frames) -> None:
        value = model.graph.input[0]
        step = value.type.tensor_type.shape.dim[0].dim_value or 1
        self._left = iter([{value.name: frames[at : at + step]} for at in range(0, len(frames) - step + 1, step)])

    def get_next(self) -> dict[str, made.Frames] | None:
        return next(self._left, None)


def _quantized(model: ModelProto, learn: made.Frames, in_float: list[Block], folder: Path) -> bytes:
    source, target = folder / "prepared.onnx", folder / "int8.onnx"
    onnx.save(model, source)
    try:
        quantize_static(
            source,
            target,
            _Reader(model, learn),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=False,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[name for block in in_float for name in block.names],
        )
    except Exception as error:  # the quantizer raises what its helpers raise
        raise ModelError(f"the graph cannot be quantized: {' '.join(str(error).split())[:300]}") from error
    return target.read_bytes()
