"""A student that is trained further, on other frames or towards another teacher."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from PIL import Image
from tests.exporter.distill.lesson import Lesson
from tests.exporter.upstream import manifest_of

from saliency_engine.models.entry import asset
from saliency_exporter.half_precision import halve

pytest.importorskip("torch", reason="torch is not installed (extra: export)")
pytestmark = pytest.mark.usefixtures("small_steps")


def compute_maps(model: Path, frames: Path) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    pictures = np.stack([np.moveaxis(np.asarray(Image.open(path)), -1, 0) for path in sorted(frames.iterdir())])
    return np.stack([session.run(None, {"input": one[np.newaxis]})[0] for one in (pictures / 128 - 1).astype("f4")])


def test_it_goes_on_from_where_the_other_student_is(lesson: Lesson, tmp_path: Path) -> None:
    """After one small step its maps are nearly those of the other."""
    result = lesson.begin(tmp_path / "again.onnx", "--fine-tune", lesson.output, "--steps", 1)
    assert result.exit_code == 0, result.output
    before, after = (compute_maps(model, lesson.frames) for model in (lesson.output, tmp_path / "again.onnx"))
    assert 0 < np.abs(after - before).max() < 0.01 < before.std()


def test_it_says_what_it_was(lesson: Lesson, tmp_path: Path) -> None:
    output = tmp_path / "longer.onnx"
    result = lesson.begin(output, "--fine-tune", lesson.output, "--steps", 60)
    assert result.exit_code == 0, result.output
    manifest, digest = manifest_of(output), hashlib.sha256(lesson.output.read_bytes()).hexdigest()
    assert manifest["fine_tuned"] == {"path": str(lesson.output), "model_id": "pupil", "sha256": digest, "kept": 0}
    assert manifest["run_provenance"]["inputs"]["fine_tune"]["sha256"] == digest
    assert manifest["encoder"] is None
    assert manifest_of(lesson.output)["fine_tuned"] is None
    assert list(manifest_of(lesson.output)["run_provenance"]["inputs"]) == ["teacher"]
    assert manifest["training"]["steps"] == 60
    assert manifest["held_out"]["correlation"] > manifest_of(lesson.output)["held_out"]["correlation"]
    conversion = {entry.key: entry.value for entry in onnx.load(output).metadata_props}["lusoris.conversion"]
    first = {entry.key: entry.value for entry in onnx.load(lesson.output).metadata_props}["lusoris.conversion"]
    assert conversion == f"{first}; it began as pupil ({digest}), of which its file says: {first}"


def test_the_built_in_model_by_its_id_for_so_many_minutes(lesson: Lesson, tmp_path: Path) -> None:
    """Towards another teacher, of another size."""
    output = tmp_path / "pupil.onnx"
    result = lesson.begin(output, "--fine-tune", "saliency_open_v1", "--minutes", 0.02)
    assert result.exit_code == 0, result.output
    manifest, built_in = manifest_of(output), asset("saliency_open_v1.onnx").read_bytes()
    assert manifest["fine_tuned"]["model_id"] == "saliency_open_v1"
    assert manifest["fine_tuned"]["sha256"] == hashlib.sha256(built_in).hexdigest()
    assert manifest["export"]["input_shape"] == [1, 3, 64, 64]
    assert manifest["training"]["steps"] >= 1


def read_weights(model: Path) -> dict[str, NDArray[np.float32]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(model).graph.initializer}


def test_a_share_of_the_first_weights_may_be_kept(lesson: Lesson, tmp_path: Path) -> None:
    """From one training, which is not gone on with."""
    written = {}
    for keep in (0.0, 0.5, 1.0):
        path = tmp_path / f"{keep}.onnx"
        options = ("--fine-tune", lesson.output, "--keep", keep, "--work", tmp_path / "work", "--steps", 12)
        result = lesson.begin(path, *options)
        assert result.exit_code == 0, result.output
        written[keep] = read_weights(path)
        assert manifest_of(path)["fine_tuned"]["kept"] == keep
    first = read_weights(lesson.output)
    for name in ("student.heads.0.weight", "student.heads.0.bias"):
        np.testing.assert_allclose(written[1.0][name], first[name], atol=1e-7)
        assert np.abs(written[0.0][name] - first[name]).max() > 1e-5
        np.testing.assert_allclose(written[0.5][name], (written[0.0][name] + first[name]) / 2, atol=1e-7)
    before, after = (compute_maps(model, lesson.frames) for model in (lesson.output, tmp_path / "1.0.onnx"))
    np.testing.assert_allclose(after, before, atol=1e-5)
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / "0.5.onnx").metadata_props}
    assert ") and has 0.5 of its weights, of which its file says: " in metadata["lusoris.conversion"]


def test_weights_are_kept_of_another_student_alone(lesson: Lesson, tmp_path: Path) -> None:
    result = lesson.again(tmp_path / "pupil.onnx", "--keep", 0.5)
    assert result.exit_code == 2
    assert "--keep is of the student that --fine-tune names: give both, or neither" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_began_otherwise_is_not_gone_on_with(lesson: Lesson, tmp_path: Path) -> None:
    work = shutil.copytree(f"{lesson.output}.work", tmp_path / "work")
    result = lesson.begin(tmp_path / "pupil.onnx", "--fine-tune", lesson.output, "--work", work)
    assert result.exit_code == 2
    assert f"the training in {work} is another one (other frames, teacher, first weights" in result.stderr


def test_what_is_no_student(lesson: Lesson, tmp_path: Path) -> None:
    result = lesson.begin(tmp_path / "pupil.onnx", "--fine-tune", lesson.teacher)
    assert result.exit_code == 2
    assert f"ModelError: {lesson.teacher} cannot be trained further: it is not a student" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_its_variants_in_half_precision_are_none(lesson: Lesson, tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    half.write_bytes(halve(onnx.load(lesson.output), "pupil.onnx"))
    result = lesson.begin(tmp_path / "pupil.onnx", "--fine-tune", half)
    assert result.exit_code == 2
    assert f"ModelError: {half} cannot be trained further: it is not a student" in result.stderr
    assert list(tmp_path.iterdir()) == [half]


@pytest.mark.parametrize("kind", [onnx.TensorProto.BFLOAT16, onnx.TensorProto.STRING])
def test_weights_that_torch_cannot_take(lesson: Lesson, tmp_path: Path, kind: int) -> None:
    student = onnx.load(lesson.output)
    values: Any = [b"a"] if kind == onnx.TensorProto.STRING else [1.0]
    student.graph.initializer.append(onnx.helper.make_tensor("more", kind, [1], values))
    onnx.save(student, tmp_path / "more.onnx")
    result = lesson.begin(tmp_path / "again.onnx", "--fine-tune", tmp_path / "more.onnx", "--steps", 1)
    assert result.exit_code == 0, result.output  # nothing of the network reads them
    taken = next(node.input[1] for node in student.graph.node if node.op_type == "Conv")
    for tensor in student.graph.initializer:
        if tensor.name == taken:
            tensor.CopyFrom(onnx.helper.make_tensor(taken, kind, [1], values))
    onnx.save(student, tmp_path / "other.onnx")
    result = lesson.begin(tmp_path / "pupil.onnx", "--fine-tune", tmp_path / "other.onnx")
    assert result.exit_code == 2
    assert f"ModelError: {tmp_path / 'other.onnx'} " in result.stderr


def test_it_begins_with_one_thing(lesson: Lesson, tmp_path: Path) -> None:
    result = lesson.again(tmp_path / "pupil.onnx", "--fine-tune", lesson.output)
    assert result.exit_code == 2
    assert "begins either with nothing (--from-scratch) or as another (--fine-tune)" in result.stderr
    assert list(tmp_path.iterdir()) == []
