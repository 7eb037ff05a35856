"""``fix-shape``: the same maps in batches, and the sizes that it refuses."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import helper
from tests.exporter.upstream import saliency_export
from tests.exporter.variants.checks import check_variant, run_model, save_model
from tests.small_models import WEIGHTS, enlarging_with_empty

from saliency_exporter.sample_frames import draw_natural


def test_fix_shape_gives_the_same_maps_in_batches(built_in: Path, tmp_path: Path) -> None:
    output = tmp_path / "frequency_tuned_v1_320x320_b4.onnx"
    result = saliency_export("fix-shape", built_in, "--output", output, "--batch", 4, "--height", 320, "--width", 320)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split()[0] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert "--model-id" not in result.stderr  # the file is named like the id
    manifest = check_variant(output, built_in, "frequency_tuned_v1_320x320_b4")
    assert manifest["variant"] == {"name": "320x320_b4", "batch": 4, "height": 320, "width": 320}
    assert manifest["figures"]["max_abs"] <= 1e-4
    frames = draw_natural(4, 320, 320)
    np.testing.assert_allclose(run_model(output, frames), run_model(built_in, frames), rtol=0, atol=1e-5)


def test_fix_shape_of_a_student(models: Path, tmp_path: Path) -> None:
    """Its batch of 1 becomes 2, its free size 96×64; its id stands in the file, whose name is another."""
    parent, output = models / "saliency_student_v2.onnx", tmp_path / "fixed.onnx"
    result = saliency_export("fix-shape", parent, "--output", output, "--batch", 2, "--height", 64, "--width", 96)
    assert result.exit_code == 0, result.stderr
    check_variant(output, parent, "saliency_student_v2_96x64_b2")
    frames = draw_natural(2, 64, 96)
    alone = np.concatenate([run_model(parent, frame[None]) for frame in frames])
    np.testing.assert_allclose(run_model(output, frames), alone, rtol=0, atol=1e-5)


def test_fix_shape_refuses_a_size_that_cannot_be_measured(built_in: Path, tmp_path: Path) -> None:
    output = tmp_path / "other.onnx"
    result = saliency_export("fix-shape", built_in, "--output", output, "--batch", 1, "--height", 64, "--width", 320)
    assert result.exit_code == 2
    assert "runs at 320×320 only" in result.stderr
    assert "saliency-export resize" in result.stderr
    assert not list(tmp_path.iterdir())


def test_fix_shape_refuses_a_batch_that_the_nodes_contradict(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Reshape", ["mean", "shape"], ["saliency_map"]),
    ]
    parent = save_model(tmp_path / "reshaped.onnx", nodes, {"shape": np.array([1, 1, 48, 64])})
    result = saliency_export(
        "fix-shape", parent, "--output", tmp_path / "o.onnx", "--batch", 2, "--height", 48, "--width", 64
    )
    assert result.exit_code == 2
    assert result.stderr.startswith("ModelError: ")
    assert list(tmp_path.iterdir()) == [parent]


def test_fix_shape_of_a_graph_whose_opset_demands_empty_scales(tmp_path: Path) -> None:
    parent, output = tmp_path / "empty.onnx", tmp_path / "fixed.onnx"
    onnx.save(enlarging_with_empty(11, WEIGHTS), parent)
    result = saliency_export("fix-shape", parent, "--output", output, "--batch", 1, "--height", 32, "--width", 48)
    assert result.exit_code == 0, result.stderr
    check_variant(output, parent, "empty_48x32_b1")
    (resize,) = (node for node in onnx.load(output).graph.node if node.op_type == "Resize")
    assert list(resize.input[1:3]) == ["roi", "scales"]
