"""The memo of an output's folder, which all outputs there share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.engine.journeys.memo.runs import MODEL, clips_of, memo
from tests.in_process import run

from saliency_engine.config import MEMO_NAME


def test_fourteen_outputs_compute_every_clip_once(here: Path) -> None:
    variants: list[dict[str, Any]] = [{"temporal_aggregator": name} for name in ("mean", "max", "motion-weighted")]
    variants += [{"temporal_aggregator": "motion-balanced"}]
    variants += [{"temporal_aggregator": "ema", "ema_alpha": tenths / 10} for tenths in range(1, 11)]
    clips = [clips_of(f"out/{number}.jsonl", **options) for number, options in enumerate(variants)]
    assert clips == [(4, 0), *[(0, 4)] * 13]
    memo("check", "out")
    assert {path.name for path in (here / "out").iterdir()} == {MEMO_NAME, *(f"{n}.jsonl" for n in range(14))}
    for number in (1, 5):
        assert clips_of("alone.jsonl", **variants[number], memo="off") == (4, 0)
        assert (here / "alone.jsonl").read_bytes() == (here / "out" / f"{number}.jsonl").read_bytes()


def test_an_output_with_a_memo_of_its_own_goes_on_with_it(here: Path) -> None:
    assert clips_of("old.jsonl", memo="old.jsonl.memo.sqlite") == (4, 0)
    (here / "old.jsonl").unlink()
    assert clips_of("old.jsonl") == (0, 4)
    assert not (here / MEMO_NAME).exists()
    memo("merge", ".", "old.jsonl.memo.sqlite")
    assert clips_of("new.jsonl") == (0, 4)


def test_a_pipe_has_no_memo(here: Path) -> None:
    run("in.jsonl", "-o", "-", "--model", MODEL, cwd=here)
    assert not list(here.glob("*.sqlite*"))
