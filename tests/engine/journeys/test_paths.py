"""What rows may name: regular files are read, and nothing else is opened, whatever names and contents say."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.conftest import Encode

from saliency_engine import Engine, RunConfig
from saliency_engine.errors import DecodeError, MissingSourceError
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, ClipRequest, DecodeSpec, Head
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


def moved_out(clip: bytes, target: Path) -> bytes:
    """``clip``, a MOV with its index behind the frames, as one whose frames are said to be in ``target``."""
    name = os.fsencode(target).replace(b"/", b":")
    alias = bytes(10) + bytes(28) + bytes(12) + bytes([len(target.name)]) + os.fsencode(target.name).ljust(63, b"\0")
    alias += bytes(16) + bytes(4) + bytes(16)
    alias += struct.pack(">HH", 2, len(name)) + name + bytes(len(name) % 2) + struct.pack(">HH", 0xFFFF, 0)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    return _replaced(clip, b"dref", struct.pack(">II", 0, 1) + entry)


def _replaced(boxes: bytes, kind: bytes, content: bytes) -> bytes:
    """The chain of boxes with the content of every box of that kind replaced, however deep."""
    at, parts = 0, []
    while at < len(boxes):
        length, name = struct.unpack_from(">I4s", boxes, at)
        inner = boxes[at + 8 : at + length]
        if name == kind:
            inner = content
        elif name in (b"moov", b"trak", b"mdia", b"minf", b"dinf"):
            inner = _replaced(inner, kind, content)
        parts.append(struct.pack(">I4s", 8 + len(inner), name) + inner)
        at += length
    return b"".join(parts)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, an empty one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass(frozen=True)
class Strange:
    """Sources that name no regular file; files that are no clip, for they lead elsewhere; clips with odd names."""

    missing: list[str]
    refused: list[str]
    whole: list[str]


def strange_sources(clip: Path, mov: Path, canary: Path, server: str) -> Strange:
    """Everything that a row may name, made in the current folder; much of it leads to ``canary`` and ``server``."""
    os.mkfifo("fifo.mp4")
    Path("folder.mp4").mkdir()
    Path("loop.mp4").symlink_to("loop.mp4")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket.mp4")
    missing = [
        *("", "fifo.mp4", "folder.mp4", "loop.mp4", "socket.mp4", "/dev/zero", "/dev/stdin", "x" * 10240, "nul\0.mp4"),
        *(f"{server}/clip.mp4", f"concat:{canary}|{canary}", f"subfile,,start,0,end,999,,:{canary}", f"file:{canary}"),
        *("pipe:0", "fd:", "data:video/mp4;base64,AAAA", "rtmp://127.0.0.1/x", "crypto+file:x.mp4"),
    ]
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
    contents = {
        "local.m3u8": playlist.format(canary),
        "remote.m3u8": playlist.format(f"{server}/a.ts"),
        "playlist.mp4": playlist.format(canary),
        "dash.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
        f"<BaseURL>{server}/</BaseURL><AdaptationSet><Representation id='1' bandwidth='1'><BaseURL>{canary}</BaseURL>"
        "</Representation></AdaptationSet></Period></MPD>",
        "list.txt": f"ffconcat version 1.0\nfile '{canary}'\n",
        "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        "graph.mp4": f"movie={canary}",
        "frame%03d.png": "\x89PNG",
    }
    for name, content in contents.items():
        Path(name).write_text(content)
    Path("outside.mov").write_bytes(moved_out(mov.read_bytes(), canary))
    whole = ["http:x.mp4", "concat:a|b.mp4", "subfile,,start,0,end,9,,:x.mp4", "fd:.mp4", "-", "a b\n\u00e9.mp4"]
    for name in whole:
        shutil.copy(clip, name)
    return Strange(missing, [*contents, "outside.mov"], whole)


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
        refused = ("missing-source", "the source is outside --root, and --confine refuses it")
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
