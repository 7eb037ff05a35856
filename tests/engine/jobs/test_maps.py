"""``run --maps``: the aggregated map of each clip, as a file."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.clips import Encode
from tests.rows import read_rows, write_clips
from tests.small_models import miniature

from saliency_engine import compute_clip
from saliency_engine.errors import ConfigError
from saliency_engine.jobs.points import expand
from saliency_engine.jobs.run import run_sweep


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encode: Encode) -> Path:
    """The current folder: two clips, one of them in a folder, one that is none, their table, and a model."""
    monkeypatch.chdir(tmp_path)
    onnx.save(miniature(), "one.onnx")
    (tmp_path / "clips" / "in").mkdir(parents=True)
    shutil.copy(encode("maps-a.mp4", size=(96, 96), frames=9), "clips/a.mp4")
    shutil.copy(encode("maps-b.mp4", size=(104, 96), frames=9), "clips/in/b.mp4")
    (tmp_path / "clips" / "broken.mp4").write_bytes(b"nothing")
    write_clips(tmp_path / "in.jsonl", ["a.mp4", "in/b.mp4", "broken.mp4", "a.mp4"])
    return tmp_path


def run(**options: Any) -> list[dict[str, Any]]:
    common = {"input": "in.jsonl", "output": "{aggregator}.jsonl", "model": "one.onnx", "root": "clips"}
    job, points = expand({**common, "quiet": True, "decode_workers": 1, "maps": "maps", **options})
    return run_sweep(job, points)


def read(path: str | Path) -> NDArray[np.float64]:
    return np.asarray(Image.open(path)).astype(np.float64) / 65535


def test_a_map_for_each_clip_and_point(here: Path) -> None:
    run(temporal_aggregator=("mean", "ema:0.3", "max"))
    files = {str(path.relative_to("maps")) for path in Path("maps").rglob("*") if path.is_file()}
    assert files == {
        f"one.{name}/{file}"
        for name in ("mean", "ema0.3", "max")
        for file in ("settings.json", "a.mp4.png", "in/b.mp4.png")
    }
    for name, aggregator, alpha in (("mean", "mean", 0.6), ("ema0.3", "ema", 0.3), ("max", "max", 0.6)):
        own = read(f"maps/one.{name}/in/b.mp4.png")
        heat = compute_clip("clips/in/b.mp4", model="one.onnx").combine(aggregator, ema_alpha=alpha)
        assert own.shape == (32, 48)
        assert np.abs(own - heat).max() <= 0.5 / 65535 + 1e-7
        row = read_rows(here / f"{name}.jsonl")[1]
        assert own.mean() == pytest.approx(row["saliency_mean"], abs=1e-5)
        assert own.var() == pytest.approx(row["saliency_var"], abs=1e-5)


def test_only_what_lacks_a_map_is_decoded_again(here: Path) -> None:
    run(output="before.jsonl", maps="")
    (first,) = run()
    assert first["clips"] | {"computed": 2, "reused": 0} == first["clips"]  # the memo knew them, but no map
    (again,) = run()
    assert again["clips"] | {"computed": 0, "reused": 2} == again["clips"]
    (here / "maps/one.mean/a.mp4.png").write_bytes(b"")  # as a power failure may leave it
    (third,) = run()
    assert third["clips"] | {"computed": 1, "reused": 1} == third["clips"]
    assert read("maps/one.mean/a.mp4.png").shape == (32, 48)
    later = (here / "maps/one.mean/a.mp4.png").stat().st_mtime_ns + 10**9
    os.utime("clips/a.mp4", ns=(later, later))
    (fourth,) = run()
    assert fourth["clips"]["computed"] == 1
    run(ema_alpha=0.3)  # moves nothing in the maps of mean
    with pytest.raises(ConfigError, match=r"holds maps of other settings \(grid is '', here '4x4'\)"):
        run(map_grid="4x4")


def test_means_over_blocks(here: Path) -> None:
    run(map_grid="5x4", map_format="npy")
    own = np.load("maps/one.mean/a.mp4.npy")
    heat = compute_clip("clips/a.mp4", model="one.onnx").combine("mean")
    assert (own.dtype, own.shape) == (np.float32, (4, 5))
    # 48 columns in five blocks: from 0, 9, 19, 28 and 38; 32 rows in four of eight.
    edges = [0, 9, 19, 28, 38, 48]
    for row in range(4):
        for column in range(5):
            block = heat[8 * row : 8 * row + 8, edges[column] : edges[column + 1]]
            assert own[row, column] == pytest.approx(block.mean(), abs=1e-6)
    assert not list(here.glob("maps/**/.*"))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"map_grid": "16"}, "write it as WIDTHxHEIGHT"),
        ({"map_grid": "49x4"}, "is finer than the maps, which have 48x32 pixels"),
        ({"map_format": "jpg"}, "give one of png, npy"),
    ],
)
def test_what_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        run(**options)
