"""The page of ``compare``, in a browser where there is one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.browser import check_page, needs_chromium
from tests.engine.conftest import command
from tests.engine.jobs.compare.rows_to_compare import compare, rows_of
from tests.in_process import stderr_of
from tests.rows import write_rows
from tests.small_models import miniature


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, clips: dict[str, Path]) -> Path:
    """A comparison of two aggregators on real clips, with scores that are made up."""
    folder = tmp_path_factory.mktemp("compare")
    rows = []
    for place, name in enumerate(sorted(clips)):
        clip = shutil.copy(clips[name], folder / f"{name} & <b>.mp4")
        rows.append({"key": name, "src": str(clip), "mos": float(place)})
    tables = []
    for aggregator in ("mean", "max"):
        source = write_rows(folder / "in.jsonl", rows)
        tables.append(folder / f"{aggregator}.parquet")
        options = ("--model", "frequency_tuned_v1", "--temporal-aggregator", aggregator, "--quiet")
        stderr_of("run", source, "-o", tables[-1], *options)
    pq.write_table(pa.Table.from_pylist([*pq.read_table(tables[1]).to_pylist()][:-1]), tables[1])
    command("compare", *tables, "--target", "mos", "--html", folder / "page.html", "--clips", "2")
    return folder / "page.html"


def test_the_page_shows_the_clips_that_differ_most(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 8, "two clips as two sides see them: frame and overlay"
    assert "<script" not in text
    assert "&lt;b&gt;" in text
    assert "frequency_tuned_v1  ·  max of 8 frames, head" in text
    assert text.count("<svg ") == 2 + 4 + 2 + 2, "intervals and gains, mappings, scatter plots, distributions"


@needs_chromium
def test_the_page_opens_on_a_phone_and_in_the_dark(page: Path, tmp_path: Path) -> None:
    seen = check_page(page, tmp_path)
    assert "mos" in seen["headline"]
    assert len(seen["pictures"]) == 8


def test_a_page_without_clips_says_how_to_show_them(tmp_path: Path) -> None:
    tables = [write_rows(tmp_path / f"{seed}.jsonl", rows_of(seed)) for seed in (2, 3)]
    command("compare", *tables, "--html", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "--path-column" in text
    assert "data:image" not in text
    gone = [row | {"src": "gone.mp4"} for row in rows_of(2)]
    command("compare", write_rows(tables[0], gone), tables[1], "--html", tmp_path / "page.html")
    assert f"no such file: {Path.cwd() / 'gone.mp4'}" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_lists_in_json_files_have_a_page(tmp_path: Path) -> None:
    """Their numbers were compared, and then the clips of what is no table of a run were looked for."""
    tables = [tmp_path / "2.json", tmp_path / "3.json"]
    for seed, table in enumerate(tables, 2):
        table.write_text(json.dumps([row | {"src": "a.mp4"} for row in rows_of(seed)]))
    command("compare", *tables, "--html", tmp_path / "page.html")
    assert "data:image" not in (tmp_path / "page.html").read_text(encoding="utf-8")
    command("report", tables[0], "--html", tmp_path / "report.html")
    assert "All 90 rows have saliency" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_model_that_is_a_file_is_drawn_as_far_as_an_audit_names_it(tmp_path: Path, clips: dict[str, Path]) -> None:
    onnx.save(miniature(), tmp_path / "mini.onnx")
    source = write_rows(tmp_path / "in.jsonl", [{"key": "a", "src": str(clips["bikes"])}])
    tables = [tmp_path / f"{aggregator}.jsonl" for aggregator in ("mean", "max")]
    for table in tables:
        words = ("--temporal-aggregator", table.stem, "--audit-json", f"{table}.audit.json", "--quiet")
        stderr_of("run", source, "-o", table, "--model", tmp_path / "mini.onnx", *words)
    command("compare", *tables, "--html", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 4, "a frame and an overlay for either side"
    (tmp_path / "mini.onnx").unlink()
    command("compare", *tables, "--html", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.count("data:image/jpeg;base64,") == 2
    assert "no overlay: the model &#39;mini&#39; cannot be opened here" in text
    assert "--model-path" not in text


def test_many_sides_are_compared_with_the_first(tmp_path: Path) -> None:
    tables = [write_rows(tmp_path / f"{seed}.jsonl", rows_of(seed)[:9]) for seed in range(8)]
    pairs = compare(tmp_path, *tables)["pairs"]
    assert [(pair["first"], pair["second"]) for pair in pairs] == [("0", str(place)) for place in range(1, 8)]
