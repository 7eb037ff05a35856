"""``fp16``: what it writes, and that half precision is what was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto
from tests.exporter.upstream import saliency_export
from tests.exporter.variants.checks import check_variant
from tests.small_models import enlarging_with_empty


def test_fp16(exported: Path, tmp_path: Path, short_clips: list[Path]) -> None:
    output = tmp_path / "u2netp_mirror_v1_fp16.onnx"
    result = saliency_export("fp16", exported, "--output", output, "--frames", short_clips[0])
    assert result.exit_code == 0, result.stderr
    manifest = check_variant(output, exported, "u2netp_mirror_v1_fp16")
    model = onnx.load(output)
    weights = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4}
    assert weights == {TensorProto.FLOAT16}
    assert manifest["figures"]["frames"] == 16 + 8 + 12
    assert manifest["figures"]["correlation"] >= 0.9999
    assert manifest["figures"]["max_abs"] > 0.0, "nothing was rounded: was half precision measured at all?"
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["lusoris.upstream_commit"] == "ac7e1c81"  # the parent's own origin stays


@pytest.mark.parametrize("opset", [11, 12, 17])
def test_a_graph_with_empty_scales_beside_its_sizes(tmp_path: Path, opset: int) -> None:
    parent = tmp_path / "empty.onnx"  # U-2-Net's by rembg has them, which is of opset 11
    weights = np.random.default_rng(1).normal(0, 0.3, (1, 3, 3, 3)).astype(np.float32)
    onnx.save(enlarging_with_empty(opset, weights), parent)
    result = saliency_export("fp16", parent, "--output", tmp_path / "empty_fp16.onnx")
    assert result.exit_code == 0, result.stderr
    check_variant(tmp_path / "empty_fp16.onnx", parent, "empty_fp16")
