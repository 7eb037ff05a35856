"""What the VMAFx materializer's users rely on: its options, columns, statuses, exit codes and last line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.in_process import run
from tests.small_models import miniature

TAGGED = {"saliency_model_id": "mini", "saliency_aggregator": "mean", "saliency_ema_alpha": 0.25}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "mini.onnx"
    path.write_bytes(miniature().SerializeToString())
    return path


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        names = list(dict.fromkeys(name for row in rows for name in row))
        pq.write_table(pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_all_its_options_are_taken(tmp_path: Path, clips: dict[str, Path], model: Path, suffix: str) -> None:
    kept = {"clip": "x.mp4", "saliency_mean": 0.5, "saliency_var": 0.125, "m": "of another tool"}
    source = write(tmp_path / f"in.{suffix}", [{"clip": clips["bikes"].name}, kept])
    output, audit = tmp_path / "new" / "folder" / f"out.{suffix}", tmp_path / "audits" / "audit.json"
    done = run(
        *("--input", source, "--output", output, "--audit-json", audit, "--path-column", "clip"),
        *("--width-column", "w", "--height-column", "h", "--root", clips["bikes"].parent, "--model-path", model),
        *("--max-frames", "4", "--frame-samples", "4", "--temporal-aggregator", "mean", "--ema-alpha", "0.25"),
        *("--status-column", "s", "--model-id-column", "m", "--aggregator-column", "a", "--ema-alpha-column", "e"),
        *(
            "--default-width",
            "64",
            "--default-height",
            "48",
            "--ffmpeg-bin",
            "/x",
            "--ffprobe-bin",
            "/y",
            "--keep-others",
        ),
        text=True,
    )
    last = done.stderr.splitlines()[-1]
    assert re.match(r"saliency-batch: total=2 ok=1 skipped=1 failed=0\b", last)
    new, old = read(output)
    assert (new["s"], new["m"], new["a"], new["e"]) == ("ok", "mini", "mean", 0.25)  # alpha whatever the aggregator
    assert {name: value for name, value in old.items() if value is not None} == {**kept, "s": "skipped-existing"}
    summary = json.loads(audit.read_text())["summary"]
    assert {name: summary[name] for name in ("total", "ok", "skipped_existing", "failed")} == {
        "total": 2,
        "ok": 1,
        "skipped_existing": 1,
        "failed": 0,
    }


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_rows_of_one_clip_share_one_failure_and_exit_codes_tell(
    tmp_path: Path, clips: dict[str, Path], model: Path, suffix: str
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video" * 50)
    names = ["broken.mp4", "gone.mp4", str(clips["bikes"]), "broken.mp4", "raw.yuv"]
    (tmp_path / "raw.yuv").write_bytes(bytes(64 * 48 * 3 // 2))
    source = write(tmp_path / f"in.{suffix}", [{"src": name} for name in names])
    output = tmp_path / f"out.{suffix}"
    common = ("--input", source, "--output", output, "--model-path", model, "--root", tmp_path)
    run(*common, "--audit-json", tmp_path / "audit.json", code=1)
    rows = read(output)
    statuses = ["decode-failed", "missing-source", "ok", "decode-failed", "missing-geometry"]
    assert [row["saliency_status"] for row in rows] == statuses
    assert rows[0]["saliency_error"] == rows[3]["saliency_error"]
    for row in rows:
        made = {name: row.get(name) for name in ("saliency_mean", "saliency_var", *TAGGED)}
        assert all((value is None) == (row["saliency_status"] != "ok") for value in made.values())
    assert json.loads((tmp_path / "audit.json").read_text())["clips"]["failed"] == 1
    run(*common, "--max-frames", "0", code=2)
    (tmp_path / f"good.{suffix}").write_bytes(write(source, [{"src": str(clips["bikes"])}]).read_bytes())
    run("--input", tmp_path / f"good.{suffix}", "--output", output, "--model-path", model, code=0)


@pytest.mark.parametrize("role", ["mean", "status", "model_id", "aggregator", "ema_alpha"])
def test_an_empty_name_leaves_a_column_out(role: str, tmp_path: Path, clips: dict[str, Path], model: Path) -> None:
    source = write(tmp_path / "in.jsonl", [{"src": str(clips["bikes"])}])
    option = f"--{role.replace('_', '-')}-column"
    run("--input", source, "--output", tmp_path / "out.jsonl", "--model-path", model, option, "")
    (row,) = read(tmp_path / "out.jsonl")
    assert f"saliency_{role}" not in row
    assert len(row) == 7  # the path, and eight columns less one, less an error that is null
