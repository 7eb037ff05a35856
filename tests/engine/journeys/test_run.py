"""The main job through the command line, as a user runs it: real clips, real models, real files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from tests import processes
from tests.clips import Encode
from tests.in_process import run
from tests.rows import read_rows, write_rows

Rows = list[dict[str, Any]]


# What a row gains


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_the_forks_command_works_with_only_its_name_changed(
    tmp_path: Path, clips: dict[str, Path], models: Path, suffix: str
) -> None:
    rows = [{"key": name, "src": str(path), "mos": 3.5} for name, path in clips.items()]
    source, output = tmp_path / f"full.{suffix}", tmp_path / f"full.student.{suffix}"
    if suffix == "jsonl":
        write_rows(source, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), source)
    run(
        *("--input", source, "--output", output, "--model-path", models / "saliency_student_v2.onnx"),
        *("--model-id", "saliency_student_v2", "--temporal-aggregator", "ema", "--audit-json", tmp_path / "audit.json"),
    )
    table = read_rows(output) if suffix == "jsonl" else pq.read_table(output).to_pylist()
    assert [row["key"] for row in table] == list(clips)
    for row in table:
        assert 0.0 < row["saliency_mean"] < 1.0
        assert 0.0 < row["saliency_var"] < 0.25
        assert row["mos"] == 3.5
        assert row["saliency_status"] == "ok"
        assert row["saliency_model_id"] == "saliency_student_v2"
        assert row["saliency_aggregator"] == "ema"
        assert row["saliency_ema_alpha"] == 0.6
    audit = json.loads((tmp_path / "audit.json").read_text())
    assert audit["summary"] == {"total": 4, "ok": 4, "skipped_existing": 0, "failed": 0, "rejected": 0}


def test_every_kind_of_row_has_its_status(tmp_path: Path, clips: dict[str, Path], encode: Encode) -> None:
    raw = encode("raw.yuv", size=(64, 48))
    garbage = tmp_path / "garbage.mp4"
    garbage.write_bytes(b"\0" * 5000)
    bikes = str(clips["bikes"])
    rows: Rows = [
        {"src": bikes},
        {"src": bikes, "saliency_mean": 0.25, "saliency_var": 0.125, "saliency_model_id": "older"},
        {"src": str(tmp_path / "nowhere.mp4")},
        {"src": ""},
        {"other": 1},
        {"src": str(tmp_path)},
        {"src": str(raw)},
        {"src": str(raw), "width": 64, "height": 48},
        {"src": str(garbage)},
        {"src": bikes, "saliency_mean": None, "saliency_var": 0.1},
    ]
    source, output = write_rows(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    run("--input", source, "--output", output, "--model", "frequency_tuned_v1", "--keep-others", code=1)
    written = read_rows(output)
    assert [row["saliency_status"] for row in written] == [
        "ok",
        "skipped-existing",
        "missing-source",
        "missing-source",
        "missing-source",
        "missing-source",
        "missing-geometry",
        "ok",
        "decode-failed",
        "ok",
    ]
    assert written[1] == {**rows[1], "saliency_status": "skipped-existing"}
    assert written[0]["saliency_mean"] == written[9]["saliency_mean"]
    for row in written:
        if row["saliency_status"] in {"ok", "skipped-existing"}:
            assert "saliency_error" not in row
        else:
            assert row["saliency_mean"] is None
            assert len(row["saliency_error"]) > 5


def test_overwrite_computes_rows_that_have_values(tmp_path: Path, clips: dict[str, Path]) -> None:
    rows = [{"src": str(clips["bikes"]), "saliency_mean": 9.5, "saliency_var": 9.5}]
    source, output = write_rows(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    run("--input", source, "--output", output, "--model", "frequency_tuned_v1", "--overwrite")
    (row,) = read_rows(output)
    assert row["saliency_mean"] < 1.0
    assert row["saliency_status"] == "ok"


def test_columns_can_be_renamed_and_left_out(tmp_path: Path, clips: dict[str, Path]) -> None:
    source = write_rows(tmp_path / "in.jsonl", [{"clip": clips["bikes"].name}])
    run(
        *("--input", source, "--output", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1", "--model-id", "mine"),
        *("--path-column", "clip", "--root", clips["bikes"].parent, "--mean-column", "m", "--var-column", "v"),
        *("--status-column", "s", "--model-id-column", "id", "--aggregator-column", "", "--ema-alpha-column", ""),
        *("--sampling-column", "how"),
    )
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert list(row) == ["clip", "m", "v", "s", "id", "how"]
    assert (row["s"], row["id"], row["how"]) == ("ok", "mine", "head:8@320x320")


# Formats


@pytest.mark.parametrize(
    "target", ["out.jsonl", "out.jsonl.gz", "out.ndjson.zst", "out.parquet", "out.pq", "out.arrow", "out.feather"]
)
@pytest.mark.parametrize("origin", ["in.jsonl.zst", "in.parquet", "in.arrow"])
def test_any_format_becomes_any_other(tmp_path: Path, clips: dict[str, Path], origin: str, target: str) -> None:
    rows = [
        {"src": str(clips["bikes"]), "n": 2**53 + 1, "text": "é"},
        {"src": str(clips["bikes"]), "n": 7, "text": None},
    ]
    table = pa.Table.from_pylist(rows)
    if origin == "in.parquet":
        pq.write_table(table, tmp_path / origin)
    elif origin == "in.arrow":
        with pa.ipc.new_file(tmp_path / origin, table.schema) as writer:
            writer.write_table(table)
    else:
        with pa.CompressedOutputStream(tmp_path / origin, "zstd") as stream:
            stream.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    run("--input", tmp_path / origin, "--output", tmp_path / target, "--model", "frequency_tuned_v1", "--quiet")
    written = _read_any(tmp_path / target)
    assert [{name: row[name] for name in ("src", "n", "text")} for row in written] == rows
    assert [row["saliency_status"] for row in written] == ["ok", "ok"]


def _read_any(path: Path) -> Rows:
    if path.suffix in {".parquet", ".pq"}:
        return list(pq.read_table(path).to_pylist())
    if path.suffix in {".arrow", ".feather"}:
        with pa.ipc.open_file(path) as reader:
            return list(reader.read_all().to_pylist())
    with pa.input_stream(str(path)) as stream:
        return [json.loads(line) for line in stream.read().decode().splitlines()]


def test_pipes_carry_lines_and_arrow_streams(clips: dict[str, Path]) -> None:
    row = {"src": str(clips["bikes"])}
    options = ("--input", "-", "--output", "-", "--model", "frequency_tuned_v1")
    lines = processes.run(*options, input=json.dumps(row).encode() + b"\n").stdout
    assert json.loads(lines)["saliency_status"] == "ok"

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema({"src": pa.string()})) as writer:
        writer.write_table(pa.Table.from_pylist([row]))
    arrow = processes.run(*options, input=sink.getvalue().to_pybytes()).stdout
    (row,) = pa.ipc.open_stream(arrow).read_all().to_pylist()
    assert row["saliency_mean"] == json.loads(lines)["saliency_mean"]


def test_every_rows_own_bytes_survive(tmp_path: Path, clips: dict[str, Path]) -> None:
    src = json.dumps(str(clips["bikes"])).encode()
    before = [
        b'\xef\xbb\xbf{"src": %s, "x": NaN, "y": [Infinity, -Infinity]}\r\n' % src,
        b'{"src":%s,"big":9007199254740993,"bigger":1180591620717411303424,"exp":1E5,"z":-0.0}\n' % src,
        b"\n",
        b'  {  "nested": {"saliency_mean": 1, "a": [{"b": "}"}]}, "src": %s, "t": "\\u00e9 \xc3\xa9 \\"q\\" {" }  \n'
        % src,
        b" \t\r\n",
        b'{"src": %s, "last": true}' % src,
    ]
    (tmp_path / "in.jsonl").write_bytes(b"".join(before))
    run("--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1")
    after = (tmp_path / "out.jsonl").read_bytes().splitlines(keepends=True)
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        if b"{" not in old:
            assert new == old
            continue
        end = old.rindex(b"}")
        head, tail = old[:end].rstrip(), old[end:]
        assert new.startswith(head)
        assert new.endswith(tail)
        assert b'"saliency_status": "ok"' in new[len(head) :]


def test_a_file_name_need_not_be_text(tmp_path: Path, clips: dict[str, Path]) -> None:
    name = b"clip \xff \xe2\x98\x83\n.mp4"
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(clips["bikes"].read_bytes())
    source = write_rows(tmp_path / "in.jsonl", [{"src": os.fsdecode(name)}, {"src": os.fsdecode(b"gone \xff.mp4")}])
    for _ in range(2):
        options = ("--output", tmp_path / "out.jsonl", "--root", tmp_path, "--model", "frequency_tuned_v1")
        audit = os.fsdecode(os.fsencode(tmp_path) + b"/audit \xff.json")
        run("--input", source, *options, "--audit-json", audit, code=1)
        assert [row["saliency_status"] for row in read_rows(tmp_path / "out.jsonl")] == ["ok", "missing-source"]
        assert json.loads(Path(audit).read_text())["config"]["audit_json"] == audit
