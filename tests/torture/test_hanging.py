"""Clips that never end: each is stopped at its time-out, and the others are computed as ever."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from tests.clips import Encode
from tests.torture.conftest import Record, times

from saliency_engine import Engine, RunConfig

TIMEOUT = 4.0
GRACE = 2.0
TIB = 1 << 40


def endless_stream(encode: Encode, target: Path) -> None:
    """Three frames of H.264, then a hole of a tebibyte in which the parser looks for a fourth."""
    target.write_bytes(encode("three.h264", size=(160, 96), frames=3).read_bytes())
    os.truncate(target, TIB)


def endless_file(_: Encode, target: Path) -> None:
    """Raw video: ten thousand frames of a hundred megabytes, all of which ``uniform`` reads."""
    target.touch()
    os.truncate(target, 8192 * 8192 * 3 // 2 * 10_000)


ENDLESS: dict[str, Callable[[Encode, Path], None]] = {"hole.h264": endless_stream, "large.yuv": endless_file}


@pytest.fixture
def fed_fifo(tmp_path: Path) -> Iterator[Path]:
    """A FIFO that somebody writes to without end."""
    path, stop = tmp_path / "fed.mp4", threading.Event()
    os.mkfifo(path)
    held = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def feed() -> None:
        while not stop.wait(0.01):
            with contextlib.suppress(BlockingIOError):  # nobody reads
                os.write(held, bytes(4096))

    thread = threading.Thread(target=feed)
    thread.start()
    yield path
    stop.set()
    thread.join()
    os.close(held)


@pytest.mark.parametrize("name", ENDLESS)
def test_an_endless_clip_is_stopped_in_time(
    encode: Encode, tmp_path: Path, fed_fifo: Path, record: Record, name: str
) -> None:
    hung = tmp_path / name
    ENDLESS[name](encode, hung)
    good = encode("good.mp4", frames=12)
    os.mkfifo(tmp_path / "silent.mp4")
    rounds, late, others = times(20), [], []
    config = RunConfig(
        model="frequency_tuned_v1",
        sampling="uniform" if name.endswith("yuv") else "head",
        clip_timeout=TIMEOUT,
        decode_workers=2,
        default_width=8192,
        default_height=8192,
    )
    with Engine(config) as engine:
        list(engine.process([pa.record_batch({"src": [str(good)]})]))  # all is loaded now
        for number in range(rounds):
            clips = [tmp_path / f"{number}-{index}.mp4" for index in range(8)]
            for clip in clips:
                clip.symlink_to(good) if number % 2 else os.link(good, clip)
            sources = [*clips[:4], hung, fed_fifo, tmp_path / "silent.mp4", Path("/dev/zero"), *clips[4:]]
            started = time.monotonic()
            (batch,) = engine.process([pa.record_batch({"src": list(map(str, sources))})])
            late.append(time.monotonic() - started - TIMEOUT)
            rows = batch.to_pylist()
            assert rows[4]["saliency_status"] == "decode-failed"
            assert f"--clip-timeout {TIMEOUT:g} s" in rows[4]["saliency_error"]
            assert {row["saliency_status"] for row in rows[5:8]} == {"missing-source"}
            others += [row["saliency_status"] for row in rows[:4] + rows[8:]]
            hung.touch()  # another clip, for the run that remembers its failures
    record(f"03-hanging-{name.replace('.', '-')}", hangs=rounds, latest_seconds_after_timeout=round(max(late), 2))
    assert others == ["ok"] * 8 * rounds
    assert max(late) < GRACE
