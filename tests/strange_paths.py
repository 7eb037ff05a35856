"""What a row may name besides a clip: everything that could lead a reader elsewhere."""

from __future__ import annotations

import os
import shutil
import socket
import struct
from dataclasses import dataclass
from pathlib import Path


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
        "",
        "fifo.mp4",
        "folder.mp4",
        "loop.mp4",
        "socket.mp4",
        "/dev/zero",
        "/dev/stdin",
        "x" * 10240,
        "nul\0.mp4",
        f"{server}/clip.mp4",
        f"concat:{canary}|{canary}",
        f"subfile,,start,0,end,999,,:{canary}",
        f"file:{canary}",
        "pipe:0",
        "fd:",
        "data:video/mp4;base64,AAAA",
        "rtmp://127.0.0.1/x",
        "crypto+file:x.mp4",
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
