"""Reading tables: which rows are left alone, which clip the others name, and what cannot be read."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables import batches, input, output, rows
from saliency_engine.tables.columns import Columns, columns_of
from saliency_engine.tables.formats import Format
from saliency_engine.types import ClipReference, RowBatch

NAN = float("nan")
Batches = list[RowBatch[Any]]


def columns(**options: Any) -> Columns:
    return columns_of(RunConfig(model="frequency_tuned_v1", **options))


def read(path: str | Path, stdin: bytes = b"", **options: Any) -> Batches:
    with input.open_table(str(path), columns(**options), stdin=io.BytesIO(stdin)) as table:
        return list(table)


def named(batches: Batches) -> list[ClipReference | None]:
    """Each row's clip, ``None`` for a row that is left alone."""
    return [None if code < 0 else batch.clips[code] for batch in batches for code in batch.codes]


def write_jsonl(path: Path, table: pa.Table) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))


def write_arrow(path: Path, table: pa.Table) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)


WRITERS: dict[str, Callable[[Path, pa.Table], None]] = {
    "jsonl": write_jsonl,
    "parquet": lambda path, table: pq.write_table(table, path),
    "arrow": write_arrow,
}


@pytest.fixture(params=WRITERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def store(columns: dict[str, Any]) -> Path:
        path = tmp_path / f"in.{request.param}"
        WRITERS[request.param](path, pa.table(columns))
        return path

    return store


def test_only_rows_with_a_finite_mean_and_variance_are_left_alone(store: Callable[[dict[str, Any]], Path]) -> None:
    mean = pa.array([0.5, NAN, None, float("inf"), 0.0, 0.5], from_pandas=False)
    var = pa.array([0.1, 0.1, 0.1, 0.1, None, 0], pa.float32())
    path = store({"src": list("abcdef"), "saliency_mean": mean, "saliency_var": var})
    assert [clip is None for clip in named(read(path))] == [True, False, False, False, False, True]
    assert None not in named(read(path, overwrite=True))
    assert None not in named(read(path, var_column=""))
    assert None not in named(read(path, mean_column="other"))


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_text_is_no_mean(tmp_path: Path, suffix: str) -> None:
    WRITERS[suffix](
        tmp_path / f"in.{suffix}", pa.table({"src": ["a"], "saliency_mean": ["0.5"], "saliency_var": [0.1]})
    )
    assert named(read(tmp_path / f"in.{suffix}")) == [ClipReference("a")]


def test_rows_of_one_clip_share_one_reference(store: Callable[[dict[str, Any]], Path]) -> None:
    path = store(
        {
            "src": ["b", "a", "b", None, "b", "b"],
            "width": [64, 64, 64, 64, None, 64],
            "height": pa.array([48, 48, 48, 48, 48, None]),
            "pix_fmt": ["gray", "", "gray", "gray", "gray", "gray"],
        }
    )
    (batch,) = read(path)
    assert batch.codes.tolist() == [0, 1, 0, 2, 3, 4]
    assert batch.codes.dtype == np.int32
    assert batch.clips == (
        ClipReference("b", 64, 48, "gray"),
        ClipReference("a", 64, 48),
        ClipReference("", 64, 48, "gray"),
        ClipReference("b", None, 48, "gray"),
        ClipReference("b", 64, None, "gray"),
    )


@pytest.mark.parametrize(
    ("width", "meaning"),
    [
        ([64, -1, 0, None], [64, None, None, None]),
        ([64.0, 64.5, NAN, float("inf")], [64, None, None, None]),
        ([2.0**31 - 1, 2.0**31, 1e300, -1e300], [2**31 - 1, None, None, None]),
        (["64"], [None]),
        ([True], [None]),
        ([[64]], [None]),
    ],
)
def test_a_size_is_a_positive_whole_number(
    store: Callable[[dict[str, Any]], Path], width: list[Any], meaning: list[int | None]
) -> None:
    path = store({"src": ["a"] * len(width), "width": width})
    assert named(read(path)) == [ClipReference("a", pixels) for pixels in meaning]
    assert len({clip for batch in read(path) for clip in batch.clips}) == len(set(meaning))


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=["large", "view", "dict"]
)
def test_every_kind_of_text_is_a_path(tmp_path: Path, kind: pa.DataType) -> None:
    paths = pa.array(["a", "é", None, "a"])
    paths = paths.dictionary_encode().cast(kind) if pa.types.is_dictionary(kind) else paths.cast(kind)
    write_arrow(tmp_path / "in.arrow", pa.table({"src": paths}))
    (batch,) = read(tmp_path / "in.arrow")
    assert (batch.codes.tolist(), batch.clips) == (
        [0, 1, 2, 0],
        (ClipReference("a"), ClipReference("é"), ClipReference("")),
    )


def test_numbers_in_dictionaries_and_decimals_are_numbers(tmp_path: Path) -> None:
    number = pa.array([64, None, 64])
    table = pa.table({"src": ["a"] * 3, "width": number.dictionary_encode(), "height": number.cast(pa.decimal128(19))})
    write_arrow(tmp_path / "in.arrow", table)
    assert named(read(tmp_path / "in.arrow")) == [
        ClipReference("a", 64, 64),
        ClipReference("a"),
        ClipReference("a", 64, 64),
    ]


def test_lines_without_a_usable_path_have_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"a": 1}\n{"src": 5}\n{"src": null}\n{"src": ["x"]}\n')
    assert named(read(tmp_path / "in.jsonl")) == [ClipReference("")] * 4


def test_true_in_a_line_is_no_size(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(f'{{"src": "a", "width": {w}}}\n' for w in ("1", "true", "1.0", "[1]")))
    assert named(read(tmp_path / "in.jsonl")) == [
        ClipReference("a", 1),
        ClipReference("a"),
        ClipReference("a", 1),
        ClipReference("a"),
    ]


def test_an_absent_path_column_is_named_with_the_ones_there_are(tmp_path: Path) -> None:
    write_arrow(tmp_path / "in.arrow", pa.table({"source": ["a"], "src_path": [1]}))
    with pytest.raises(InputError, match=r"in\.arrow: no column 'src_pth' .*did you mean 'src_path'.*'source', 'src_p"):
        read(tmp_path / "in.arrow", path_column="src_pth")
    with pytest.raises(InputError, match=r"'src_path'.* is int64, not text"):
        read(tmp_path / "in.arrow", path_column="src_path")


def test_two_columns_of_one_name_are_refused_where_we_need_one(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["src", "src"])
    write_arrow(tmp_path / "in.arrow", table)
    with pytest.raises(InputError, match="2 columns named 'src'"):
        read(tmp_path / "in.arrow")


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


def ipc_stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


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
        assert named(list(table)) == [ClipReference("a"), ClipReference("b"), ClipReference("c")]
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


def test_an_arrow_file_may_hold_a_stream(tmp_path: Path) -> None:
    (tmp_path / "in.arrow").write_bytes(ipc_stream(pa.table({"src": ["a", "b", "c"]})))
    assert len(named(read(tmp_path / "in.arrow"))) == 3


STREAM = ipc_stream(pa.table({"src": ["a", "b", "c"]}))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (STREAM[:-8], "has no end mark: it was cut off"),
        (STREAM[: STREAM.rindex(b"\xff\xff\xff\xff", 0, -8)], "has no end mark"),
        (STREAM[:-4], "Expected to be able to read|has no end mark|metadata"),
        (STREAM[:-20], "Expected to be able to read"),
        (STREAM + STREAM, "more data follows the end of the stream"),
    ],
    ids=["unclosed", "a batch less", "half a mark", "half a batch", "two"],
)
def test_a_stream_that_was_cut_or_joined_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    """Arrow alone takes the first two for whole ones, and reads the first of two."""
    with pytest.raises(InputError, match=f"^stdin: .*({reason})"):
        read("-", data)
    (tmp_path / "in.arrow").write_bytes(data)
    with pytest.raises(InputError, match=rf"in\.arrow: .*({reason})"):
        read(tmp_path / "in.arrow")


def patched(data: bytes, old: int, new: int, good: Callable[[bytes], bool]) -> bytes:
    """``data`` with the one byte ``old`` made ``new`` that makes it ``good``."""
    for at in (at for at, byte in enumerate(data) if byte == old):
        changed = data[:at] + bytes([new]) + data[at + 1 :]
        with suppress(pa.ArrowException, OSError, UnicodeDecodeError):
            if good(changed):
                return changed
    raise AssertionError("there is no such byte")


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


def test_a_parquet_footer_that_says_too_few_rows_loses_none(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"src": ["a", "b", "c"]}), sink)
    data = patched(sink.getvalue(), 6, 0, lambda data: pq.read_metadata(io.BytesIO(data)).num_rows == 0)
    (tmp_path / "in.parquet").write_bytes(data)
    with input.open_table(str(tmp_path / "in.parquet"), columns()) as table:
        assert named(list(table)) == [ClipReference("a"), ClipReference("b"), ClipReference("c")]
        assert table.count_rows() == 0  # which the output compares with what was written


def test_batches_that_point_outside_themselves_are_refused(tmp_path: Path) -> None:
    """Arrow alone reads what lies there, or crashes."""
    texts = pa.StringArray.from_buffers(2, pa.py_buffer(np.array([0, 1 << 20, 4], np.int32)), pa.py_buffer(b"abcd"))
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 77], pa.int32()), pa.array(["a"]), safe=False)
    not_text = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff"))
    for column, reason in ((texts, "[Oo]ffset"), (codes, "out of bounds"), (not_text, "Invalid UTF8")):
        for name, make in (("in.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)):
            batch = pa.record_batch({"src": column})
            with make(tmp_path / name, batch.schema) as writer:
                writer.write_batch(batch)
            with pytest.raises(InputError, match=rf"{name}: .*{reason}"):
                read(tmp_path / name)


def test_suffixes_are_known_or_listed(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"--input .*in\.csv: unknown suffix; known are \.jsonl .*\.parquet .*\.feather"
    ):
        read(tmp_path / "in.csv")
    (tmp_path / "in.JSONL").write_text("{}\n")
    with pytest.raises(ConfigError, match=r"--output out\.txt: unknown suffix"):
        output.choose_format("out.txt", "auto", Format("jsonl"))
    assert named(read(tmp_path / "in.JSONL")) == [ClipReference("")]


def damaged(name: str, tmp_path: Path) -> Path:
    path = tmp_path / name
    lines = b"".join(b'{"src": "%d"}\n' % i for i in range(50_000))
    if name.endswith(".jsonl.gz"):
        packed = gzip.compress(lines)
        path.write_bytes(packed[:-9] if name.startswith("cut") else packed + b"junk")
    elif name.endswith(".parquet"):
        pq.write_table(pa.table({"src": [f"{i}" for i in range(1000)]}), path, compression="snappy")
        data = bytearray(path.read_bytes())
        data[20:60] = b"\xff" * 40
        path.write_bytes(data[: -8 if name.startswith("cut") else None])
    elif name.endswith(".arrow"):
        write_arrow(path, pa.table({"src": ["a"]}))
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


def test_batches_from_a_user_come_back_one_for_one() -> None:
    schema = pa.schema([("src", pa.string())])
    batches = [pa.record_batch([pa.array(paths, pa.string())], schema=schema) for paths in (["a", "b"], [], ["b"])]
    got = list(rows.from_batches(iter(batches), columns()))
    assert [(batch.first_row, batch.rows, batch.payload) for batch in got] == [
        (0, 2, batches[0]),
        (2, 0, batches[1]),
        (2, 1, batches[2]),
    ]
    assert got[2].clips == (ClipReference("b"),)
    with pytest.raises(InputError, match="row 2 has another schema"):
        list(rows.from_batches([batches[0], pa.record_batch({"src": ["a"], "x": [1]})], columns()))
