"""A student that tests of ``saliency-export distill`` share, a module each."""

from __future__ import annotations

import hashlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import onnx
import pytest
from tests.exporter.distill.corpora import draw_pictures, make_teacher
from tests.exporter.distill.lesson import Lesson, run_distill


@pytest.fixture(scope="module")
def small_steps() -> Iterator[None]:
    """Two frames a step, on one thread: such small pictures gain nothing by more."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: export)")
    from saliency_exporter.distill import training

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "BATCH", 2)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def lesson(small_steps: None, tmp_path_factory: pytest.TempPathFactory) -> Lesson:  # noqa: ARG001
    """A whole command, every line of progress shown."""
    from saliency_exporter import commands
    from saliency_exporter.distill import training

    folder = tmp_path_factory.mktemp("lesson")
    frames, teacher = draw_pictures(folder / "pictures", 24), folder / "teacher.onnx"
    onnx.save(make_teacher(), teacher)
    seen: set[str] = set()
    augment = pkgutil.resolve_name("saliency_exporter.distill.training.augment")

    def watch(frame: Any, *rest: Any) -> Any:
        seen.add(hashlib.sha256(frame.tobytes()).hexdigest())
        return augment(frame, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "augment", watch)
        patch.setattr(training, "_SAVE_SECONDS", -1.0)
        patch.setattr(training, "_CHECK_SECONDS", -1.0)
        patch.setattr(commands, "_EVERY_SECONDS", -1.0)
        result = run_distill(teacher, frames, folder / "pupil.onnx")
    assert result.exit_code == 0, result.output
    return Lesson(teacher, frames, folder / "pupil.onnx", result, seen)
