"""Results put into rows: what each row gains, by what became of its clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from saliency_engine.config import NUMBER_ROLES, RunConfig
from saliency_engine.errors import InputError
from saliency_engine.extras import EXTRA_ROLES
from saliency_engine.tables.columns import column_index, option_of
from saliency_engine.tables.csv_edit import CsvEdit, CsvLayout
from saliency_engine.tables.dictionaries import decode_dictionary, encode_dictionary
from saliency_engine.tables.jsonl_edit import Edit
from saliency_engine.tables.jsonl_lines import Lines
from saliency_engine.tables.schema_metadata import place_columns
from saliency_engine.tags import Tags, sampling_of_clip
from saliency_engine.types import SKIPPED, ClipResult, RowBatch, Status


class OutputColumns:
    """Where the columns of ours stand in the output of a run, and of which types they are.

    ``input_schema`` is the table's, as in ``Opened``; ``schema`` is the output's: the same with our columns, which
    stay where they are if they exist and otherwise come last. Raises ``InputError`` when two input columns have the
    name of one of ours.
    """

    def __init__(self, config: RunConfig, input_schema: pa.Schema | CsvLayout | None) -> None:
        self.names = {role: name for role, name in config.output_columns.items() if name}
        self.places: dict[str, int | None] = {}
        self.kinds: dict[str, pa.DataType] = {}
        self.before = input_schema
        self.schema = self._extend(input_schema)

    def _extend(self, before: pa.Schema | CsvLayout | None) -> pa.Schema | CsvLayout | None:
        if isinstance(before, CsvLayout):
            for name in self.names.values():
                column_index(before.schema, name)  # raises where it is there twice
            return before.extend(self.names.values())
        return None if before is None else self._extend_schema(before)

    def _extend_schema(self, schema: pa.Schema) -> pa.Schema:
        for role, name in self.names.items():
            place = column_index(schema, name)
            old = None if place is None else schema.field(place).type
            self.places[role] = place
            self.kinds[role] = old if old is not None and _can_hold(role, old) else _plain_type(role)
        return place_columns(schema, {name: self.kinds[role] for role, name in self.names.items()})


class Joiner:
    """Joins results to rows, for a run whose numbers have the tags ``tags``, over one table."""

    def __init__(self, columns: OutputColumns, tags: Tags) -> None:
        self._columns, self._tags = columns, asdict(tags)
        self._no_extras = dict.fromkeys(role for role in columns.names if role in EXTRA_ROLES)
        # A clip's rows may lie in many small batches of lines: making its edit each time doubled their time.
        self._edit_of = lru_cache(4096)(lambda result: self._make_edit(self._values_of(result)))
        self._edit_of_skipped = self._make_edit({"status": str(Status.SKIPPED_EXISTING)})

    def join(self, batch: RowBatch[Any], results: Sequence[ClipResult]) -> Any:
        """``batch.payload`` with what its rows gain; ``results[i]`` belongs to ``batch.clips[i]``.

        Gives a ``pyarrow.RecordBatch`` of the output's schema, or ``Lines``. Raises ``InputError`` where a value that a
        row must keep does not fit the type its column gets.
        """
        if isinstance(self._columns.schema, pa.Schema):
            return self._join_arrow(batch, [self._values_of(result) for result in results])
        return self._join_lines(batch, results)

    def _values_of(self, result: ClipResult) -> dict[str, Any]:
        """Role to value of a row with ``result``; ``None`` is null."""
        # Latin-1 file names arrive as lone surrogates, which neither format can hold.
        reason = (result.reason or "").encode("utf-8", "backslashreplace").decode()
        if result.status == Status.OK:
            numbers = {"mean": result.mean, "var": result.var, "status": str(result.status)}
            tags = self._tags | {"sampling": sampling_of_clip(self._tags["sampling"] or "", result.frames)}
            return numbers | tags | {"error": reason or None} | self._no_extras | dict(result.extras)
        nothing = {"mean": None, "var": None, "status": str(result.status)}
        return nothing | dict.fromkeys(self._tags) | {"error": reason} | self._no_extras

    def _join_lines(self, batch: RowBatch[Lines], results: Sequence[ClipResult]) -> Lines:
        edits = {code: self._edit_of(result) for code, result in enumerate(results)}
        edits[SKIPPED] = self._edit_of_skipped
        lines = batch.payload
        rows = zip(lines.texts, lines.keys, batch.codes.tolist(), strict=True)
        return Lines([edits[code].apply(text, keys) for text, keys, code in rows], lines.keys, lines.trailer)

    def _make_edit(self, values: dict[str, Any]) -> Edit | CsvEdit:
        """In JSON a null mean or variance is written; any other null only replaces what a row has."""
        names, before, after = self._columns.names, self._columns.before, self._columns.schema
        named = {names[role]: value for role, value in values.items() if role in names}
        if isinstance(before, CsvLayout) and isinstance(after, CsvLayout):
            return CsvEdit(before, after, named)
        always = {names.get("mean"), names.get("var")}
        nulls = [name for name, value in named.items() if value is None and name not in always]
        return Edit({name: value for name, value in named.items() if name not in nulls}, nulls)

    def _join_arrow(self, batch: RowBatch[pa.RecordBatch], values: Sequence[dict[str, Any]]) -> pa.RecordBatch:
        columns = list(batch.payload.columns)
        for role, name in self._columns.names.items():
            place, kind = self._columns.places[role], self._columns.kinds[role]
            try:
                if role == "status":
                    column = _take_statuses(batch.codes, [value[role] for value in values])
                else:
                    old = None if place is None else columns[place]
                    column = _take_values(batch.codes, [value[role] for value in values], old, _plain_type(role))
                column = _convert(column, kind)
            except pa.ArrowException as error:
                option = option_of(role)
                raise InputError(
                    f"column {name!r} ({option}) cannot keep its values as {kind}: {error}. Name another column "
                    f"with {option}, or recompute all rows with --overwrite"
                ) from error
            if place is None:
                columns.append(column)
            else:
                columns[place] = column
        return pa.RecordBatch.from_arrays(columns, schema=self._columns.schema)


def _take_statuses(codes: NDArray[np.int32], values: list[str]) -> pa.Array:
    """``values`` by code, and for skipped rows their own status."""
    texts = pa.array([*values, str(Status.SKIPPED_EXISTING)], pa.string())
    return texts.take(pa.array(np.where(codes == SKIPPED, len(values), codes)))


def _take_values(codes: NDArray[np.int32], values: list[Any], old: pa.Array | None, kind: pa.DataType) -> pa.Array:
    """``values`` by code, and for skipped rows what ``old`` has."""
    skipped = codes == SKIPPED
    if not values and old is not None:
        return old  # as it is: a dictionary need not be decoded and encoded again
    new = pa.array(values, kind).take(pa.array(codes, mask=skipped))
    if old is not None and skipped.any():
        return pc.if_else(pa.array(skipped), _convert(old, kind), new)
    return new


def _plain_type(role: str) -> pa.DataType:
    return pa.float64() if role in NUMBER_ROLES else pa.string()


def _can_hold(role: str, kind: pa.DataType) -> bool:
    """Whether a column of ``kind`` keeps its type: half floats lose digits, small dictionaries fill up with reasons."""
    types = pa.types
    if role in NUMBER_ROLES:
        return bool(types.is_float32(kind) or types.is_float64(kind))
    if types.is_dictionary(kind):
        return role != "error" and _can_hold(role, kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _convert(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if array.type == kind:
        return array
    array = decode_dictionary(array)
    if pa.types.is_dictionary(kind):
        return encode_dictionary(array, kind)
    return array.cast(kind, safe=not pa.types.is_floating(array.type))  # a whole number must stay the number it is
