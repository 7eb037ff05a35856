"""What rows gain, by what became of their clip: the table in docs/tables.md, line by line."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pytest

from saliency_engine.config import RunConfig
from saliency_engine.errors import InputError
from saliency_engine.tables import rows
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.join import Joiner, OutputColumns
from saliency_engine.tables.jsonl_lines import LineReader
from saliency_engine.tables.line_rows import LineRows
from saliency_engine.tables.sampling_tag import tags_of
from saliency_engine.types import ClipReference, ClipResult, Status

GOOD = ClipResult(Status.OK, 0.25, 0.0625)
BAD = ClipResult(Status.DECODE_FAILED, reason="no frame\nat all \udce9")
REASON = "no frame\nat all \\udce9"


def config(**options: Any) -> RunConfig:
    return RunConfig(model="frequency_tuned_v1", **options)


def results(clips: Sequence[ClipReference]) -> list[ClipResult]:
    return [BAD if clip.path.startswith("bad") else GOOD for clip in clips]


def refused(number: int, reason: str, line: bytes, rest: object = None) -> None:  # noqa: ARG001  as a ``Reject`` must
    raise AssertionError(f"line {number}: {reason}: {line!r}")


def join_lines(text: str, **options: Any) -> str:
    settings = config(**options)
    joiner = Joiner(OutputColumns(settings, None), tags_of(settings, "m1", 64, 32))
    columns, out = columns_of(settings), b""
    for chunk in LineReader(io.BytesIO(text.encode()), columns.written, refused):
        batch = LineRows(columns).find_clips(chunk, 0)
        out += b"".join(joiner.join(batch, results(batch.clips)).texts)
    return out.decode()


def join_arrow(table: pa.Table, **options: Any) -> pa.Table:
    settings = config(**options)
    gained = OutputColumns(settings, table.schema)
    joiner = Joiner(gained, tags_of(settings, "m1", 64, 32))
    batches = rows.from_batches(table.to_batches(max_chunksize=2), columns_of(settings))
    joined = [joiner.join(batch, results(batch.clips)) for batch in batches]
    assert all(batch.schema.equals(gained.schema, check_metadata=True) for batch in joined)
    return pa.Table.from_batches(joined, gained.schema)


def test_a_computed_line() -> None:
    assert join_lines('{"src": "a"}\n') == (
        '{"src": "a", "saliency_mean": 0.25, "saliency_var": 0.0625, "saliency_status": "ok", '
        '"saliency_model_id": "m1", "saliency_aggregator": "mean", "saliency_ema_alpha": 0.6, '
        '"saliency_sampling": "head:8@64x32"}\n'
    )


def test_a_failed_line_keeps_no_value_of_before() -> None:
    stale = '"saliency_mean": 0.5, "saliency_var": NaN, "saliency_model_id": "m0", "saliency_ema_alpha": 0.1'
    assert json.loads(join_lines('{"src": "bad", ' + stale + "}\n")) == {
        "src": "bad",
        "saliency_mean": None,
        "saliency_var": None,
        "saliency_model_id": None,
        "saliency_ema_alpha": None,
        "saliency_status": "decode-failed",
        "saliency_error": REASON,
    }
    assert join_lines('{"src": "bad"}').startswith('{"src": "bad", "saliency_mean": null, "saliency_var": null, "sal')


def test_a_line_computed_now_loses_its_old_error() -> None:
    assert '"saliency_error": null' in join_lines('{"src": "a", "saliency_error": "no frame"}')


def test_a_line_that_has_its_values_gains_only_the_status() -> None:
    row = '{"saliency_mean":5e-1,"src":"a", "saliency_var":0,"saliency_error":"?"}'
    assert join_lines(row) == row[:-1] + ', "saliency_status": "skipped-existing"}'
    assert join_lines(row, status_column="") == row


def test_columns_take_the_names_they_are_given_and_empty_ones_are_left_out() -> None:
    options = {f"{role}_column": "" for role in ("var", "status", "model_id", "aggregator", "ema_alpha", "error")}
    options |= {"mean_column": "m", "sampling_column": "how"}
    joined = {"src": "a", "m": 0.25, "how": "head:8@64x32"}
    assert json.loads(join_lines('{"src": "a"}', **options)) == joined
    assert join_arrow(pa.table({"src": ["a"]}), **options).to_pylist() == [joined]


def test_arrow_rows_of_every_fate() -> None:
    table = pa.table(
        {
            "saliency_model_id": ["old", "old", "old", "old"],
            "src": ["kept", "a", "bad", "a"],
            "saliency_mean": pa.array([0.5, None, 0.75, float("nan")], pa.float32()),
            "saliency_var": [0.125, None, None, 0.5],
            "saliency_error": [None, "?", "?", "?"],
        }
    )
    joined = join_arrow(table)
    assert joined.schema.names == [
        *table.schema.names,
        *(f"saliency_{n}" for n in ("status", "aggregator", "ema_alpha", "sampling")),
    ]
    assert joined.drop_columns(["src"]).to_pydict() == {
        "saliency_model_id": ["old", "m1", None, "m1"],
        "saliency_mean": [0.5, 0.25, None, 0.25],
        "saliency_var": [0.125, 0.0625, None, 0.0625],
        "saliency_error": [None, None, REASON, None],
        "saliency_status": ["skipped-existing", "ok", "decode-failed", "ok"],
        "saliency_aggregator": [None, "mean", None, "mean"],
        "saliency_ema_alpha": [None, 0.6, None, 0.6],
        "saliency_sampling": [None, "head:8@64x32", None, "head:8@64x32"],
    }
    assert joined.schema.field("saliency_mean").type == pa.float32()
    assert joined.schema.field("saliency_ema_alpha").type == pa.float64()


@pytest.mark.parametrize(
    "kind",
    [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string(), ordered=True)],
    ids=str,
)
def test_text_columns_keep_their_type(kind: pa.DataType) -> None:
    small = pa.array(["x", None, "x"]).dictionary_encode()
    if pa.types.is_dictionary(kind):
        old = pa.DictionaryArray.from_arrays(small.indices.cast(pa.int8()), small.dictionary, ordered=True)
    else:
        old = pa.array(["x", None, "x"], kind)
    names = ("saliency_status", "saliency_model_id")
    values = {"saliency_mean": [0.5, None, None], "saliency_var": [0.5, None, None]}
    joined = join_arrow(pa.table({"src": ["k", "a", "bad"], **values, **dict.fromkeys(names, old)}))
    assert [joined.schema.field(name).type for name in names] == [kind, kind]
    assert joined["saliency_status"].to_pylist() == ["skipped-existing", "ok", "decode-failed"]
    assert joined["saliency_model_id"].to_pylist() == ["x", "m1", None]


def test_columns_that_cannot_hold_ours_change_type_and_keep_their_values() -> None:
    table = pa.table({"src": ["kept", "a"], "saliency_mean": [1, None], "saliency_var": [0, None]})
    table = table.append_column("saliency_model_id", pa.nulls(2, pa.int64()))
    joined = join_arrow(table)
    assert joined["saliency_mean"].to_pylist() == [1.0, 0.25]
    assert joined["saliency_model_id"].to_pylist() == [None, "m1"]


def test_a_kept_value_that_has_no_place_is_named() -> None:
    table = pa.table({"src": ["a", "b"], "saliency_mean": [0.5, None], "saliency_var": [0.5, None]})
    table = table.append_column("saliency_ema_alpha", pa.array([2**53 + 1, None]))
    with pytest.raises(InputError, match=r"column 'saliency_ema_alpha' .*--ema-alpha-column.* as double"):
        join_arrow(table)


def test_metadata_order_and_all_other_columns_stay() -> None:
    fields = [
        pa.field("n", pa.int64(), metadata={"unit": "frames"}),
        pa.field("src", pa.string(), nullable=False),
        pa.field("saliency_mean", pa.float64(), nullable=False, metadata={"note": "ours"}),
        pa.field("tags", pa.list_(pa.dictionary(pa.int16(), pa.string()))),
    ]
    schema = pa.schema(fields, metadata={"pandas": "{}", "who": "me"})
    table = pa.table({"n": [2**53 + 1], "src": ["a"], "saliency_mean": [float("nan")], "tags": [["x"]]}, schema=schema)
    joined = join_arrow(table)
    expected = [*fields[:2], fields[2].with_nullable(True), fields[3]]
    assert joined.schema.metadata == schema.metadata
    for got, want in zip(joined.schema, expected, strict=False):
        assert got.equals(want, check_metadata=True)
    assert joined.select(["n", "src", "tags"]).equals(table.select(["n", "src", "tags"]))


def test_two_columns_named_as_one_of_ours_are_refused() -> None:
    table = pa.Table.from_arrays([pa.array(["a"])] * 3, ["src", "saliency_status", "saliency_status"])
    with pytest.raises(InputError, match="2 columns named 'saliency_status'"):
        join_arrow(table)
