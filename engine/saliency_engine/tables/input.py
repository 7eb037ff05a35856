"""Input tables: any known format, from a file or a pipe, read in bounded batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

import pyarrow as pa

from saliency_engine.config import RunConfig, TableJob
from saliency_engine.errors import InputError
from saliency_engine.tables import sources
from saliency_engine.tables.formats import Format
from saliency_engine.tables.jsonl_lines import Lines
from saliency_engine.tables.rejects import Rejects
from saliency_engine.tables.rows import ArrowRows, LineRows, line_columns
from saliency_engine.tables.sources import Opened
from saliency_engine.types import RowBatch

_UNREADABLE = (pa.lib.Type_INTERVAL_MONTHS, pa.lib.Type_INTERVAL_DAY_TIME)


class Table:
    """An open input table; iterating gives its ``RowBatch`` es in order, once.

    ``schema`` is ``None`` when rows stay JSON lines; ``rows_total`` is ``None`` unless the format says it.
    ``output_format`` is the format the job's output has; lines that are no rows go to ``rejects``. Iterating raises
    ``InputError`` saying where.
    """

    def __init__(self, name: str, opened: Opened, output_format: Format, config: RunConfig, rejects: Rejects) -> None:
        self.schema = opened.schema
        self.rows_total = opened.rows_total
        self.output_format, self.rejects = output_format, rejects
        self._name, self._pieces, self._counted = name, opened.pieces, opened.counted
        self._plan: Callable[[Any, int], RowBatch[Any]]
        with _reading(name):
            _check(self.schema or ())
            self._plan = (LineRows(config) if self.schema is None else ArrowRows(self.schema, config)).plan
        self._fraction: float | None = None

    def __iter__(self) -> Iterator[RowBatch[pa.RecordBatch | Lines]]:
        first_row = 0
        while True:
            with _reading(self._name):
                self._fraction, piece = next(self._pieces, (1.0, None))
                if piece is None:
                    return
                batch = self._plan(piece, first_row)
            yield batch
            first_row += batch.rows

    def fraction(self) -> float | None:
        """How much of the input has been read, in [0, 1]; ``None`` when that cannot be known."""
        return self._fraction

    def rows(self) -> int:
        """How many rows the input has by its own account, rejected lines among them; to be asked at the end."""
        return self._counted()


def _check(fields: Iterable[pa.Field], column: str = "") -> None:
    """Raises what would otherwise come up in the middle of the run, where Arrow first looks.

    ``UnicodeDecodeError`` for a name that is not UTF-8, ``InputError`` for a type that PyArrow has no arrays of.
    """
    for field in fields:
        own, kind = field.name, field.type  # reading the name is what checks it, inside a column too
        name = column or own
        if kind.id in _UNREADABLE:
            raise InputError(f"column {name!r} holds a {kind}, which PyArrow cannot read: leave it out")
        inside = [pa.field("", kind.value_type)] if pa.types.is_dictionary(kind) else []
        _check([*inside, *(kind.field(i) for i in range(kind.num_fields))], name)


@contextmanager
def open_table(
    job: TableJob, config: RunConfig, stdin: BinaryIO | None = None, rejects: Rejects | None = None
) -> Iterator[Table]:
    """Open ``job.input`` (``-``: ``stdin``, by default the process's own) for the format of ``job.output``.

    JSON lines that go to an Arrow format are read twice, first for their schema (a pipe is kept in a temporary
    file on disk meanwhile). Lines that are no rows go to ``rejects``, which is to be open while the table is read;
    without it the first one is an ``InputError``. Raises ``ConfigError`` for an unknown suffix and ``InputError`` for
    the rest.
    """
    with ExitStack() as files:
        name = "stdin" if job.input == "-" else job.input
        rejects = rejects or Rejects(job)
        with _reading(name):
            opened, output_format = sources.open_source(job, stdin, files, line_columns(config), rejects)
        yield Table(name, opened, output_format, config, rejects)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        where = f"{name}, " if str(error).startswith("line") else f"{name}: "
        raise InputError(where + str(error)) from error
    except FileNotFoundError:
        raise InputError(f"{name}: no such file") from None
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    except MemoryError:
        raise InputError(f"{name}: there is not enough memory to read it; is it damaged?") from None
    except pa.ArrowException as error:
        raise InputError(f"{name}: {error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: a column's name is not UTF-8: {error}") from error
