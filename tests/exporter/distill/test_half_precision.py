"""``saliency-export distill`` with a teacher that is run in half precision."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from tests.exporter.distill.corpora import draw_pictures, feed, make_teacher
from tests.exporter.distill.lesson import run_distill
from tests.exporter.upstream import manifest_of

torch = pytest.importorskip("torch", reason="torch is not installed (extra: export)")
pytestmark = pytest.mark.usefixtures("small_steps")


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return draw_pictures(tmp_path / "pictures", 24)


def test_a_teacher_in_half_precision(frames: Path, tmp_path: Path) -> None:
    """Its maps are near those in float32, and other ones; it is named by its own file."""
    teacher, output = tmp_path / "teacher.onnx", tmp_path / "pupil.onnx"
    onnx.save(with_empty_scales(make_teacher(gain=2.1)), teacher)  # half precision has no 4.2
    result = run_distill(teacher, frames, output, "--precision", "float16")
    assert result.exit_code == 0, result.output
    digest = hashlib.sha256(teacher.read_bytes()).hexdigest()
    assert manifest_of(output)["teacher"] == {"path": str(teacher), "model_id": "teacher_fp16", "sha256": digest}
    (kept,) = Path(f"{output}.work").glob("maps-*.raw")
    maps = np.fromfile(kept, np.float16).astype(np.float32).reshape(24, 64, 64)
    session = onnxruntime.InferenceSession(teacher, providers=["CPUExecutionProvider"])
    for path, half in zip(sorted(frames.iterdir()), maps, strict=True):
        frame = np.moveaxis(np.asarray(Image.open(path)), -1, 0)[np.newaxis]
        single = session.run(None, {"input": feed(frame)})[0][0, 0]
        np.testing.assert_allclose(half, single, atol=2e-3)
        assert (half != single.astype(np.float16)).any()


def test_a_teacher_in_half_precision_whose_maps_have_no_channel(
    frames: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is timed is its file, in float32."""
    from saliency_exporter.distill.judge import time_models

    timed: list[tuple[bytes, bytes]] = []

    def watch(*models_and_frame: Any) -> Any:
        timed.append(models_and_frame[:2])
        return time_models(*models_and_frame)

    monkeypatch.setattr("saliency_exporter.distill.export.time_models", watch)
    model = make_teacher()
    model.graph.node[-1].output[0] = "map"
    model.graph.node.append(onnx.helper.make_node("Squeeze", ["map", "channel"], ["saliency_map"]))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1]), "channel"))
    del model.graph.output[0].type.tensor_type.shape.dim[1]
    onnx.save(model, tmp_path / "teacher.onnx")
    output = tmp_path / "pupil.onnx"
    result = run_distill(tmp_path / "teacher.onnx", frames, output, "--precision", "float16")
    assert result.exit_code == 0, result.output
    assert manifest_of(output)["teacher"]["model_id"] == "teacher_fp16"
    assert timed == [((tmp_path / "teacher.onnx").read_bytes(), output.read_bytes())]


def with_empty_scales(model: onnx.ModelProto) -> onnx.ModelProto:
    """With a Resize to the same size, which has empty inputs beside it as those of U-2-Net's file have, of opset 11."""
    model.opset_import[0].version = 11
    model.graph.node[0].output[0] = "before"
    empty = onnx.helper.make_tensor("", onnx.TensorProto.FLOAT, [0], [])
    nodes = [onnx.helper.make_node("Constant", [], [name], value=empty) for name in ("roi", "scales")]
    nodes.append(onnx.helper.make_node("Resize", ["before", "roi", "scales", "size"], ["logits"], mode="linear"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 1, 64, 64]), "size"))
    ordered = [model.graph.node[0], *nodes, *model.graph.node[1:]]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    return model
