"""The tags of rows: counted where a row keeps its numbers, refused where a run would rename another run's numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.tables.columns import Columns, column_index
from saliency_engine.tables.dictionaries import decode_dictionary
from saliency_engine.tags import TAG_ROLES, Tags
from saliency_engine.types import Status

_DONE = frozenset({str(Status.OK), str(Status.SKIPPED_EXISTING)})
_FAILED = frozenset(map(str, Status)) - _DONE


class LineTags:
    """The tags of rows that are Python mappings."""

    def __init__(self, columns: Columns) -> None:
        names = {role: name for name, role in columns.roles.items()}
        self._names = [names.get(role, "") for role in TAG_ROLES]
        self._results, self._status = (columns.mean, columns.var), names.get("status", "")
        self._columns = {name for name in self._names if name}

    def read(self, row: Mapping[str, Any]) -> tuple[Any, ...]:
        """The arguments of the ``Tags`` of a row."""
        return tuple(row.get(name) for name in self._names)

    def refuse_renaming(self, row: Mapping[str, Any], keys: frozenset[str], line: int) -> None:
        """Raise ``InputError`` for a row to compute whose tags belong to numbers that the run does not write.

        ``keys`` are the output columns that the row has.
        """
        if keys.isdisjoint(self._columns):
            return
        tags = make_tags(*self.read(row))
        if tags == Tags() or all(name and row.get(name) is not None for name in self._results):
            return
        if not _are_of_no_number(row.get(self._status), own=all(name in row for name in self._results)):
            _refuse(f"line {line}", self._names, tags)


class ArrowTags:
    """The tags of the rows of record batches of one schema."""

    def __init__(self, schema: pa.Schema, columns: Columns) -> None:
        names = {role: name for name, role in columns.roles.items()}
        self._names = [names.get(role, "") for role in TAG_ROLES]
        self._places = [column_index(schema, name) for name in self._names]
        self._results = [column_index(schema, name) for name in (columns.mean, columns.var)]
        self._status = column_index(schema, names.get("status", ""))

    def count(self, batch: pa.RecordBatch, todo: NDArray[np.int64]) -> dict[Tags, int]:
        """How many rows have which tags, of those that are not in ``todo``."""
        rows = batch.num_rows - len(todo)
        if not rows:
            return {}
        kept = np.ones(batch.num_rows, bool)
        kept[todo] = False
        whole = rows == batch.num_rows
        columns = [None if place is None else _read_plain(batch, place) for place in self._places]
        columns = [column if whole or column is None else column.filter(pa.array(kept)) for column in columns]
        if all(column is None or len(column.unique()) == 1 for column in columns):  # as in most tables
            return {make_tags(*(None if column is None else column[0].as_py() for column in columns)): rows}
        counts: dict[Tags, int] = {}
        lists = [[None] * rows if column is None else column.to_pylist() for column in columns]
        for values in zip(*lists, strict=True):
            tags = make_tags(*values)
            counts[tags] = counts.get(tags, 0) + 1
        return counts

    def refuse_renaming(self, batch: pa.RecordBatch, todo: NDArray[np.int64], first_row: int) -> None:
        """Raise ``InputError`` for a row in ``todo`` whose tags belong to numbers that the run does not write."""
        places = [place for place in self._places if place is not None and batch.column(place).null_count < len(batch)]
        if not places:
            return
        rows = pa.array(todo)
        columns = [None if place is None else _read_plain(batch, place).take(rows) for place in self._places]
        tagged = np.zeros(len(todo), bool)
        for column in columns:
            tagged |= np.zeros(len(todo), bool) if column is None else _are_valid(column)
        replaced = np.ones(len(todo), bool)
        for place in self._results:
            replaced &= np.zeros(len(todo), bool) if place is None else _are_valid(batch.column(place).take(rows))
        for at in np.flatnonzero(tagged & ~replaced).tolist():
            tags = make_tags(*(None if column is None else column[at].as_py() for column in columns))
            status = None if self._status is None else batch.column(self._status)[int(todo[at])].as_py()
            if tags != Tags() and not _are_of_no_number(status, own=None not in self._results):
                _refuse(f"row {first_row + int(todo[at])}", self._names, tags)


def make_tags(model_id: Any, aggregator: Any, ema_alpha: Any, sampling: Any) -> Tags:
    """Tags of values as a table has them."""
    return Tags(model_id or None, aggregator or None, _alpha_of(ema_alpha), sampling or None)


def _alpha_of(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:  # a whole number of hundreds of digits, which JSON may hold: no run has that alpha
        return math.inf


def _are_of_no_number(status: Any, *, own: bool) -> bool:
    """Whether tags beside no number of the run's columns are left over, and not those of another number in the row.

    ``own``: the row has these columns, empty.
    """
    return status in _FAILED or (own and status not in _DONE)


def _read_plain(batch: pa.RecordBatch, place: int) -> pa.Array:
    column = decode_dictionary(batch.column(place))
    if pa.types.is_decimal(column.type):
        return column.cast(pa.float64())
    return column.cast(pa.large_string()) if pa.types.is_string_view(column.type) else column  # cannot be filtered


def _are_valid(column: pa.Array) -> NDArray[np.bool_]:
    return pc.is_valid(column).to_numpy(zero_copy_only=False)  # type: ignore[no-any-return]


def _refuse(where: str, names: Sequence[str], tags: Tags) -> NoReturn:
    role = next(role for role in TAG_ROLES if getattr(tags, role) is not None)
    name, value = names[TAG_ROLES.index(role)], getattr(tags, role)
    raise InputError(
        f"{where}: column {name!r} says {value!r} of numbers that stay in the row, which this run's tags would "
        "mislabel: give --prefix NAME_ in place of single column names, so that numbers and tags have columns of "
        "their own"
    )
