"""``saliency-batch report``: a page of a run that shows what the table and its audit say, and is worth a look."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from tests.browser import check_page, needs_chromium
from tests.engine.conftest import command
from tests.in_process import stderr_of
from tests.rows import read_rows, write_clips, write_rows

from saliency_engine.errors import ConfigError, InputError


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, clips: dict[str, Path]) -> Path:
    """The output of a run over real clips, one of which is cut off and two of which are gone; its audit beside it."""
    folder = tmp_path_factory.mktemp("report")
    paths = [Path(shutil.copy(clip, folder)) for clip in clips.values()]
    (folder / "cut <i>.mp4").write_bytes(paths[0].read_bytes()[:20_000])
    paths += [folder / "cut <i>.mp4", folder / "gone1.mp4", folder / "gone2.mp4"]
    source = write_clips(folder / "in.jsonl", paths)
    options = ("--model", "frequency_tuned_v1", "--temporal-aggregator", "ema", "--audit-json", folder / "audit.json")
    stderr_of("run", source, "-o", folder / "out.jsonl", *options, code=1)
    return folder / "out.jsonl"


@pytest.fixture(scope="module")
def page(table: Path) -> Path:
    command("report", table)
    return table.with_name("out.jsonl.html")


def text_of(page: Path) -> str:
    """What a reader reads, without markup."""
    text = re.sub(r"<style>.*?</style>|<[^>]*>", " ", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return " ".join(text.split())


def test_the_page_tells_what_became_of_the_rows(page: Path, table: Path) -> None:
    text = text_of(page)
    assert "4 of 7 rows have saliency" in text
    assert re.search(r"missing-source no such file: \S+gone1.mp4 2 ", text), "two rows with one reason"
    assert re.search(r"decode-failed [^.]+ 1 ", text)
    assert "frequency_tuned_v1 ema head:8@320x320 0.6 4 " in text
    assert text.index("carphone_distorted.mp4") < text.index("bigbuckbunny.mp4"), "from the lowest to the highest mean"
    rows = {Path(row["src"]).stem: row for row in read_rows(table)}
    for name in ("bikes", "bigbuckbunny", "carphone_pristine"):
        assert f"{name}.mp4 mean {rows[name]['saliency_mean']:.4f}" in text
    markup = page.read_text(encoding="utf-8")
    assert markup.count("data:image/jpeg;base64,") == 8, "four clips: a frame and an overlay of each"
    assert "<i>" not in markup


def test_settings_times_and_provenance_are_those_of_the_audit(page: Path, table: Path) -> None:
    text, audit = text_of(page), json.loads(table.with_name("audit.json").read_text())
    assert "--temporal-aggregator ema" in text
    assert "--max-frames" not in text, "it had its default"
    assert audit["model"]["sha256"] in text
    assert audit["run_provenance"]["outputs"]["output"]["sha256"] in text
    slowest = audit["slowest_clips"]
    assert sorted(Path(clip["path"]).stem for clip in slowest) == [
        "bigbuckbunny",
        "bikes",
        "carphone_distorted",
        "carphone_pristine",
    ]
    assert [clip["seconds"] for clip in slowest] == sorted((clip["seconds"] for clip in slowest), reverse=True)
    assert sum(clip["seconds"] for clip in slowest) <= audit["stages"]["decode"]["seconds"] + 0.01
    assert "seconds to decode" in text


@needs_chromium
def test_the_page_opens_on_a_phone_and_in_the_dark(page: Path, tmp_path: Path) -> None:
    seen = check_page(page, tmp_path)
    assert seen["headline"] == "4 of 7 rows have saliency"
    assert len(seen["pictures"]) == 8


def test_a_table_alone_has_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"name": f"{place:03d}", "v1_mean": place / 100, "v1_var": 0.1, "v1_p90": 0.2, "v1_model_id": f"m{place % 2}"}
        for place in range(50)
    ]
    table = write_rows(tmp_path / "out.jsonl", [*rows, {"name": "x", "v1_mean": None, "v1_var": None}])
    command("report", table, "--prefix", "v1_", "--html", tmp_path / "page.html")
    assert capsys.readouterr().out == f"{tmp_path / 'page.html'}\n"
    text = text_of(tmp_path / "page.html")
    assert "50 of 51 rows have saliency" in text
    assert "No audit was found beside the table" in text
    assert "made with 2 settings" in text
    assert " p90 " in text, "every number under the prefix has its distribution"
    with pytest.raises(InputError, match=r"out.jsonl: there is no column 'saliency_mean'; --prefix names"):
        command("report", table)


def test_a_table_of_a_sweep_names_the_prefixes_that_there_are(tmp_path: Path) -> None:
    row = {f"s_{name}_{role}": 0.1 for name in ("max", "ema0.3") for role in ("mean", "var", "model_id", "p90")}
    with pytest.raises(InputError, match=r"It has --prefix s_max_ or s_ema0\.3_$"):
        command("report", write_rows(tmp_path / "out.jsonl", [row]))


@pytest.mark.parametrize("mean", ["high", None])
def test_a_table_without_a_number_has_a_page_that_says_so(tmp_path: Path, mean: str | None) -> None:
    rows = [{"src": "a.mp4", "saliency_mean": mean, "saliency_var": mean, "saliency_status": "ok"}] * 3
    command("report", write_rows(tmp_path / "out.jsonl", rows))
    assert "None of the 3 rows has a number" in text_of(tmp_path / "out.jsonl.html")


def test_numbers_that_are_no_saliency_and_less_than_no_clips_are_errors(tmp_path: Path) -> None:
    rows = [{"saliency_mean": mean, "saliency_var": 0.1} for mean in (0.5, 1e308)]
    table = write_rows(tmp_path / "out.jsonl", rows)
    with pytest.raises(InputError, match=r"column 'saliency_mean' holds 1e\+308 in row 2, where numbers from 0 to 1"):
        command("report", table)
    with pytest.raises(ConfigError, match="--clips is -3"):
        command("report", table, "--clips", "-3")


def test_numbers_that_differ_by_rounding_have_a_distribution(tmp_path: Path) -> None:
    rows = [{"saliency_mean": 0.1 + place * 2e-17, "saliency_var": 1e-9 * place} for place in range(3)]
    command("report", write_rows(tmp_path / "out.jsonl", rows))
    assert "All 3 rows have saliency" in text_of(tmp_path / "out.jsonl.html")


def test_only_the_audit_of_this_table_is_taken(table: Path, tmp_path: Path) -> None:
    own = shutil.copy(table, tmp_path / "other.jsonl")
    shutil.copy(table.with_name("audit.json"), tmp_path / "audit.json")
    command("report", own, "--clips", "0")
    assert "No audit was found" in text_of(tmp_path / "other.jsonl.html")
    command("report", own, "--clips", "0", "--audit", tmp_path / "audit.json")
    assert "--temporal-aggregator ema" in text_of(tmp_path / "other.jsonl.html")
    moved = shutil.copy(table, tmp_path / "out.jsonl")
    command("report", moved, "--clips", "0")
    assert "--temporal-aggregator ema" in text_of(tmp_path / "out.jsonl.html"), "a folder that was moved"
    with pytest.raises(InputError, match=r"in\.jsonl is not (an audit|JSON)"):
        command("report", own, "--audit", table.with_name("in.jsonl"))


def test_an_audit_may_be_called_anything_and_other_files_beside_it(table: Path, tmp_path: Path) -> None:
    shutil.copy(table, tmp_path / "out.jsonl")
    shutil.copy(table.with_name("audit.json"), tmp_path / "run 3.json")
    (tmp_path / "old-audit.json").symlink_to("gone.json")
    (tmp_path / "folder.json").mkdir()
    os.mkfifo(tmp_path / "fifo.json")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "list.json").write_text('[{"summary": 1}]')
    (tmp_path / "no.json").write_text("{")
    command("report", tmp_path / "out.jsonl", "--clips", "0")
    assert "--temporal-aggregator ema" in text_of(tmp_path / "out.jsonl.html")


def test_a_page_replaces_nothing_but_pages(table: Path, tmp_path: Path) -> None:
    own = shutil.copy(table, tmp_path / "out.jsonl")
    with pytest.raises(ConfigError, match=r"--html .*out.jsonl would overwrite the table .*out.jsonl"):
        command("report", own, "--html", own)
    (tmp_path / "notes.html").write_text("my notes\n")
    with pytest.raises(ConfigError, match="would overwrite text, where a web page belongs"):
        command("report", own, "--html", tmp_path / "notes.html")


def test_clips_with_fewer_keyframes_are_of_one_setting(tmp_path: Path) -> None:
    tags = {"saliency_model_id": "m", "saliency_aggregator": "mean", "saliency_status": "ok"}
    rows = [
        {"src": f"{count}.mp4", "saliency_mean": 0.5, "saliency_var": 0.1, "saliency_sampling": sampling} | tags
        for count, sampling in enumerate(("keyframes:8@320x320", "keyframes:6/8@320x320", "keyframes:1/8@320x320"))
    ]
    command("report", write_rows(tmp_path / "rows.jsonl", rows), "--clips", "0")
    assert "m mean keyframes:8@320x320 3 " in text_of(tmp_path / "rows.jsonl.html")
