"""Published scores and features: joined as they are, and predicted as well as their paper says."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.conftest import PROJECT

from saliency_engine.jobs.answer.run import answer_tables
from saliency_engine.jobs.answer.settings import Settings
from saliency_engine.jobs.mos_prep.run import prepare
from saliency_engine.jobs.mos_prep.settings import Settings as MosSettings


@pytest.fixture(scope="module")
def published() -> Path:
    """The folder with VIDEVAL's tables; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SALIENCY_TEST_MOS") or PROJECT.parent / "shared" / "mos")
    if not folder.is_dir():
        pytest.skip(f"no published scores in {folder} (set SALIENCY_TEST_MOS)")
    return folder


def join(published: Path, corpus: str, output: Path) -> str:
    scores = str(published / f"{corpus}_scores.csv")
    tables = [str(published / f"{corpus}_videval.csv"), scores]
    prepare(MosSettings(tables=tables, labels=[scores], output=str(output)))
    return str(output)


def test_score_tables_are_joined_as_they_are(published: Path, tmp_path: Path) -> None:
    konvid = pq.read_table(join(published, "konvid_1k", tmp_path / "konvid.parquet"))
    first = konvid.slice(0, 1).to_pylist()[0]
    assert (konvid.num_rows, first["key"]) == (1200, "3339962845")
    assert (first["mos"], first["bitrate"]) == (4.64, 704684)
    live = pq.read_table(join(published, "live_vqc", tmp_path / "live.parquet"))
    first = live.slice(0, 1).to_pylist()[0]
    assert (live.num_rows, first["key"], first["mos_raw_0_100"]) == (585, "A001.mp4", 80.232)
    assert first["mos"] == pytest.approx(1 + 4 * 0.80232)


def test_the_papers_features_are_worth_what_it_says(published: Path, tmp_path: Path) -> None:
    """LIVE-VQC; docs/mos.md has both corpora, and more repeats."""
    table = join(published, "live_vqc", tmp_path / "live.parquet")
    settings = Settings(tables=[table], base="videval_*", add=["bitrate"], regressor=["svr"], repeats=2, resamples=100)
    (one,) = answer_tables(settings)
    medians = one.chosen.fold_medians["base"]
    assert (medians["srocc"], medians["plcc"]) == pytest.approx((0.7522, 0.7514), abs=0.02)
    assert one.verdict == "not shown to help"
