"""Parquet: what its files say of themselves, and what they cannot hold."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tables import clips_of, columns, patched, run_without_clips

from saliency_engine.errors import InputError, OutputError
from saliency_engine.tables import input
from saliency_engine.tables.formats import Format
from saliency_engine.tables.output import open_output
from saliency_engine.types import ClipReference


def test_a_parquet_footer_that_says_too_few_rows_loses_none(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(pa.table({"src": ["a", "b", "c"]}), sink)
    data = patched(sink.getvalue(), 6, 0, lambda data: pq.read_metadata(io.BytesIO(data)).num_rows == 0)
    (tmp_path / "in.parquet").write_bytes(data)
    with input.open_table(str(tmp_path / "in.parquet"), columns()) as table:
        assert clips_of(list(table)) == [ClipReference("a"), ClipReference("b"), ClipReference("c")]
        assert table.count_rows() == 0  # which the output compares with what was written


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff"]).buffers())
    pq.write_table(pa.table({"src": ["a"], "t": bad}), tmp_path / "in.parquet")
    with pytest.raises(InputError, match="column 't', in or after row 0: Invalid UTF8"):
        run_without_clips(tmp_path / "in.parquet", str(tmp_path / "out.parquet"))


def test_lists_too_deep_for_arrows_reader_are_refused_before_the_first_row(tmp_path: Path) -> None:
    kind = pa.int64()
    for _ in range(60):
        kind = pa.list_(kind)
    with (
        pytest.raises(OutputError, match="nested"),
        open_output(str(tmp_path / "out.parquet"), Format("parquet"), pa.schema([("x", kind)])),
    ):
        pass
