"""Codecs in containers, whole and spoiled: uniform sampling gives the frames of decoding in order, bit by bit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.encoders import CONTAINERS, encoders, write_clips
from tests.in_order import outcome
from tests.torture.conftest import Record, times


def test_seeking_gives_the_frames_of_decoding_in_order(tmp_path: Path, record: Record) -> None:
    counts: Counter[str] = Counter()
    differing, reasons = [], Counter[str]()
    codecs, containers = set(), set()
    every = encoders()
    for codec in every[:: max(1, len(every) // times(len(every)))]:
        for suffix in CONTAINERS:
            for made in write_clips(tmp_path, codec, suffix):
                for path in made:
                    result, _, reason = outcome(path).partition(": ")
                    kind = "whole" if path is made[0] else path.stem.rpartition("-")[2]
                    counts[f"{kind}, {result}"] += 1
                    if result == "same" and path is made[0]:
                        codecs.add(codec)
                        containers.add(suffix)
                    if result == "differs":
                        differing.append(path.name)
                        print(path.name, flush=True)
                    if reason:
                        reasons[reason] += 1
                        print(path.name, reason, flush=True)
                    path.unlink(missing_ok=True)
    record(
        "20-seeking",
        codecs=len(codecs),
        containers=len(containers),
        outcomes=dict(sorted(counts.items())),
        differing=differing,
        refusals=dict(reasons.most_common(12)),
    )
    assert not differing
