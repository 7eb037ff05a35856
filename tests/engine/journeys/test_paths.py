"""What rows may name: regular files are read, and nothing else is opened, whatever names and contents say."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.clips import Encode
from tests.strange_paths import strange_sources

from saliency_engine import Engine, RunConfig
from saliency_engine.errors import DecodeError, MissingSourceError
from saliency_engine.samplings import Head
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, ClipRequest, DecodeSpec
from saliency_engine.video.decode import decode_clip

IN_OPEN = 0x20


@pytest.fixture
def canary(clips: dict[str, Path], tmp_path: Path) -> Iterator[Path]:
    """A good clip that nothing may open, watched by the kernel, in a folder of its own."""
    folder = tmp_path / "outside"
    folder.mkdir()
    path = Path(shutil.copy(clips["carphone_distorted"], folder / "canary.mp4"))
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(folder), IN_OPEN) >= 0
    path.read_bytes()
    assert os.read(watch, 4096)  # an opening is seen
    yield path
    try:
        seen = os.read(watch, 4096)
    except BlockingIOError:
        seen = b""
    os.close(watch)
    assert not seen, "the canary was opened"


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that nobody may connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()


def results(sources: list[str], **options: Any) -> list[tuple[str, str]]:
    """Status and reason of each."""
    with Engine(RunConfig(model="frequency_tuned_v1", **options)) as engine:
        (batch,) = engine.process([pa.record_batch({"src": sources})])
    return [(row["saliency_status"], row["saliency_error"] or "") for row in batch.to_pylist()]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("here")
def test_only_regular_files_are_opened(encode: Encode, clips: dict[str, Path], canary: Path, server: str) -> None:
    made = strange_sources(clips["carphone_distorted"], encode("plain.mov", frames=12), canary, server)
    sources = [*made.missing, *made.refused, *made.whole]
    got = dict(zip(sources, results(sources), strict=True))
    for source in made.missing:
        status, reason = got[source]
        assert status == "missing-source", source
        assert reason
    for source in made.refused:
        status, reason = got[source]
        assert status == "decode-failed", source
        assert reason.startswith("cannot be opened as video") or source == "outside.mov"
    assert {got[source] for source in made.whole} == {("ok", "")}


def test_confine_keeps_to_the_root(tmp_path: Path, clips: dict[str, Path], canary: Path) -> None:
    root = tmp_path / "root"
    (root / "inner").mkdir(parents=True)
    shutil.copy(clips["carphone_distorted"], root / "inner" / "clip.mp4")
    (root / "link.mp4").symlink_to("inner/clip.mp4")
    (root / "same").symlink_to(root / "inner")
    (root / "out.mp4").symlink_to(canary)
    (root / "away").symlink_to(canary.parent)
    (tmp_path / "root2").mkdir()
    (tmp_path / "start").symlink_to(root)
    inside = ["inner/clip.mp4", "link.mp4", "same/clip.mp4", str(root / "link.mp4"), "inner/../inner/clip.mp4"]
    upwards = os.path.relpath(canary, root)
    outside = [
        str(canary),
        "out.mp4",
        "away/canary.mp4",
        upwards,
        "../root2/x.mp4",
        "/etc/passwd",
        "/no/such/file",
        "..",
    ]
    for start in (root, tmp_path / "start"):
        got = results(inside + outside, root=str(start), confine=True)
        assert got[: len(inside)] == [("ok", "")] * len(inside)
        refused = ("missing-source", "the path leads outside --root, which --confine forbids")
        assert got[len(inside) :] == [refused] * len(outside)


def decode(request: ClipRequest, confine: str = "") -> int:
    spec = DecodeSpec(32, 32, Head(8, 8), "auto", confine=confine)
    return decode_clip(request, spec, np.zeros((8, 3, 32, 32), np.uint16)).frames


@contextmanager
def swapped_before_opening(monkeypatch: pytest.MonkeyPatch, swap: Callable[[], None]) -> Iterator[None]:
    """``swap`` happens between the look at a file and its opening."""
    real, todo = os.open, [swap]

    def late(*arguments: Any, **named: Any) -> int:
        if todo:
            todo.pop()()
        return real(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", late)
        yield


def test_a_file_that_becomes_a_fifo_is_not_waited_for(
    tmp_path: Path, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(shutil.copy(clips["carphone_distorted"], tmp_path / "clip.mp4"))

    def swap() -> None:
        path.unlink()
        os.mkfifo(path)

    for confine in ("", str(tmp_path)):
        path.unlink()
        shutil.copy(clips["carphone_distorted"], path)
        started = time.monotonic()
        with swapped_before_opening(monkeypatch, swap), pytest.raises(DecodeError, match="not a regular file"):
            decode(ClipRequest(str(path), 0, 0), confine)
        assert time.monotonic() - started < 30  # it would be for ever


def test_a_folder_that_becomes_a_link_leads_nowhere(
    tmp_path: Path, clips: dict[str, Path], canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, folder = tmp_path / "root", tmp_path / "root" / "clips"

    def swap() -> None:
        folder.rename(root / "before")
        folder.symlink_to(canary.parent)

    folder.mkdir(parents=True)
    shutil.copy(clips["carphone_distorted"], folder / "canary.mp4")
    locator = Locator(RunConfig(model="frequency_tuned_v1", root=str(root), confine=True))
    request = locator.locate(ClipReference("clips/canary.mp4"))
    assert decode(request, str(root)) == 8
    with swapped_before_opening(monkeypatch, swap), pytest.raises(DecodeError, match="cannot be opened beneath --root"):
        decode(request, str(root))
    with pytest.raises(MissingSourceError, match="outside --root"):
        locator.locate(ClipReference("clips/canary.mp4"))
    escaping = ClipRequest(f"{root}/../{canary.parent.name}/canary.mp4", 0, 0)
    shutil.rmtree(root / "before")
    with pytest.raises(DecodeError):
        decode(escaping, str(root))
