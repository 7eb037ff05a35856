"""What the formats of output tables keep, and what they cannot hold."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tables import run_without_clips, write_table

from saliency_engine.errors import OutputError


@pytest.mark.parametrize("codec", ["snappy", "zstd", "gzip", "uncompressed", "brotli", "lz4"])
def test_parquet_keeps_its_codec_schema_and_metadata(tmp_path: Path, codec: str) -> None:
    schema = pa.schema(
        [
            pa.field("src", pa.string(), nullable=False),
            pa.field("n", pa.int64(), metadata={"unit": "frames"}),
            pa.field("t", pa.timestamp("us", "Europe/Paris")),
            pa.field("d", pa.dictionary(pa.int32(), pa.string())),
            pa.field("s", pa.struct([("f", pa.float32()), ("l", pa.list_(pa.large_string()))])),
        ],
        metadata={"pandas": '{"index_columns": []}', "who": "me"},
    )
    table = pa.table(
        {"src": ["a", "b"], "n": [2**53 + 1, None], "t": [1, 2], "d": ["x", "x"], "s": [{"f": 0.1, "l": ["y"]}, None]},
        schema=schema,
    )
    source, target = tmp_path / "in.parquet", tmp_path / "out.pq"
    pq.write_table(table, source, compression="none" if codec == "uncompressed" else codec)
    run_without_clips(source, target)
    before, after = pq.read_table(source), pq.read_table(target)
    assert after.schema.metadata == before.schema.metadata
    assert pa.schema(list(after.schema)[:5]).equals(before.schema.remove_metadata(), check_metadata=True)
    assert after.select(before.schema.names).equals(before)
    group = pq.read_metadata(target).row_group(0)
    assert {group.column(i).compression for i in range(group.num_columns)} == {codec.upper()}


def test_parquet_row_groups_are_of_a_sane_size(tmp_path: Path) -> None:
    small = pa.record_batch({"x": range(1000)})
    write_table(tmp_path / "out.parquet", [small] * 150)
    wide = pa.record_batch({"x": ["y" * (1 << 20)] * 8})
    write_table(tmp_path / "wide.parquet", [wide] * 4)
    sizes = [pq.read_metadata(tmp_path / name) for name in ("out.parquet", "wide.parquet")]
    assert [[m.row_group(i).num_rows for i in range(m.num_row_groups)] for m in sizes] == [
        [66000, 66000, 18000],
        [8, 8, 8, 8],
    ]


def dictionaries(*batches: tuple[list[int | None], list[str]]) -> list[pa.RecordBatch]:
    columns = [pa.DictionaryArray.from_arrays(pa.array(i, pa.int8()), pa.array(values)) for i, values in batches]
    nested = [pa.StructArray.from_arrays([column], ["d"]) for column in columns]
    return [pa.record_batch({"d": one, "s": other}) for one, other in zip(columns, nested, strict=True)]


@pytest.mark.parametrize("suffix", ["arrow", "parquet"])
def test_dictionaries_may_differ_from_batch_to_batch(tmp_path: Path, suffix: str) -> None:
    batches = dictionaries(([0, 1, None], ["a", "b"]), ([1, 0], ["c", "b"]), ([0], ["a"]), ([1, 0], ["a", "b"]))
    write_table(tmp_path / f"out.{suffix}", batches)
    if suffix == "arrow":
        table = pa.ipc.open_file(tmp_path / "out.arrow").read_all()
        assert table.schema == batches[0].schema
    else:
        table = pq.read_table(tmp_path / "out.parquet")
    assert table["d"].to_pylist() == ["a", "b", None, "b", "c", "a", "b", "a"]
    assert [row["d"] for row in table["s"].to_pylist()] == table["d"].to_pylist()


def test_a_dictionary_too_small_for_an_arrow_file_is_an_error_not_wrong_values(tmp_path: Path) -> None:
    texts = [[str(i) for i in range(start, start + 100)] for start in (0, 100)]
    with pytest.raises(OutputError, match=r"out\.arrow: Dictionary replacement"):
        write_table(tmp_path / "out.arrow", dictionaries(([0], texts[0]), ([0], texts[1])))
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold_is_said_at_once(tmp_path: Path) -> None:
    union = pa.schema([("u", pa.sparse_union([pa.field("a", pa.int64())]))])
    with pytest.raises(OutputError, match=r"out\.parquet: column 'u': Unhandled type .*union"):
        write_table(tmp_path / "out.parquet", [], union)
    twice = pa.schema([("x", pa.int64()), ("x", pa.int64())])
    with pytest.raises(OutputError, match="two fields named 'x'"):
        write_table(tmp_path / "out.jsonl", [], twice)
