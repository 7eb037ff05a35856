"""Whole tables in memory, column by column as numpy arrays: for jobs that look at columns and not at rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from math import isfinite, isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.tables.batches import BATCH_ROWS
from saliency_engine.tables.columns import Columns, column_index
from saliency_engine.tables.dictionaries import decode_dictionary
from saliency_engine.tables.formats import of_path
from saliency_engine.tables.input import open_table
from saliency_engine.tables.jsonl_schema import WRITE_LINES
from saliency_engine.tables.output import open_output


class Whole:
    """A table in memory. Its columns are asked for by name; ``InputError`` where there is none, or several."""

    def __init__(self, name: str, table: pa.Table) -> None:
        self.name = name
        """Of the table, for messages."""
        self._table = table

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the table's order."""
        return tuple(self._table.schema.names)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return int(self._table.num_rows)

    def require_rows(self) -> None:
        """Raises ``InputError`` where there is not one row: what else is wrong with the table does not matter then."""
        if not self.rows:
            raise InputError(f"{self.name}: it has no rows")

    def numbers(self, name: str) -> NDArray[np.float64]:
        """``[rows]`` float64: NaN where the column is null or holds no number; text that spells one is that number."""
        column = self._column(name)
        if _is_text(column.type):
            return np.array([_number_of(text) for text in column.to_pylist()], np.float64)
        if not _is_number(column.type):
            return np.full(self.rows, nan)
        plain = column.cast(pa.float64(), safe=False)
        return np.asarray(pc.fill_null(plain, nan).to_numpy(), np.float64)

    def texts(self, name: str) -> NDArray[np.object_]:
        """``[rows]`` of ``str`` or ``None``: text as it is (``0012345`` keeps its zeros), numbers as they are written.

        Empty text, as CSV has it for a missing value, is ``None``. Fractions that are whole numbers, which pandas makes
        of integers beside nulls, are written without ``.0``.
        """
        column = self._column(name)
        texts = np.empty(self.rows, object)
        texts[:] = [_spell(value) for value in column.to_pylist()]
        return texts

    def holds_numbers(self, name: str) -> bool:
        """Whether the column has numbers and nothing else beside nulls, be it as text as in CSV."""
        column = self._column(name)
        if not _is_text(column.type):
            return _is_number(column.type) and not pa.types.is_boolean(column.type)
        texts = [text for text in column.to_pylist() if text and not text.isspace()]
        return bool(texts) and all(_is_spelled_number(text) for text in texts)

    def _column(self, name: str) -> pa.ChunkedArray:
        place = column_index(self._table.schema, name)
        if place is None:
            raise InputError(
                f"{self.name}: there is no column {name!r}; its columns: {', '.join(map(repr, self.names))}"
            )
        column = self._table.column(place)
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        return pa.chunked_array([decode_dictionary(chunk) for chunk in column.chunks], None if column.chunks else kind)


def read_whole(inputs: str | Sequence[str], columns: Sequence[str] | None = None, *, header: bool = True) -> Whole:
    """The table at ``inputs``, as ``open_table`` takes them, or a ``.json`` file: a list of objects, perhaps in "rows".

    With ``columns`` only those of them that the table has are kept. CSV stays text until numbers are asked for; without
    ``header`` its columns are column_1, column_2 and so on. Raises ``ConfigError`` and ``InputError`` as ``open_table``
    does.
    """
    paths = [inputs] if isinstance(inputs, str) else list(inputs)
    name = paths[0] + (f" and {len(paths) - 1} more" if paths[1:] else "")
    if len(paths) == 1 and paths[0].lower().endswith(".json"):
        return Whole(name, _select(_read_json(paths[0]), columns))
    nothing = Columns(path="", width="", height="", pix_fmt="")
    with _without_advice(), open_table(paths, nothing, lines_as_arrow=True, header=header) as table:
        if table.format.kind == "clips":
            raise InputError(f"{name}: these are clips, but a table is needed: run `saliency-batch run` on them first")
        batches: list[Any] = [_select(batch.payload, columns) for batch in table]
        if batches:
            return Whole(name, pa.Table.from_batches(batches))
        schema: Any = table.schema
        return Whole(name, _select(schema.empty_table(), columns))


@contextmanager
def _without_advice() -> Iterator[None]:
    """What is wrong with rows is said without the advice to write others: these tables are only read."""
    try:
        yield
    except InputError as error:
        if str(error).endswith(WRITE_LINES):
            raise InputError(str(error).removesuffix(WRITE_LINES)) from error
        raise


def write_whole(path: str, columns: Mapping[str, NDArray[Any]]) -> None:
    """Write a table with these ``columns``, each ``[rows]``, whole or not at all; the suffix decides its format.

    Object arrays are text, with ``None`` for null; NaN in an array of fractions is null, too. Raises ``ConfigError``
    for an unknown suffix and ``OutputError`` where it cannot be written.
    """
    arrays = [
        pa.array(column, pa.string()) if column.dtype == object else pa.array(column, from_pandas=True)
        for column in columns.values()
    ]
    batch = pa.RecordBatch.from_arrays(arrays, list(columns))
    with open_output(path, of_path(path, "output"), batch.schema) as output:
        for start in range(0, batch.num_rows, BATCH_ROWS):
            output.write(batch.slice(start, BATCH_ROWS))
        output.commit(batch.num_rows)


def _select(table: Any, columns: Sequence[str] | None) -> Any:
    """The record batch or table with those of ``columns`` that it has."""
    if columns is None:
        return table
    return table.select([place for place, name in enumerate(table.schema.names) if name in columns])


def _read_json(path: str) -> pa.Table:
    try:
        document = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"{path}: it is not JSON ({error}); name JSON lines .jsonl") from error
    rows = document.get("rows") if isinstance(document, dict) else document
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f'{path}: it is neither a JSON list of objects nor an object with such a list as "rows"')
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: _as_array([row.get(name) for row in rows]) for name in names})


def _as_array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):  # several types, or numbers that none holds: what each value spells
        return pa.array([_spell(value) for value in values], pa.string())


def _spell(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, float):
        return None if isnan(value) else str(int(value)) if isfinite(value) and value.is_integer() else str(value)
    return str(value)


def _number_of(text: str | None) -> float:
    with suppress(ValueError):
        return float(text or "nan")
    return nan


def _is_spelled_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind))
