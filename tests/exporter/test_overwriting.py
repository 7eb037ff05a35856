"""No command of the exporter writes over a file that it reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.exporter.distill.corpora import draw_picture
from tests.exporter.upstream import StandIn, saliency_export


@pytest.fixture
def model(built_in: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(built_in, tmp_path / "model.onnx"))


@pytest.mark.parametrize(
    "command",
    [("fix-shape", "--batch", "2", "--height", "320", "--width", "320"), ("fp16",), ("int8", "--calibration", "TABLE")],
)
@pytest.mark.parametrize("victim", ["model.onnx", "link.onnx", "clip.mp4", "clips.jsonl"])
def test_a_variant_is_not_written_over_what_it_is_made_of(
    tmp_path: Path, model: Path, clips: dict[str, Path], command: tuple[str, ...], victim: str
) -> None:
    (tmp_path / "link.onnx").symlink_to(model)
    clip, table = Path(shutil.copy(clips["bikes"], tmp_path / "clip.mp4")), tmp_path / "clips.jsonl"
    table.write_text(json.dumps({"src": str(clip)}) + "\n")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    options = [table if option == "TABLE" else option for option in command]
    frames = [] if "--calibration" in options else ["--frames", table]
    result = saliency_export(*options, model, "--output", tmp_path / victim, *frames)
    assert result.exit_code == 2
    assert "would overwrite" in result.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("victim", ["model.onnx", "link.onnx", "clip.mp4", "clips.jsonl", "1.png"])
def test_a_student_is_not_written_over_its_teacher_or_frames(
    tmp_path: Path, model: Path, clips: dict[str, Path], victim: str
) -> None:
    pytest.importorskip("torch", reason="torch is not installed (extra: export)")
    (tmp_path / "link.onnx").symlink_to(model)
    clip, table = Path(shutil.copy(clips["bikes"], tmp_path / "clip.mp4")), tmp_path / "clips.jsonl"
    table.write_text(json.dumps({"src": str(clip)}) + "\n")
    for seed in range(4):
        draw_picture(seed).save(tmp_path / f"{seed}.png")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    frames = ["--frames", table, "--frames", tmp_path, "--from-scratch", "--steps", 1, "--work", tmp_path / ".work"]
    result = saliency_export("distill", "--teacher", model, "--output", tmp_path / victim, *frames)
    assert result.exit_code == 2
    assert "would overwrite" in result.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("victim", ["u2netp.pth", "LICENSE", "model/u2net.py"])
@pytest.mark.parametrize("option", ["--output", "--manifest-out"])
def test_an_export_is_not_written_over_its_checkout(
    checkout: StandIn, tmp_path: Path, victim: str, option: str
) -> None:
    path = checkout.folder / victim
    before = path.read_bytes()
    output = path if option == "--output" else tmp_path / "out.onnx"
    more = () if option == "--output" else (option, path)
    result = checkout.export(output, "--checkpoint", checkout.checkpoint, *more)
    assert (result.exit_code, path.read_bytes()) == (2, before)
    assert f"{option} {path} would overwrite" in result.stderr
    result = checkout.export(tmp_path / "out.onnx", "--manifest-out", tmp_path / "." / "out.onnx")
    assert "--manifest-out" in result.stderr
    assert "would overwrite --output" in result.stderr


def test_only_a_model_is_replaced_by_a_model(tmp_path: Path, clips: dict[str, Path]) -> None:
    output = Path(shutil.copy(clips["bikes"], tmp_path / "clip.onnx"))
    before = output.read_bytes()
    result = saliency_export("frequency-tuned", "--output", output)
    assert (result.exit_code, output.read_bytes()) == (2, before)
    assert f"--output {output} would overwrite a video, where an ONNX model belongs" in result.stderr
    output.unlink()
    for _ in range(2):
        assert saliency_export("frequency-tuned", "--output", output).exit_code == 0
