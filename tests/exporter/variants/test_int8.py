"""``int8``: calibrated on clips, with the layers in float that the gate asks for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from tests.exporter.upstream import saliency_export
from tests.exporter.variants.checks import check_variant, run_model
from tests.rows import write_rows
from tests.small_models import enlarging_with_empty

from saliency_exporter import commands
from saliency_exporter.sample_frames import decode_clips


def test_int8(exported: Path, tmp_path: Path, short_clips: list[Path]) -> None:
    """Calibrated on the clips of a table, one row of which names no clip."""
    table, output = tmp_path / "clips.jsonl", tmp_path / "u2netp_mirror_v1_int8.onnx"
    rows = [{"src": str(path)} for path in (*short_clips, short_clips[0], tmp_path / "absent.mp4")]
    write_rows(table, rows)
    result = saliency_export("int8", exported, "--output", output, "--calibration", table)
    assert result.exit_code == 0, result.stderr
    manifest = check_variant(output, exported, "u2netp_mirror_v1_int8")
    assert (manifest["variant"]["calibration_frames"], manifest["figures"]["frames"]) == (12, 12)
    assert manifest["figures"]["correlation"] >= 0.998
    assert manifest["figures"]["delta_mean"] <= 0.02
    assert manifest["variant"]["tried"][-1]["settings"] == manifest["variant"]["settings"]
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(output).graph.node}
    frames = decode_clips([str(short_clips[1])], 48, 64)[1::2]
    pairs = [(run_model(exported, frame[None]), run_model(output, frame[None])) for frame in frames]
    assert min(np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs) > 0.99


@pytest.mark.parametrize("opset", [11, 12])
def test_a_graph_of_an_older_opset_is_raised_to_one_that_can_be_quantized(
    tmp_path: Path, short_clips: list[Path], opset: int
) -> None:
    parent, output = tmp_path / "old.onnx", tmp_path / "old_int8.onnx"
    weights = np.random.default_rng(1).normal(0, 0.3, (1, 3, 3, 3)).astype(np.float32)
    onnx.save(enlarging_with_empty(opset, weights), parent)
    result = saliency_export("int8", parent, "--output", output, "--calibration", short_clips[0])
    assert result.exit_code == 0, result.stderr
    check_variant(output, parent, "old_int8")
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(output).graph.node}


def test_int8_of_a_student_leaves_sensitive_layers_in_float(
    models: Path, tmp_path: Path, short_clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "_EVERY_SECONDS", -1.0)
    parent, output = models / "saliency_student_v2.onnx", tmp_path / "saliency_student_v2_int8.onnx"
    calibration = [word for path in short_clips for word in ("--calibration", path)]
    result = saliency_export("int8", parent, "--output", output, *calibration)
    assert result.exit_code == 0, result.stderr
    manifest = check_variant(output, parent, "saliency_student_v2_int8")
    tried = manifest["variant"]["tried"]
    assert tried[0]["settings"] == "every layer in int8"
    assert all(attempt["correlation"] < 0.998 for attempt in tried[:-1])
    assert "most sensitive blocks in float" in manifest["variant"]["settings"]
    kinds = [tensor.data_type for tensor in onnx.load(output).graph.initializer if len(tensor.dims) == 4]
    assert kinds.count(TensorProto.INT8) * 2 >= len(kinds) > kinds.count(TensorProto.INT8)
    # Of a slow model one sees how far it is; calibrated once for all settings, which are told with what they miss.
    lines = result.stderr.splitlines()
    assert sum(line.startswith("calibrated: 11 of 12 frames, about ") for line in lines) == 1
    assert sum(line.startswith("probed: 22 of 23 blocks, about ") for line in lines) == 1
    judged = [line for line in lines if line.startswith(tuple(attempt["settings"] for attempt in tried))]
    assert len(judged) == len(tried)
    assert "mean correlation 0.99" in judged[0]
    assert judged[-1].endswith("passes the gate")


def test_a_calibration_that_is_no_clip(built_in: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "clip.mp4"
    wrong.write_bytes(b"not a video")
    result = saliency_export("int8", built_in, "--output", tmp_path / "o.onnx", "--calibration", wrong)
    assert (result.exit_code, result.stderr.startswith("InputError: ")) == (2, True)
    assert list(tmp_path.iterdir()) == [wrong]
