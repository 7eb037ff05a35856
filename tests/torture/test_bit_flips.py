"""Thousands of clips with flipped bits run through the whole engine: it never dies, and says what is wrong."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.clips import Encode
from tests.torture.conftest import Record, times

from saliency_engine import Engine, RunConfig

CODECS: dict[str, dict[str, Any]] = {
    "h264.mp4": {"options": {"bf": "2"}},
    "h264.ts": {"options": {"bf": "2"}},
    "hevc.mkv": {"codec": "libx265"},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "av1.mkv": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
}
# Patterns of the reasons; the first one that matches counts.
CAUSES = {
    "worker died": "process died",
    "timed out": "longer than --clip-timeout",
    "frames flagged as damaged": r"\d+ of the \d+ sampled frames are damaged",
    "decoder error": "the decoder failed after",
    "cut off or short": "cut off|gives",
    "cannot be opened": "",
}


@pytest.mark.parametrize("sampling", ["head", "uniform"])
@pytest.mark.parametrize("name", CODECS)
def test_no_flipped_bit_stops_the_run(encode: Encode, tmp_path: Path, record: Record, name: str, sampling: str) -> None:
    content = encode(name, frames=24, size=(160, 96), gop=12, **CODECS[name]).read_bytes()
    generator, count = random.Random(f"{name} {sampling}"), times(1000)
    paths = [tmp_path / f"whole-{name}"] + [tmp_path / f"{number}-{name}" for number in range(count)]
    paths[0].write_bytes(content)
    for path in paths[1:]:
        mutant = bytearray(content)
        for _ in range(generator.choice([1, 1, 4, 16])):
            mutant[generator.randrange(len(mutant))] ^= 1 << generator.randrange(8)
        path.write_bytes(mutant)
    config = RunConfig(model="frequency_tuned_v1", sampling=sampling, clip_timeout=20.0)
    with Engine(config) as engine:
        (batch,) = engine.process([pa.record_batch({"src": list(map(str, paths))})])
        assert engine.counts.rows == count + 1
    whole, *rows = batch.to_pylist()
    assert whole["saliency_status"] == "ok"
    seen: Counter[str] = Counter()
    for row in rows:
        if row["saliency_status"] == "ok":
            same = row["saliency_mean"] == whole["saliency_mean"] and row["saliency_var"] == whole["saliency_var"]
            seen["ok, the same numbers" if same else "ok, other numbers"] += 1
        else:
            assert row["saliency_status"] == "decode-failed"
            seen[next(cause for cause, words in CAUSES.items() if re.search(words, row["saliency_error"]))] += 1
    record(f"07-bit-flips-{sampling}-{name.replace('.', '-')}", mutants=count, **seen)
    assert seen.total() == count
    assert seen["worker died"] == seen["timed out"] == 0
