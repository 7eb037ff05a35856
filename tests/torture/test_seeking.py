"""Codecs in containers, whole and spoiled: uniform sampling gives the frames of decoding in order, bit by bit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import av
from tests.encoders import CONTAINERS, SPOILED, encoders, groups_of, write_clip
from tests.in_order import outcome
from tests.torture.conftest import Record, times


def test_seeking_gives_the_frames_of_decoding_in_order(tmp_path: Path, record: Record) -> None:
    counts: Counter[str] = Counter()
    differing, reasons = [], Counter[str]()
    codecs, containers = set(), set()
    every = encoders()
    for codec in every[:: max(1, len(every) // times(len(every)))]:
        for suffix in CONTAINERS:
            for group in groups_of(codec):
                whole = tmp_path / f"{codec}-{group}.{suffix}"
                if not write_clip(whole, codec, group):
                    continue
                made = [whole]
                for name, spoil in SPOILED.items():
                    spoiled = tmp_path / f"{codec}-{group}-{name}.{suffix}"
                    try:
                        spoil(whole, spoiled)
                    except (av.FFmpegError, ValueError, LookupError, OSError, NotImplementedError):
                        continue
                    made.append(spoiled)
                for path in made:
                    result, _, reason = outcome(path).partition(": ")
                    kind = "whole" if path is whole else path.stem.rpartition("-")[2]
                    counts[f"{kind}, {result}"] += 1
                    if result == "same" and path is whole:
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
