"""The teacher's maps: computed once, kept, taken up again; and teachers that are of no use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.exporter.distill.corpora import draw_picture, make_teacher, see_red

from saliency_engine.config import RunConfig
from saliency_engine.errors import ModelError
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.load import load_model
from saliency_exporter.distill import teacher
from saliency_exporter.distill.teacher import Maps, TaughtMaps

PICTURES = np.stack([np.moveaxis(np.asarray(draw_picture(seed)), -1, 0) for seed in range(20)])


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    opened = open_teacher(tmp_path, make_teacher())
    yield opened
    opened.close()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames the teacher was asked about, at each call."""
    numbers: list[int] = []
    real = teacher.ask

    def ask(session: Session, frames: NDArray[np.uint16], source: str) -> Maps:
        numbers.append(len(frames))
        return real(session, frames, source)

    monkeypatch.setattr(teacher, "ask", ask)
    return numbers


def open_teacher(folder: Path, model: onnx.ModelProto) -> Session:
    onnx.save(model, folder / "teacher.onnx")
    config = RunConfig(model_path=str(folder / "teacher.onnx"), provider="cpu", threads=1)
    return open_session(load_model(config), config)


def look_up(folder: Path, session: Session, frames: NDArray[np.uint8]) -> NDArray[np.float64]:
    store = TaughtMaps(folder / "maps.raw", 64, 64)
    maps, map_of = store.look_up(session, frames, range(len(frames)), "teacher.onnx", lambda _done, _total: None)
    return maps[map_of].astype(np.float64)


def test_each_map_is_computed_once(tmp_path: Path, session: Session, asked: list[int]) -> None:
    twice = np.concatenate([PICTURES[:10], PICTURES[:10]])
    assert np.abs(look_up(tmp_path, session, twice) - see_red(twice)).max() < 1e-3
    assert sum(asked) == 10
    shuffled = PICTURES[::-1]
    assert np.abs(look_up(tmp_path, session, shuffled) - see_red(shuffled)).max() < 1e-3
    assert sum(asked) == 20
    look_up(tmp_path, session, PICTURES)
    assert sum(asked) == 20


@pytest.mark.parametrize("cut", [(0, 30), (0, 65), (4000, 0), (4000, 30), (8192 * 3, 0)])
def test_what_was_cut_off_is_computed_again(
    tmp_path: Path, session: Session, asked: list[int], cut: tuple[int, int]
) -> None:
    """An interrupted command, or a machine that failed, leaves either file shorter than the other."""
    look_up(tmp_path, session, PICTURES[:8])
    for name, count in zip(("maps.raw", "maps.keys"), cut, strict=True):
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) - count])
    for _ in range(2):
        assert np.abs(look_up(tmp_path, session, PICTURES) - see_red(PICTURES)).max() < 1e-3
    assert 20 < sum(asked) < 24


def test_a_teacher_of_several_frames_a_call(tmp_path: Path) -> None:
    session = open_teacher(tmp_path, make_teacher(frames_a_call=3))
    assert np.abs(look_up(tmp_path, session, PICTURES[:7]) - see_red(PICTURES[:7])).max() < 1e-3
    session.close()


def test_logits_are_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    session = open_teacher(tmp_path, make_teacher(ends_in_sigmoid=False))
    with pytest.raises(ModelError, match=r"reach from -\d.*saliency-export rewrap .*--activation sigmoid"):
        look_up(tmp_path, session, PICTURES)
    session.close()
