"""Values of rows for people: of every format, and of the columns that are wanted alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa

from saliency_engine.tables.jsonl_arrow import to_lines
from saliency_engine.tables.jsonl_lines import Lines

_BOM = b"\xef\xbb\xbf"


def names_of(payload: pa.RecordBatch | Lines) -> list[str]:
    """The columns of a row batch's payload; of JSON lines the keys of the first."""
    if isinstance(payload, Lines):
        return list(_parse(payload.texts[0])) if payload.texts else []
    return list(payload.schema.names)


def read_values(payload: pa.RecordBatch | Lines, wanted: Callable[[str], bool]) -> Iterator[dict[str, Any]]:
    """Each row's values in the columns that are ``wanted``, as JSON has them. Others are not looked at."""
    if isinstance(payload, Lines):
        for text in payload.texts:
            yield {name: value for name, value in _parse(text).items() if wanted(name)}
        return
    names = payload.schema.names
    places = [i for i, name in enumerate(names) if wanted(name) and name not in names[:i]]
    if not places:
        yield from ({} for _ in range(payload.num_rows))
        return
    # By way of JSON, which has a form for every type: PyArrow has no objects for some, such as nanoseconds.
    yield from map(json.loads, to_lines(payload.select(places)))


def _parse(text: bytes) -> dict[str, Any]:
    return json.loads(text.lstrip(_BOM))  # type: ignore[no-any-return]
