"""What ``saliency-export distill`` keeps in its work folder, and goes on from."""

from __future__ import annotations

import os
import pkgutil
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.exporter.distill.lesson import Lesson
from tests.exporter.upstream import manifest_path

torch = pytest.importorskip("torch", reason="torch is not installed (extra: export)")
pytestmark = pytest.mark.usefixtures("small_steps")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames the teacher was asked about, at each call."""
    from saliency_exporter.distill import teacher

    numbers: list[int] = []
    real = teacher.ask

    def ask(session: Any, frames: Any, *rest: Any) -> Any:
        numbers.append(len(frames))
        return real(session, frames, *rest)

    monkeypatch.setattr(teacher, "ask", ask)
    return numbers


def test_an_interrupted_command_goes_on_and_ends_the_same(
    lesson: Lesson, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[int]
) -> None:
    from saliency_exporter.distill import training

    monkeypatch.setattr(training, "_SAVE_SECONDS", -1.0)
    output = tmp_path / "pupil.onnx"
    places = {"teacher.ask": 3, "training.Training._learn": 4, "export.write_together": 1}
    for place, call in places.items():
        with monkeypatch.context() as patch:
            patch.setattr(f"saliency_exporter.distill.{place}", stop_at(place, call))
            result = lesson.again(output)
        assert result.exit_code == 130
        assert result.stderr.splitlines()[-1] == f"interrupted: the same command goes on from what is in {output}.work"
        assert not output.exists()
        assert not manifest_path(output).exists()
    result = lesson.again(output)  # nothing is learned or taught again
    assert result.exit_code == 0, result.output
    assert "going on at 100% of the training" in result.stderr
    assert output.read_bytes() == lesson.output.read_bytes()
    assert sum(asked) == 24


def stop_at(place: str, call: int) -> Any:
    """A stand-in for a function of the room in whose call of this number Ctrl-C comes."""
    real, calls = pkgutil.resolve_name(f"saliency_exporter.distill.{place}"), 0

    def stop(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise KeyboardInterrupt
        return real(*arguments)

    return stop


def test_a_work_folder_of_another_training(lesson: Lesson, tmp_path: Path) -> None:
    work = Path(shutil.copytree(f"{lesson.output}.work", tmp_path / "work"))
    before = (work / "training.pt").read_bytes()
    result = lesson.again(tmp_path / "pupil.onnx", "--work", work, "--seed", 1)
    assert result.exit_code == 2
    assert f"the training in {work} is another one (other frames, teacher, first weights" in result.stderr
    assert f"remove {work / 'training.pt'} to begin anew, or give another --work" in result.stderr
    assert (work / "training.pt").read_bytes() == before
    (work / "training.pt").write_bytes(before[:1000])
    result = lesson.again(tmp_path / "pupil.onnx", "--work", work)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("ConfigError: the state of training cannot be read (")


def test_two_commands_in_one_folder(lesson: Lesson, tmp_path: Path) -> None:
    import fcntl

    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    result = lesson.again(tmp_path / "pupil.onnx", "--work", tmp_path)
    os.close(handle)
    assert result.exit_code == 2
    assert f"another command is working in {tmp_path}: wait for its end" in result.stderr
    assert list(tmp_path.iterdir()) == []
