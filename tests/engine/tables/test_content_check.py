"""Tables that are something else than their names say get one error that says what they are, before anything."""

from __future__ import annotations

import gzip
import io
import json
import sqlite3
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.in_process import run, stderr_of
from tests.rows import read_rows
from tests.tables import clips_of, columns, read, write_ipc

from saliency_engine.errors import InputError
from saliency_engine.tables import input

PAGE = b"<!DOCTYPE html>\n<html><body>404</body></html>\n"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
ROW = b'{"src": "a.mp4"}\n'
TABLE = pa.table({"src": ["a.mp4"]})


def workbook() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return file.getvalue()


def as_file(path: Path, kind: str) -> None:
    if kind == "parquet":
        pq.write_table(TABLE, path)
    elif kind == "arrow":
        write_ipc(path, TABLE)
    else:
        connection = sqlite3.connect(path)
        connection.execute("create table clips (src)")
        connection.close()


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (workbook(), "it is an Excel workbook, not {}: save it as CSV in UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "it is an old Excel workbook or .*, not {}: save it as CSV"),
        (gzip.compress(ROW, mtime=0), "it is gzip data, not {}: name it .{}.gz"),
        (pa.compress(ROW, "zstd", asbytes=True), "it is zstd data, not {}: name it .{}.zst"),
        (PAGE, "it is a web page, not {}: the download has probably failed"),
        (POINTER, "it is a Git LFS pointer, not {}: run git lfs pull"),
        ("parquet", "it is a Parquet file, not {}: name it .parquet"),
        ("arrow", "it is an Arrow file, not {}: name it .arrow"),
        ("sqlite", "it is an SQLite database, not {}: if it is this program's memo, .* saliency-batch memo show"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_text_that_is_none(tmp_path: Path, data: bytes | str, words: str, suffix: str) -> None:
    path = tmp_path / f"in.{suffix}"
    if isinstance(data, str):
        as_file(path, data)
    else:
        path.write_bytes(data)
    words = words.format("JSON lines" if suffix == "jsonl" else "CSV", suffix)
    with pytest.raises(InputError, match=rf"^{path}: {words}"):
        read(path)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("in.parquet", PAGE, "it is a web page, not a Parquet file"),
        ("in.parquet", ROW, "it is JSON, not a Parquet file: name it .jsonl"),
        ("in.pq", b"src,mos\na.mp4,3\n", "it is text, not a Parquet file: name it by what it is, such as .csv"),
        ("in.arrow", b"[" + ROW + b"]", "it is a JSON array, not an Arrow file: make JSON lines of it with jq"),
        ("in.csv", ROW, "it is JSON, not CSV: name it .jsonl"),
        ("in.csv.gz", b"src\na.mp4\n", "it is text, not gzip data"),
        ("in.jsonl.zst", gzip.compress(ROW, mtime=0), "it is gzip data, not zstd data: name it .jsonl.gz"),
    ],
)
def test_other_formats(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=words):
        read(tmp_path / name)


def test_from_a_pipe() -> None:
    for data, words in ((PAGE, "a web page, not CSV"), (workbook(), "a ZIP archive, not CSV")):
        with (
            pytest.raises(InputError, match=f"^stdin: it is {words}"),
            input.open_table("-", columns(), stdin=io.BytesIO(data)) as table,
        ):
            list(table)


@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("packed", [False, True])
def test_one_json_array(tmp_path: Path, output: str, indent: int | None, packed: bool) -> None:
    data = json.dumps([{"src": "a.mp4"}, {"src": "b.mp4"}], indent=indent).encode()
    path = tmp_path / ("in.jsonl.gz" if packed else "in.jsonl")
    path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    message = stderr_of("run", path, "-o", tmp_path / output, "--model", "frequency_tuned_v1", code=2)
    assert message == (
        f"InputError: {path}: it is one JSON array, where JSON lines have one object a line: make them with "
        "jq -c '.[]' OLD > NEW.jsonl\n"
    )
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_that_is_an_array_is_a_rejected_line(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'[{"src": "a.mp4"}]\n' + ROW)
    run("in.jsonl", "-o", "out.jsonl", "--model", "frequency_tuned_v1", "--memo", "off", code=1, cwd=tmp_path)
    assert [row["line"] for row in read_rows(tmp_path / "out.jsonl.rejects.jsonl")] == [1]


def test_headers_that_resemble_something(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    for header in ("PAR1,src", "GIF,src", "[x],src", "{x},src"):
        path.write_text(f"{header}\n1,a.mp4\n")
        assert [clip.path for clip in clips_of(read(path)) if clip] == ["a.mp4"]
