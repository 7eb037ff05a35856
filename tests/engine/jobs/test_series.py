"""``run --series``: the values of every sampled frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow.parquet as pq
import pytest
from tests.clips import Encode
from tests.rows import write_clips, write_rows
from tests.small_models import miniature

from saliency_engine import compute_clip
from saliency_engine.errors import ConfigError
from saliency_engine.jobs.points import expand
from saliency_engine.jobs.run import run_sweep


@pytest.fixture
def clip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: Encode) -> Path:
    """A clip of 25 frames a second, some of them shown longer, in a table in the current folder; and two models."""
    monkeypatch.chdir(tmp_path)
    onnx.save(miniature(), "one.onnx")
    onnx.save(miniature(weights=np.full((1, 3, 3, 3), -0.2, np.float32)), "two.onnx")
    clip = encode("series.mp4", frames=8, pts=[0, 1, 2, 4, 5, 9, 10, 11])
    write_clips(tmp_path / "in.jsonl", [clip, clip, tmp_path / "gone.mp4"])
    return clip


def run(output: str, **options: Any) -> None:
    job, points = expand({"input": "in.jsonl", "output": output, "quiet": True, "decode_workers": 1, **options})
    run_sweep(job, points)


def test_a_row_for_each_frame_of_each_clip_and_model(clip: Path) -> None:
    aggregators = ("mean", "ema:0.3")
    run(
        "{model_id}.{aggregator}.jsonl",
        model=("one.onnx", "two.onnx"),
        temporal_aggregator=aggregators,
        series="s.parquet",
    )
    rows = pq.read_table("s.parquet").to_pylist()
    assert [(row["clip"], row["model_id"], row["frame"]) for row in rows] == [
        (str(clip), model, frame) for model in ("one", "two") for frame in range(8)
    ]
    assert [row["pts"] for row in rows] == pytest.approx([n / 25 for n in (0, 1, 2, 4, 5, 9, 10, 11)] * 2)
    for at, model in enumerate(("one.onnx", "two.onnx")):
        alone, own = compute_clip(clip, model=model), rows[8 * at : 8 * at + 8]
        for name, values in (("mean", alone.means), ("var", alone.variances), ("motion", alone.motion)):
            assert [row[name] for row in own] == pytest.approx(values.tolist(), abs=1e-9)
    # The memo keeps all of it; what rows keep their numbers is not in it.
    run("again.jsonl", model="one.onnx", temporal_aggregator="max", series="again.parquet")
    assert pq.read_table("again.parquet").to_pylist() == rows[:8]
    write_rows(Path("in.jsonl"), [{"src": str(clip), "saliency_mean": 0.5, "saliency_var": 0.1}])
    run("kept.jsonl", model="one.onnx", series="kept.parquet")
    assert pq.read_table("kept.parquet").num_rows == 0


@pytest.mark.usefixtures("clip")
@pytest.mark.parametrize(
    ("options", "words"),
    [({"series": "s.jsonl"}, "name it .parquet or .arrow"), ({"series": "out.jsonl"}, "would overwrite")],
)
def test_what_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run("out.jsonl", model="one.onnx", **options)
