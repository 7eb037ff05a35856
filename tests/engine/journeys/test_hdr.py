"""Clips in PQ and HLG: a run counts them by what they are, whether it computes them or the memo has them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.clips import Encode
from tests.in_process import run, saliency_batch
from tests.rows import read_rows, write_clips

from saliency_engine.config import MEMO_NAME

PQ, HLG = 16, 18


@pytest.fixture
def source(tmp_path: Path, encode: Encode, clips: dict[str, Path]) -> Path:
    """Two SDR clips of 8 bits, one of 12, a PQ clip and an HLG clip of 10, one of them twice, and a missing one."""
    deep: dict[str, Any] = {"codec": "libx265", "pix_fmt": "yuv420p10le", "size": (96, 64), "colorspace": 9}
    names = [
        *(clips["bikes"], clips["carphone_pristine"], clips["bikes"]),
        encode("pq.mp4", color_trc=PQ, color_primaries=9, **deep),
        encode("hlg.mkv", color_trc=HLG, color_primaries=9, **deep | {"codec": "libsvtav1"}),
        encode("sdr12.mp4", **deep | {"pix_fmt": "yuv420p12le"}),
        tmp_path / "gone.mp4",
    ]
    return write_clips(tmp_path / "in.jsonl", names)


def run_once(source: Path, *options: str) -> tuple[dict[str, Any], str]:
    """The audit's part on clips, and what was printed."""
    output, audit = source.with_name("out.jsonl"), source.with_name("audit.json")
    words = ("--input", source, "--output", output, "--audit-json", audit, "--model", "frequency_tuned_v1")
    done = run(*words, *options, code=1, text=True)
    counted: dict[str, Any] = json.loads(audit.read_text())["clips"]
    return counted, done.stderr


def test_clips_are_counted_by_transfer_and_bit_depth(source: Path) -> None:
    for computed in (5, 0):
        counted, shown = run_once(source)
        assert (counted["computed"], counted["reused"]) == (computed, 5 - computed)
        assert counted["transfer"] == {"sdr": 3, "pq": 1, "hlg": 1}
        assert counted["bit_depth"] == {"8": 2, "10": 2, "12": 1}
        assert "3 SDR, 1 PQ, 1 HLG" in shown
        assert "2 of 8 bits, 2 of 10 bits, 1 of 12 bits" in shown


def test_what_an_older_memo_does_not_say_is_unknown(source: Path) -> None:
    run_once(source)
    strip_signals(source.with_name(MEMO_NAME))
    counted, shown = run_once(source)
    assert (counted["reused"], counted["transfer"]) == (5, {"sdr": 0, "pq": 0, "hlg": 0, "unknown": 5})
    assert counted["bit_depth"] == {"unknown": 5}
    assert "5 UNKNOWN" in shown
    assert "bits" not in shown


def test_hdr_read_as_it_is_is_told_with_the_way_out(source: Path) -> None:
    words = (
        "warning: 2 clips are HDR (1 PQ, 1 HLG) and read as if SDR: flat, dark or pale. --hdr tonemap maps such clips "
        "to SDR\n"
    )
    for option in ((), ("--quiet",), ("--overwrite",)):  # computed, then from the memo
        assert run_once(source, *option)[1].count(words) == 1
    assert "HDR" not in run_once(source, "--hdr", "tonemap")[1]
    write_clips(source, ["gone.mp4"])
    assert "HDR" not in run_once(source)[1]


def test_mapped_clips_are_others_for_the_memo_and_have_another_tag(source: Path) -> None:
    rows: dict[str, list[dict[str, Any]]] = {}
    for mode, computed in (("plain", 5), ("tonemap", 5), ("plain", 0), ("tonemap", 0)):
        counted, _ = run_once(source, "--hdr", mode)
        assert (counted["computed"], counted["reused"]) == (computed, 5 - computed)
        assert counted["transfer"] == {"sdr": 3, "pq": 1, "hlg": 1}
        before = rows.setdefault(mode, read_rows(source.with_name("out.jsonl")))
        assert before == read_rows(source.with_name("out.jsonl"))
    assert [row.get("saliency_sampling") for row in rows["plain"]] == 6 * ["head:8@320x320"] + [None]
    assert [row.get("saliency_sampling") for row in rows["tonemap"]] == 6 * ["head:8@320x320;hdr=tonemap"] + [None]
    moved = [one["saliency_mean"] != other["saliency_mean"] for one, other in zip(*rows.values(), strict=True)]
    assert moved == [False, False, False, True, True, False, False]


def test_preview_and_bench_map_too(source: Path, tmp_path: Path) -> None:
    pq = json.loads(source.read_text().splitlines()[3])["src"]
    sheets = []
    for mode in ("plain", "tonemap"):
        sheet = tmp_path / f"{mode}.png"
        saliency_batch("preview", pq, "-o", sheet, "--model", "frequency_tuned_v1", "--hdr", mode)
        with Image.open(sheet) as picture:
            sheets.append(np.asarray(picture).astype(int)[104:204, 40:420])  # inside the frame
    assert np.abs(sheets[0] - sheets[1]).mean() > 10
    setting = ("--provider", "cpu", "--precision", "float32", "--threads", "1", "--batch-size", "8", "--rounds", "1")
    command = saliency_batch("bench", pq, "--hdr", "tonemap", *setting, text=True).stdout.splitlines()[-1]
    assert "--hdr tonemap" in command


def strip_signals(path: Path) -> None:
    """Make the memo one of version 2, whose entries are a checksum and whole float64."""
    with sqlite3.connect(path) as db:
        for key, stored in db.execute("SELECT key, statistics FROM clips").fetchall():
            frames = 8  # means, motion, two maxima and the Gram matrix; what stands behind is of later versions
            numbers = stored[8 : 8 + 8 * (2 * frames + 2 + frames * (frames + 1) // 2)]
            older = hashlib.blake2b(key + numbers, digest_size=8).digest() + numbers
            db.execute("UPDATE clips SET statistics = ? WHERE key = ?", (older, key))
        db.execute("PRAGMA user_version = 2")
    db.close()
