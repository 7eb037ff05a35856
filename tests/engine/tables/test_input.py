"""Opening and reading tables: bounded batches, pipes, and what cannot be read."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tables import WRITERS, clips_of, columns, ipc_stream, patched, read, write_ipc

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables import batches, input, output
from saliency_engine.tables.formats import Format
from saliency_engine.types import ClipReference


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "jsonl"])
def test_tables_come_in_bounded_batches_and_say_how_far_they_are(tmp_path: Path, suffix: str) -> None:
    path, count = tmp_path / f"in.{suffix}", 50_000
    WRITERS[suffix](path, pa.table({"src": [f"{i:08d}.mp4" for i in range(count)]}))
    with input.open_table(str(path), columns()) as table:
        assert table.rows_total == (count if suffix == "parquet" else None)
        seen = [(batch.first_row, batch.rows, table.fraction or 0.0) for batch in table]
    assert len(seen) > 2
    assert max(size for _, size, _ in seen) <= batches.BATCH_ROWS
    assert [first for first, _, _ in seen] == np.cumsum([0, *(size for _, size, _ in seen)])[:-1].tolist()
    assert sum(size for _, size, _ in seen) == count
    fractions = [fraction for _, _, fraction in seen]
    assert fractions == sorted(fractions)
    assert 0 < fractions[0] < 0.9
    assert fractions[-1] == pytest.approx(1)


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_wide_rows_come_in_smaller_batches(tmp_path: Path, suffix: str) -> None:
    table = pa.table({"src": [f"{i}" for i in range(256)], "blob": [bytes([i]) * (1 << 18) for i in range(256)]})
    WRITERS[suffix](tmp_path / f"in.{suffix}", table)
    seen = read(tmp_path / f"in.{suffix}")
    assert max(batch.payload.nbytes for batch in seen) <= 1.1 * batches.BATCH_BYTES
    assert pa.Table.from_batches([batch.payload for batch in seen]).equals(table)


class Dripping(io.RawIOBase):
    """A pipe that gives one byte at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._data.readinto(memoryview(buffer)[:1])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'{"src": "a"}\n{"src": "b"}\n{"src": "c"}', "jsonl"),
        (b'\xef\xbb\xbf{"src": "a"}\n{"src": "b"}\n{"src": "c"}', "jsonl"),
        (ipc_stream(pa.table({"src": ["a", "b", "c"]})), "stream"),
    ],
)
def test_a_pipe_is_known_by_its_first_bytes(data: bytes, kind: str) -> None:
    pipe = io.BufferedReader(Dripping(data))
    with input.open_table("-", columns(), stdin=pipe) as table:
        assert clips_of(list(table)) == [ClipReference("a"), ClipReference("b"), ClipReference("c")]
        assert table.format.kind == kind
        assert output.choose_format("-", "auto", table.format).kind == kind
        assert table.rows_total is None


def test_an_empty_pipe_is_an_empty_table_and_how_far_a_pipe_is_cannot_be_known() -> None:
    assert read("-", b"") == []
    with input.open_table("-", columns(), stdin=io.BytesIO(b'{"src": "a"}')) as table:
        next(iter(table))
        assert table.fraction is None


@pytest.mark.parametrize(
    ("head", "what"), [(b"ARROW1\0\0", "Arrow IPC file"), (b"PAR1", "Parquet"), (b"\x1f\x8b\x08", "gzip")]
)
def test_a_pipe_of_another_format_is_refused_by_name(head: bytes, what: str) -> None:
    with pytest.raises(InputError, match=f"stdin: .*{what}.* cannot be read from a pipe: .*--input"):
        read("-", head + b"rest")


@pytest.mark.parametrize("kind", [pa.month_day_nano_interval(), pa.list_(pa.month_day_nano_interval())], ids=str)
def test_a_type_that_pyarrow_cannot_read_is_refused_by_name(kind: pa.DataType) -> None:
    """Other writers make intervals of months; PyArrow has a KeyError for them."""
    stream = ipc_stream(pa.table({"src": ["a"], "span": pa.nulls(1, kind)}))
    months = patched(stream, 2, 0, lambda data: ": month_interval" in str(pa.ipc.open_stream(data).schema))
    with pytest.raises(InputError, match=r"^stdin: column 'span' holds a month_interval, which PyArrow"):
        read("-", months)


def test_a_name_inside_a_column_that_is_not_utf8_is_told() -> None:
    def damaged(data: bytes) -> bool:
        inside = pa.ipc.open_stream(data).schema.field(1).type.field(0)
        try:
            return not inside.name
        except UnicodeDecodeError:
            return True

    table = pa.table({"src": ["a"], "s": pa.array([{"~~": 1}])})
    stream = patched(ipc_stream(table), ord("~"), 0xFF, damaged)
    with pytest.raises(InputError, match=r"^stdin: a column.s name is not UTF-8"):
        read("-", stream)


def test_suffixes_are_known_or_listed(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"--input .*in\.xlsx: unknown suffix; known are \.jsonl .*\.parquet .*\.feather"
    ):
        read(tmp_path / "in.xlsx")
    (tmp_path / "in.JSONL").write_text("{}\n")
    with pytest.raises(ConfigError, match=r"--output out\.txt: unknown suffix"):
        output.choose_format("out.txt", "auto", Format("jsonl"))
    assert clips_of(read(tmp_path / "in.JSONL")) == [ClipReference("")]


def damaged(name: str, tmp_path: Path) -> Path:
    path = tmp_path / name
    lines = b"".join(b'{"src": "%d"}\n' % i for i in range(50_000))
    if name.endswith(".jsonl.gz"):
        packed = gzip.compress(lines, mtime=0)
        path.write_bytes(packed[:-9] if name.startswith("cut") else packed + b"junk")
    elif name.endswith(".parquet"):
        pq.write_table(pa.table({"src": [f"{i}" for i in range(1000)]}), path, compression="snappy")
        data = bytearray(path.read_bytes())
        data[20:60] = b"\xff" * 40
        path.write_bytes(data[: -8 if name.startswith("cut") else None])
    elif name.endswith(".arrow"):
        write_ipc(path, pa.table({"src": ["a"]}))
        path.write_bytes(path.read_bytes()[:-20])
    elif name == "folder.jsonl":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "name",
    ["cut.jsonl.gz", "tail.jsonl.gz", "cut.parquet", "flip.parquet", "cut.arrow", "folder.jsonl", "absent.parquet"],
)
def test_a_damaged_file_is_an_input_error_naming_it(tmp_path: Path, name: str) -> None:
    path = damaged(name, tmp_path)
    with pytest.raises(InputError, match=f"^{path}: ."):
        read(path)


ROW, ROWS = b'{"src": "a.mp4"}\n', [ClipReference("a.mp4")]


@pytest.mark.parametrize(
    ("packed", "rows"),
    [
        (gzip.compress(ROW, mtime=0) + bytes(1), 1),
        (gzip.compress(ROW, mtime=0) + bytes(100_000), 1),
        (gzip.compress(ROW, mtime=0) + bytes(512) + gzip.compress(ROW, mtime=0) + bytes(10_240), 2),
        (gzip.compress(ROW, mtime=0) + gzip.compress(b"", mtime=0), 1),  # as bgzip ends its files
        (gzip.compress(b"", mtime=0) + bytes(512), 0),
    ],
)
def test_zeros_behind_gzip_are_passed_over(tmp_path: Path, packed: bytes, rows: int) -> None:
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(packed)
    assert [clip for batch in read(path) for clip in batch.clips for _ in range(batch.rows)] == ROWS * rows


def zstd_frame(window_log: int, content: bytes) -> bytes:
    """A frame of one block as it is (RFC 8878 §3.1.1), that asks for a window of 2 ** ``window_log`` bytes."""
    block = (len(content) << 3 | 1).to_bytes(3, "little") + content
    return b"\x28\xb5\x2f\xfd\0" + bytes([window_log - 10 << 3]) + block


def test_a_zstd_window_of_128_mib_is_read_and_a_larger_one_told(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.zst"
    path.write_bytes(zstd_frame(27, ROW))
    assert clips_of(read(path)) == ROWS
    for window_log in (28, 31):
        path.write_bytes(zstd_frame(27, ROW) + zstd_frame(window_log, ROW))
        with pytest.raises(InputError, match=rf"^{path}: .*128 MiB: pack it again with zstd --long=27 or less$"):
            read(path)
