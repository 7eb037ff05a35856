"""A graph in 8-bit integers: static quantization, QDQ, calibrated on frames of the user's own clips.

The plainest settings are tried first. When they miss the gate, layers go back to float: first the first and the last,
then as many of the most sensitive blocks as it takes. The manifest says which settings passed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import onnx
import onnxruntime
from onnx import ModelProto, version_converter
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.quant_utils import add_pre_process_metadata

from saliency_engine.errors import InputError, ModelError
from saliency_engine.numerics.fidelity import EIGHT_BITS, Fidelity, compare
from saliency_exporter.commands import Lines, format_time
from saliency_exporter.graphs import Parent, compute_maps, open_parent, open_session, split_into_calls
from saliency_exporter.sample_frames import Frames, decode_clips
from saliency_exporter.variants.blocks import Block, choose_costly, cut
from saliency_exporter.variants.costs import measure_costs
from saliency_exporter.variants.variant import Variant, list_files, publish, tag

_ALLOWED = 1 - 0.998
"""The 1 − r that the gate allows."""
_BUDGETS = (0.9 * _ALLOWED, 0.7 * _ALLOWED, 0.5 * _ALLOWED, 0.3 * _ALLOWED)
"""What blocks that stay in int8 may cost together, in turn; costs add up only roughly."""
_HOPELESS = 10 * _ALLOWED
_PER_CHANNEL = 13
"""The opset from which on quantization has an axis."""
_PROBES = 4  # frames that a block's cost is measured on: the 252 blocks of U-2-Net take minutes as it is


def int8(path: Path, output: Path, calibration: Sequence[str], lines: Lines) -> dict[str, Any]:
    """Write the model ``path`` in int8; returns the manifest.

    ``calibration`` names clips or tables. Every other of their frames calibrates; those between are held out, and the
    gate is measured on them alone. ``lines`` says what each setting reached, and of a slow model how far it is. Raises
    ``ModelError`` when no settings pass the gate, and ``InputError`` when there is no frame to hold out.
    """
    files = list_files(path, output, "--calibration", calibration)
    parent = open_parent(path)
    frames = decode_clips(calibration, *parent.size, files)
    learn, held_out = frames[0::2], frames[1::2]
    if not len(held_out):
        raise InputError(
            f"{', '.join(calibration)}: only one frame can be decoded, and int8 needs at least two: one to calibrate "
            "on and one to measure on"
        )
    tried = _try_settings(parent, learn, held_out, lines)
    best = max(tried, key=lambda attempt: (not EIGHT_BITS.misses(attempt.figures), attempt.figures.correlation))
    settings = {
        "settings": best.settings,
        "format": "QDQ, static, weights int8 per channel, activations uint8 by minimum and maximum",
        "calibration_frames": len(learn),
        "tried": [{"settings": attempt.settings, **asdict(attempt.figures)} for attempt in tried],
        "onnxruntime": onnxruntime.__version__,
    }
    return publish(parent, Variant("int8", best.content, best.figures, settings), EIGHT_BITS, output, calibration)


class _Attempt(NamedTuple):
    """One setting that was tried."""

    settings: str
    figures: Fidelity
    content: bytes
    seconds: float


def _try_settings(parent: Parent, learn: Frames, held_out: Frames, lines: Lines) -> list[_Attempt]:
    """Settings up to the first one that passes the gate, or all of them."""

    def compute(data: bytes, whose: str) -> Frames:
        return compute_maps(data, held_out, lambda done: lines.show_part("computed", done, len(held_out), whose))

    reference = compute(parent.data, "of the model's own maps")
    tried: list[_Attempt] = []
    with TemporaryDirectory(prefix="saliency-int8-") as folder:
        prepared = _prepare(parent, Path(folder))
        for settings, in_float in _choose_settings(prepared, learn, tried, lines):
            started = time.monotonic()
            content = tag(parent, "int8", _quantize(prepared, learn, in_float, Path(folder), lines))
            figures = compare(reference, compute(content, "maps in int8"))
            tried.append(_Attempt(settings, figures, content, time.monotonic() - started))
            missed = EIGHT_BITS.misses(figures)
            lines.say(f"{settings}: {'; '.join(missed) or 'passes the gate'}")
            if not missed:
                break
    return tried


def _choose_settings(
    model: ModelProto, learn: Frames, tried: list[_Attempt], lines: Lines
) -> Iterator[tuple[str, list[Block]]]:
    """Settings in words with the blocks to leave in float, in the order of trying.

    Looks at what ``tried`` has reached so far.
    """
    yield "every layer in int8", []
    blocks = cut(model, (int(learn.shape[2]), int(learn.shape[3])))
    convolutions = [block for block in blocks if block.nodes[0].op_type.startswith("Conv")]
    ends = [convolutions[0], convolutions[-1]] if len(convolutions) > 2 else []
    if not ends:
        return
    yield "first and last convolution in float", ends
    if 1 - tried[-1].figures.correlation > _HOPELESS:
        return  # not even half of the layers in float could mend that
    lines.say(
        f"next: what int8 costs in each of {len(blocks)} blocks; then at most {len(_BUDGETS)} more settings are tried, "
        f"of about {format_time(tried[-1].seconds)} each"
    )
    probes = learn[:: max(1, len(learn) // _PROBES)]
    costs = measure_costs(model, blocks, probes, lambda done, total: lines.show_part("probed", done, total, "blocks"))
    for budget in _BUDGETS:
        in_float = [*ends, *(block for block in choose_costly(blocks, costs, budget) if block not in ends)]
        share = sum(block in convolutions for block in in_float)
        if 2 * share > len(convolutions):
            return  # that would be a float model with some int8 in it
        yield (
            f"first, last and the most sensitive blocks in float ({share} of {len(convolutions)} convolutions)",
            in_float,
        )


def _prepare(parent: Parent, folder: Path) -> ModelProto:
    """The parent with its constants folded and its shapes inferred, every node with a name of its own."""
    folded = folder / "folded.onnx"
    open_session(
        _raise_opset(parent).SerializeToString(),
        graph_optimization_level=onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        optimized_model_filepath=str(folded),
    )
    model = onnx.load(folded)
    standard = [entry for entry in model.opset_import if not entry.domain]
    del model.opset_import[:]
    model.opset_import.extend(standard)
    for at, node in enumerate(model.graph.node):
        node.name = f"{at:03d}_{node.op_type}"
    model = onnx.shape_inference.infer_shapes(model)
    add_pre_process_metadata(model)
    return model


def _raise_opset(parent: Parent) -> ModelProto:
    """The parent's graph, of opset 13 at least, which weights quantized per channel need."""
    model = parent.load()
    if max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")) >= _PER_CHANNEL:
        return model
    try:
        return version_converter.convert_version(model, _PER_CHANNEL)
    except RuntimeError as error:
        raise ModelError(
            f"{parent.path} cannot be quantized: its graph cannot be raised to opset {_PER_CHANNEL}: {error}"
        ) from error


class _CalibrationFrames(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    """Gives calibration frames in the batches that the graph takes."""

    def __init__(self, model: ModelProto, frames: Frames, lines: Lines) -> None:
        value = model.graph.input[0]
        self._name, self._step = value.name, value.type.tensor_type.shape.dim[0].dim_value or 1
        self._frames, self._lines = len(frames), lines
        self._left = enumerate(split_into_calls(frames, self._step))

    def get_next(self) -> dict[str, Frames] | None:
        at, call = next(self._left, (0, None))
        if call is None:
            return None
        self._lines.show_part("calibrated", at * self._step, self._frames, "frames")
        return {self._name: call}


def _quantize(model: ModelProto, learn: Frames, in_float: list[Block], folder: Path, lines: Lines) -> bytes:
    prepared, quantized = folder / "prepared.onnx", folder / "int8.onnx"
    onnx.save(model, prepared)
    try:
        quantize_static(
            prepared,
            quantized,
            _CalibrationFrames(model, learn, lines),
            # What is in float changes no range: the first setting's serve all others. They were five sixths of the
            # time of a setting of U-2-Net.
            calibration_cache_path=folder / "ranges.json",
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=False,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[name for block in in_float for name in block.names],
        )
    except Exception as error:  # the quantizer raises what its helpers raise
        raise ModelError(f"the graph cannot be quantized: {' '.join(str(error).split())[:300]}") from error
    return quantized.read_bytes()
