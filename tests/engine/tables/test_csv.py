"""CSV and TSV: rows that keep their bytes, rows that become columns of text, and what is refused."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tables import CONFIG, TAGS, clips_of, columns, read, run_without_clips

from saliency_engine.errors import InputError
from saliency_engine.tables.csv_edit import CsvLayout
from saliency_engine.tables.input import open_table
from saliency_engine.tables.join import Joiner, OutputColumns
from saliency_engine.types import ClipReference, ClipResult, Status

ADDED = "saliency_mean,saliency_var,saliency_status,saliency_model_id,saliency_aggregator,saliency_ema_alpha,"
ADDED += "saliency_sampling,saliency_error"
GAINED = "0.5,0.25,ok,m1,mean,0.6,head:8@320x320,"


def copied(tmp_path: Path, text: str | bytes, source: str = "in.csv", target: str = "out.csv") -> bytes:
    (tmp_path / source).write_bytes(text if isinstance(text, bytes) else text.encode())
    run_without_clips(tmp_path / source, tmp_path / target)
    return (tmp_path / target).read_bytes()


def packed_by(codec: str, data: bytes) -> bytes:
    return gzip.compress(data) if codec == "gz" else bytes(pa.compress(data, "zstd", asbytes=True))


def unpacked_by(codec: str, data: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(data), "gzip" if codec == "gz" else "zstd") as stream:
        return bytes(stream.read())


@pytest.mark.parametrize(
    "row",
    [
        "a.mp4,0012345",
        '"a.mp4",  1e5 ',
        'a.mp4,"two\nlines, ""quoted"""',
        "é.mp4,",
        '"a,b.mp4",-0.0',
        ' a.mp4,quote " inside',
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_row_keeps_its_bytes_and_gains_fields(tmp_path: Path, row: str, end: str) -> None:
    out = copied(tmp_path, f"src,mos{end}{row}{end}{end}{row}").decode()
    assert out == f"src,mos,{ADDED}{end}{row},{GAINED}{end}{end}{row},{GAINED}"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_that_of_the_first_line_and_stays(tmp_path: Path, delimiter: str) -> None:
    out = copied(tmp_path, f'\ufeff"src"{delimiter}"a,;"{delimiter}b\na.mp4{delimiter}x{delimiter}2\n')
    assert out.startswith(f'\ufeff"src"{delimiter}"a,;"{delimiter}b{delimiter}saliency_mean{delimiter}'.encode())
    assert [clip.path for clip in clips_of(read(tmp_path / "in.csv")) if clip] == ["a.mp4"]
    rows = list(csv.reader(io.StringIO(out.decode()), delimiter=delimiter))
    assert [len(row) for row in rows] == [11, 11]


@pytest.mark.parametrize("codec", ["gz", "zst"])
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_packed_rows_keep_their_bytes(tmp_path: Path, kind: str, codec: str) -> None:
    delimiter = "," if kind == "csv" else "\t"
    text = f'\ufeffsrc{delimiter}mos\r\n"a.mp4"{delimiter}007\r\n\r\nb.mp4{delimiter}1e5'.encode()
    plain = copied(tmp_path, text, f"in.{kind}", f"out.{kind}")
    packed = packed_by(codec, text)
    once, again = (copied(tmp_path, packed, f"in.{kind}.{codec}", f"{n}.{kind}.{codec}") for n in (1, 2))
    assert unpacked_by(codec, once) == plain
    assert once == again
    after = copied(tmp_path, once, f"in.{kind}.{codec}", f"out.{kind}")
    assert after == plain.replace(b"ok", b"skipped-existing")


def test_packed_rows_that_cannot_be_read_stop_the_run_before_its_first_row(tmp_path: Path) -> None:
    rows = "src,mos\n" + "a.mp4,1\n" * 9
    for codec in ("gz", "zst"):
        with pytest.raises(InputError, match=rf"in\.csv\.{codec}, line 11 is not UTF-8: .* iconv"):
            copied(tmp_path, packed_by(codec, (rows + "é,1").encode("latin-1")), f"in.csv.{codec}", "out.csv")
        with pytest.raises(InputError, match=rf"in\.csv\.{codec}: "):
            copied(tmp_path, packed_by(codec, rows.encode())[:-9], f"in.csv.{codec}", "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("before", "delimiter"), [("", ","), ("", ";"), ("", "\t"), ("\ufeff", ";"), ("\n\r\n\n\n\n\n\n", ",")]
)
def test_rows_come_through_a_pipe(tmp_path: Path, before: str, delimiter: str) -> None:
    text = f'{before}src{delimiter}"mos"\na.mp4{delimiter}007\n'.encode()
    plain = copied(tmp_path, text)
    assert run_without_clips("-", "-", text) == plain
    assert plain.startswith(text.partition(b"\na.mp4")[0])
    run_without_clips("-", tmp_path / "out.parquet", text)
    table = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["src"], row["mos"], row["saliency_mean"]) for row in table] == [("a.mp4", "007", 0.5)]


def test_what_a_pipe_holds_that_is_neither_rows_nor_lines_is_told_by_its_columns() -> None:
    with pytest.raises(InputError, match=r"stdin: no column 'src' .* the input's columns: 'no JSON at all'"):
        read("-", b'no JSON at all\n{"src": "a.mp4"}\n')
    with pytest.raises(InputError, match=r"stdin: it is UTF-16 or UTF-32"):
        read("-", "src,mos\na.mp4,1".encode("utf-16"))


def test_what_a_run_wrote_is_replaced_in_place_and_kept_rows_keep_their_numbers_spelling(tmp_path: Path) -> None:
    before = "saliency_var,src,saliency_mean,note,saliency_status\n.50,a.mp4,5e-1,x,old\n,b.mp4,,y,old\n"
    rest = "saliency_model_id,saliency_aggregator,saliency_ema_alpha,saliency_sampling,saliency_error"
    after = f"saliency_var,src,saliency_mean,note,saliency_status,{rest}\n"
    after += ".50,a.mp4,5e-1,x,skipped-existing,,,,,\n0.25,b.mp4,0.5,y,ok,m1,mean,0.6,head:8@320x320,\n"
    once = copied(tmp_path, before)
    assert once.decode() == after
    again = copied(tmp_path, once)
    assert again.decode() == after.replace("ok", "skipped-existing")


def test_a_failure_leaves_no_old_number_and_its_reason_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("src,saliency_mean,saliency_error,saliency_var\na.mp4,0.5,,nan\n")
    with open_table(str(tmp_path / "in.csv"), columns()) as table:
        gained = OutputColumns(CONFIG, table.schema)
        (batch,) = [batch for batch in table if batch.rows]
        lines = Joiner(gained, TAGS).join(batch, [ClipResult(Status.DECODE_FAILED, reason='it says "no",\nand ends')])
    assert isinstance(gained.schema, CsvLayout)
    assert lines.texts == [b'a.mp4,,"it says ""no"",\nand ends",,decode-failed,,,,\n']


def test_csv_becomes_columns_of_text_but_for_what_the_run_writes(tmp_path: Path) -> None:
    copied(tmp_path, "src,key,width,saliency_mean\na.mp4,0012345,640,\n\nb.mp4,,1e3,0.1\n", target="out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    text, number = pa.string(), pa.float64()
    kinds = dict(zip(table.schema.names, table.schema.types, strict=True))
    assert [kinds[name] for name in ("src", "key", "width", "saliency_mean")] == [text, text, text, number]
    assert table.column("key").to_pylist() == ["0012345", ""]
    assert table.column("saliency_mean").to_pylist() == [0.5, 0.5]
    assert clips_of(read(tmp_path / "in.csv")) == [ClipReference("a.mp4", 640), ClipReference("b.mp4")]


def test_without_a_header_columns_are_numbered_and_the_output_names_them(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"a.mp4,62.5\r\nb.mp4,7\r\n")
    for as_arrow in (False, True):
        with open_table(str(path), columns(path_column="column_1"), header=False, lines_as_arrow=as_arrow) as table:
            assert clips_of(list(table)) == [ClipReference("a.mp4"), ClipReference("b.mp4")]
            assert table.count_rows() == 2
    with open_table(str(path), columns(path_column="column_1"), header=False) as table:
        assert isinstance(table.schema, CsvLayout)
        assert table.schema.header == b"column_1,column_2\r\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"in\.csv: it is empty: a CSV file begins with a line that names its columns"),
        ("src,mos\na.mp4,é".encode("latin-1"), r"in\.csv, line 2 is not UTF-8: .* iconv -f WINDOWS-1252 -t UTF-8"),
        ("src,mos\na.mp4,1".encode("utf-16"), r"in\.csv: it is UTF-16 or UTF-32: .* iconv -f UTF-16"),
        ("src,mos\na.mp4,1".encode("utf-16-le"), r"in\.csv: it is UTF-16 or UTF-32"),
        (b"clip,mos\na.mp4,1\n", r"no column 'src' \(--path-column\); the input's columns: 'clip', 'mos'"),
        (b"src,mos,src\na,1,2\n", r"the input has 2 columns named 'src': rename"),
        (b"src,saliency_mean,saliency_mean\na,1,2\n", r"the input has 2 columns named 'saliency_mean': rename"),
        (b'src,"mos\na,1\n', r"line 1: a quoted field has no end"),
    ],
)
def test_what_cannot_be_read_is_an_error_with_a_cure(tmp_path: Path, text: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        copied(tmp_path, text)


@pytest.mark.parametrize("target", ["out.csv", "out.parquet"])
def test_rows_that_are_none_are_rejected_whole_and_the_others_run(tmp_path: Path, target: str) -> None:
    bad = {
        3: ("x,1,2", "3 fields, where the header has 2"),
        5: ('"x"y,1', "text follows the end of a quoted field"),
        6: ("x\ry,1", "a carriage return stands inside a field"),
        7: ("x,much", "'saliency_mean' holds 'much', but this run writes a number there"),
        9: ('x,"1\na,2\n', "a quoted field has no end"),
    }
    lines = {number: text for number, (text, _) in bad.items()} | {1: "src,saliency_mean", 2: "a,", 4: "b,1", 8: "c,"}
    copied(tmp_path, "\n".join(lines[number] for number in sorted(lines)), target=target)
    records = [json.loads(line) for line in (tmp_path / f"{target}.rejects.jsonl").read_text().splitlines()]
    assert {record["line"]: record["text"] for record in records} == {
        n: text.strip("\n") for n, (text, _) in bad.items()
    }
    assert all(bad[record["line"]][1] in record["reason"] for record in records)
    done = read(tmp_path / target, overwrite=True)
    assert [clip.path for clip in clips_of(done) if clip] == ["a", "b", "c"]


@pytest.mark.parametrize("target", ["out.csv", "out.tsv"])
def test_every_kind_of_column_has_a_text(tmp_path: Path, target: str) -> None:
    values: dict[str, Any] = {
        "src": ["a\tb,c", 'say "x"'],
        "yes": [True, None],
        "n": [2**60, None],
        "x": [0.1, float("nan")],
        "list": [[1, 2], []],
        "bytes": [b"\xff", None],
    }
    pq.write_table(pa.table(values), tmp_path / "in.parquet")
    run_without_clips(tmp_path / "in.parquet", tmp_path / target)
    with (tmp_path / target).open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t" if target.endswith("tsv") else ","))
    assert rows[0][:6] == list(values)
    assert rows[1][:8] == ["a\tb,c", "true", str(2**60), "0.1", "[1, 2]", "/w==", "0.5", "0.25"]
    assert rows[2][:6] == ['say "x"', "", "", "nan", "[]", ""]


def test_random_tables_survive_from_format_to_format(tmp_path: Path) -> None:
    rng = random.Random(5)
    letters = ["a", "é", ",", '"', "\n", "\r\n", ";", " ", "\t", "0", ""]
    rows = [["x" + "".join(rng.choices(letters, k=6)) for _ in range(3)] for _ in range(300)]
    with (tmp_path / "in.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["src", "b", "c"], *rows])
    for source, target in (("in.csv", "1.csv"), ("1.csv", "2.tsv"), ("2.tsv", "3.parquet"), ("3.parquet", "4.csv")):
        run_without_clips(tmp_path / source, tmp_path / target)
    for name, delimiter in (("1.csv", ","), ("2.tsv", "\t"), ("4.csv", ",")):
        with (tmp_path / name).open(newline="") as file:
            assert [row[:3] for row in csv.reader(file, delimiter=delimiter)][1:] == rows
    assert [
        row[:3] for row in map(list, zip(*pq.read_table(tmp_path / "3.parquet").to_pydict().values(), strict=True))
    ] == rows


def test_csv_comes_in_bounded_batches(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("src\n" + "".join(f"{i:08d}.mp4\n" for i in range(50_000)))
    with open_table(str(tmp_path / "in.csv"), columns()) as table:
        seen = [(batch.rows, table.fraction) for batch in table]
    assert max(size for size, _ in seen) <= 8192
    assert sum(size for size, _ in seen) == 50_000
    assert seen[-1][1] == pytest.approx(1)
