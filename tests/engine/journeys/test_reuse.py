"""``run --reuse``: where the picture stands still the model does not run again, and every number says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from tests.clips import Encode
from tests.in_process import saliency_batch, stderr_of
from tests.rows import read_rows, write_clips
from tests.small_models import miniature

from saliency_engine import compute_clip
from saliency_engine.config import RunConfig
from saliency_engine.jobs.points import expand
from saliency_engine.jobs.run import run_sweep, run_table
from saliency_engine.numerics import reference
from saliency_engine.table_job import TableJob

TAU = 0.012
AGGREGATORS = ("mean", "max", "ema:0.3", "motion-weighted", "motion-balanced")


@pytest.fixture
def here(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    encode: Encode,
    source_frames: Callable[[str, int], list[av.VideoFrame]],
) -> Path:
    """The current folder: a still clip, one with a cut, one that moves, a table of them, and two models."""
    monkeypatch.chdir(tmp_path)
    first, other = source_frames("bikes", 1)[0], source_frames("carphone_pristine", 1)[0]
    pictures = {"still": [first] * 8, "cut": [first] * 3 + [other.reformat(640, 272)] * 5}
    for name, source in pictures.items():
        shutil.copy(encode(f"{name}.y4m", source=source, size=(96, 64)), tmp_path)
    shutil.copy(encode("moves.y4m", source="carphone_distorted", frames=8, size=(96, 64)), tmp_path)
    write_clips(tmp_path / "in.jsonl", ["still.y4m", "cut.y4m", "moves.y4m"])
    onnx.save(miniature(), "one.onnx")
    onnx.save(miniature(weights=np.full((1, 3, 3, 3), -0.2, np.float32)), "two.onnx")
    return tmp_path


def run(output: str, **options: Any) -> dict[str, Any]:
    """The audit of a run in this process."""
    settings = {"model": "one.onnx", "decode_workers": 1, "memo": "m.sqlite", **options}
    job = {name: settings.pop(name) for name in ("shard", "audit_json") if name in settings}
    return run_table(TableJob(input="in.jsonl", output=output, quiet=True, **job), RunConfig(**settings))


def untagged(path: str) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if "sampling" not in name} for row in read_rows(Path(path))]


def test_the_model_runs_once_on_a_still_clip_and_again_after_a_cut(here: Path) -> None:
    for name, expected in (("still", 1), ("cut", 2)):
        write_clips(here / "in.jsonl", [f"{name}.y4m"])
        clips = run("with.jsonl", reuse=0.004)["clips"]
        assert (clips["frames"], clips["model_runs"]) == (8, expected)
        without = run("without.jsonl")
        assert "model_runs" not in without["clips"]
        assert untagged("with.jsonl") == untagged("without.jsonl")  # frames that are the same have the same map
    assert read_rows(here / "with.jsonl")[0]["saliency_sampling"] == "head:8@48x32;reuse=0.004"
    words = ("run", "in.jsonl", "-o", "said.jsonl", "--model", "one.onnx", "--memo", "off", "--reuse", "0.004")
    assert "\n  model     run on 2 of 8 frames (25%)\n" in stderr_of(*words)


@pytest.mark.parametrize("model", [("one.onnx",), ("one.onnx", "two.onnx")])
def test_all_numbers_are_those_of_the_maps_that_stand_for_the_frames(here: Path, model: tuple[str, ...]) -> None:
    """Aggregators, spread, series and maps, also where models share the frames; the independent way is in numpy."""
    job, points = expand(
        {
            **{"input": "in.jsonl", "output": "{model_id}.{aggregator}.jsonl", "quiet": True, "model": model},
            **{"temporal_aggregator": AGGREGATORS, "reuse": TAU, "extra": ("spread", "luma"), "decode_workers": 2},
            **{"series": "s.parquet", "maps": "maps", "map_format": "npy"},
        }
    )
    audits = run_sweep(job, points)
    series = pq.read_table("s.parquet").to_pylist()
    for name in model:
        whole = compute_clip("moves.y4m", model=name, extra=("luma",))
        of = _greedy(here / "moves.y4m")
        assert 1 < len(set(of)) < 8
        maps = whole.maps[of]
        stem = name.partition(".")[0]
        own = [row for row in series if row["clip"] == "moves.y4m" and row["model_id"] == stem]
        assert [row["mean"] for row in own] == pytest.approx(maps.mean((1, 2)).tolist(), abs=1e-7)
        assert [row["motion"] for row in own] == pytest.approx(whole.motion.tolist(), abs=1e-12)
        again = compute_clip("moves.y4m", model=name, reuse=TAU)
        np.testing.assert_array_equal(again.maps, whole.maps[of])
        np.testing.assert_array_equal(again.frames, whole.frames[of])
        for aggregator in AGGREGATORS:
            kind, _, alpha = aggregator.partition(":")
            heat, mean, var = reference.aggregate(maps, whole.motion, kind, float(alpha or 0.6))
            row = read_rows(here / f"{stem}.{aggregator.replace(':', '')}.jsonl")[2]
            assert row["saliency_mean"] == pytest.approx(mean, abs=1e-6)
            assert row["saliency_var"] == pytest.approx(var, abs=1e-6)
            assert row["saliency_std"] == pytest.approx(maps.mean((1, 2)).std(), abs=1e-6)
            assert row["y_avg"] == pytest.approx(whole.statistics.extras.values["y_avg"], abs=1e-9)
            drawn = np.load(here / "maps" / f"{stem}.{aggregator.replace(':', '')}" / "moves.y4m.npy")
            assert np.abs(drawn - heat).max() < 1e-3  # float16
    assert audits[0]["clips"]["model_runs"] == 1 + 2 + len(set(of))


def _greedy(clip: Path) -> list[int]:
    with av.open(str(clip)) as container:
        luma = [frame.to_ndarray()[:64].astype(np.float64) for frame in container.decode(video=0)]
    of = [0]
    for frame in range(1, 8):
        moved = np.abs(luma[frame] - luma[of[-1]]).mean() / 255 >= TAU
        of.append(frame if moved else of[-1])
    return of


def test_the_memo_keeps_each_reuse_apart(here: Path) -> None:
    means = {}
    for reuse in (0.0, TAU, 0.5):
        audit = run("out.jsonl", reuse=reuse, overwrite=True)
        assert (audit["clips"]["computed"], audit["clips"]["reused"]) == (3, 0)
        means[reuse] = read_rows(here / "out.jsonl")[2]["saliency_mean"]
    assert len(set(means.values())) == 3
    for reuse, mean in means.items():
        assert run("out.jsonl", reuse=reuse, overwrite=True)["clips"]["reused"] == 3
        assert read_rows(here / "out.jsonl")[2]["saliency_mean"] == mean
    shown = saliency_batch("memo", "show", "m.sqlite", text=True).stdout
    for tag in ("head:8@48x32 ", f"head:8@48x32;reuse={TAU} ", "head:8@48x32;reuse=0.5 "):
        assert tag in shown


@pytest.mark.usefixtures("here")
def test_reuse_of_0_is_the_run_without_it_to_the_byte() -> None:
    run("without.jsonl")
    assert run("zero.jsonl", reuse=0.0)["clips"]["reused"] == 3
    assert Path("zero.jsonl").read_bytes() == Path("without.jsonl").read_bytes()
    run("anew.jsonl", reuse=0.0, memo="off")
    assert Path("anew.jsonl").read_bytes() == Path("without.jsonl").read_bytes()


def test_rows_of_another_reuse_are_refused(here: Path) -> None:
    run("out.jsonl", reuse=TAU)
    rows = (here / "out.jsonl").read_text().splitlines(True)
    (here / "both.jsonl").write_text("".join(rows[:2]) + '{"src": "moves.y4m"}\n')
    words = ("run", "both.jsonl", "-o", "mixed.jsonl", "--model", "one.onnx", "--memo", "off")
    for reuse in ((), ("--reuse", "0.5")):
        assert f"2 with sampling 'head:8@48x32;reuse={TAU}'" in stderr_of(*words, *reuse, code=2)
    saliency_batch(*words, "--reuse", str(TAU))
    kept = [row.replace('"ok"', '"skipped-existing"') for row in rows[:2]]
    assert (here / "mixed.jsonl").read_text().splitlines(True) == [*kept, rows[2]]


@pytest.mark.usefixtures("here")
def test_shards_and_runs_that_are_taken_up_again_give_the_same_bytes() -> None:
    run("alone.jsonl", reuse=TAU, memo="off")
    for shard in ("1/2", "2/2"):
        run("", reuse=TAU, shard=shard, memo=f"{shard[0]}.sqlite")
    saliency_batch("memo", "merge", "all.sqlite", "1.sqlite", "2.sqlite")
    audit = run("merged.jsonl", reuse=TAU, memo="all.sqlite")
    assert (audit["clips"]["computed"], audit["clips"]["reused"]) == (0, 3)
    assert Path("merged.jsonl").read_bytes() == Path("alone.jsonl").read_bytes()
    audit = run("resumed.jsonl", reuse=TAU, memo="1.sqlite")  # one shard is done, as after a kill
    assert audit["clips"]["computed"] + audit["clips"]["reused"] == 3
    assert Path("resumed.jsonl").read_bytes() == Path("alone.jsonl").read_bytes()
