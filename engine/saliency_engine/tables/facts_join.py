"""What probing tells put into rows: the columns that `index` writes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError
from saliency_engine.facts import ClipFacts
from saliency_engine.tables.columns import Columns, column_index, columns_of
from saliency_engine.tables.csv_edit import CsvEdit, CsvLayout
from saliency_engine.tables.jsonl_edit import Edit
from saliency_engine.tables.jsonl_lines import Lines
from saliency_engine.tables.schema_metadata import place_columns
from saliency_engine.types import ClipReference, ClipResult, RowBatch, Status

_ANY: frozenset[type] = frozenset({dict, list, str, bool, int, float, type(None)})
_OF_RAW_VIDEO = ("width", "height", "pix_fmt")
"""What a row may say itself of raw video: ``run`` reads these columns, too."""


def fact_columns(config: RunConfig) -> dict[str, tuple[str, pa.DataType]]:
    """Role to name and type of each column of an index, in output order; an empty name leaves the column out.

    Roles are the fields of ``ClipFacts``, and ``status`` and ``error``. Raises ``ConfigError`` where a column that
    clips' paths are made from has the name of one.
    """
    names = {"width": config.width_column, "height": config.height_column, "pix_fmt": config.pix_fmt_column}
    columns = {}
    for field in dataclasses.fields(ClipFacts):
        kind = str(field.type)  # text, because of the import from __future__
        types = {"int": pa.int64(), "float": pa.float64(), "str": pa.string()}
        columns[field.name] = names.get(field.name, field.name), types[kind.removesuffix(" | None")]
    columns["status"], columns["error"] = (config.status_column, pa.string()), (config.error_column, pa.string())
    paths = columns_of(config).of_paths
    for role, (name, _) in columns.items():
        if name in paths and role not in _OF_RAW_VIDEO:
            raise ConfigError(f"the clips' paths are in the column {name!r}, which index writes: rename that column")
    return columns


def columns_to_index(config: RunConfig) -> Columns:
    """The columns that reading a table for an index looks at: every row names a clip, whatever it has."""
    written = {name: _ANY for name, _ in fact_columns(config).values() if name}
    return dataclasses.replace(columns_of(config), mean="", var="", written=written, roles={})


class FactsJoiner:
    """Joins facts to the rows of one table.

    ``before`` is the table's schema, as in ``Opened``; ``schema`` is the output's: the same with our columns, which
    stay where they are if they exist and otherwise come last; they have our types. Raises ``InputError`` when two input
    columns have the name of one of ours, and ``ConfigError`` as ``fact_columns`` does.
    """

    def __init__(self, config: RunConfig, before: pa.Schema | CsvLayout | None) -> None:
        self._columns = {role: column for role, column in fact_columns(config).items() if column[0]}
        self._before = before
        kinds = dict(self._columns.values())
        present = before.schema.names if isinstance(before, CsvLayout) else [] if before is None else before.names
        self.replaced = [name for name in kinds if name in present]
        """Our columns that the table has already."""
        self.schema: pa.Schema | CsvLayout | None = None
        if isinstance(before, CsvLayout):
            for name in kinds:
                column_index(before.schema, name)  # raises where it is there twice
            self.schema = before.extend(kinds)
        elif before is not None:
            self.schema = place_columns(before, kinds)

    def join(self, batch: RowBatch[Any], outcomes: Sequence[ClipFacts | ClipResult]) -> Any:
        """``batch.payload`` with what its rows gain; ``outcomes[i]`` belongs to ``batch.clips[i]``.

        A row whose clip failed keeps what it says of raw video; its other facts are null. Gives a
        ``pyarrow.RecordBatch`` of ``schema``, or ``Lines``.
        """
        values = [_values_of(*pair) for pair in zip(batch.clips, outcomes, strict=True)]
        if isinstance(self.schema, pa.Schema):
            return self._join_arrow(batch, values, self.schema)
        edits, lines = [self._make_edit(each) for each in values], batch.payload
        rows = zip(lines.texts, lines.keys, batch.codes.tolist(), strict=True)
        return Lines([edits[code].apply(text, keys) for text, keys, code in rows], lines.keys, lines.trailer)

    def _make_edit(self, values: Mapping[str, Any]) -> Edit | CsvEdit:
        """In JSON a null only replaces what a row has."""
        named = {name: values[role] for role, (name, _) in self._columns.items()}
        if isinstance(self._before, CsvLayout) and isinstance(self.schema, CsvLayout):
            return CsvEdit(self._before, self.schema, named)
        nulls = [name for name, value in named.items() if value is None]
        return Edit({name: value for name, value in named.items() if value is not None}, nulls)

    def _join_arrow(
        self, batch: RowBatch[pa.RecordBatch], values: Sequence[Mapping[str, Any]], schema: pa.Schema
    ) -> pa.RecordBatch:
        columns = dict(enumerate(batch.payload.columns))
        codes = pa.array(batch.codes)
        for role, (name, kind) in self._columns.items():
            column = pa.array([each[role] for each in values], kind)
            columns[schema.get_field_index(name)] = column.take(codes)
        return pa.RecordBatch.from_arrays([columns[place] for place in sorted(columns)], schema=schema)


def _values_of(clip: ClipReference, outcome: ClipFacts | ClipResult) -> dict[str, Any]:
    """Role to value of the rows that name ``clip``; ``None`` is null."""
    if isinstance(outcome, ClipFacts):
        return {**dataclasses.asdict(outcome), "status": str(Status.OK), "error": None}
    values: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(ClipFacts))
    values.update(width=clip.width, height=clip.height, pix_fmt=clip.pixel_format)
    # Latin-1 file names arrive as lone surrogates, which neither format can hold.
    reason = (outcome.reason or "").encode("utf-8", "backslashreplace").decode()
    return values | {"status": str(outcome.status), "error": reason}
