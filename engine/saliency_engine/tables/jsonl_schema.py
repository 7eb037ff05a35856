"""The one Arrow schema that many JSON lines share, and the lines that no schema can hold."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

import orjson
import pyarrow as pa

from saliency_engine.errors import InputError
from saliency_engine.tables.jsonl_lines import ParsedLines, refuse_surrogates

MAX_DEPTH = 32
"""Levels of objects and arrays in a value: Arrow's readers take some 50, and writers write what they cannot read."""
_SCALARS = {
    type(None): pa.null(),
    bool: pa.bool_(),
    int: pa.int64(),
    float: pa.float64(),
    str: pa.string(),
}
_DIGITS = bytes(ord("0") if chr(byte) in "0123456789" else 1 for byte in range(256))
_LONG_NUMBER = b"0" * 19


def loads(line: bytes) -> Any:
    """What the JSON text ``line`` holds. Raises ``ValueError`` where no Arrow column could hold all of it.

    Besides text that is no JSON, these are: a repeated key, text with lone surrogates, integers beyond 64 bits, an
    array of several types, nesting beyond ``MAX_DEPTH``.
    """
    value = _DECODER.decode(line.decode())
    if type(value) is dict:
        refuse_surrogates(line, value, "strict")
        # Without a sign of these every value by itself is sound, and looking closer would double the time.
        if b"[" in line or line.count(b"{") > MAX_DEPTH or _LONG_NUMBER in line.translate(_DIGITS):
            for key, item in value.items():
                _check_value(key, item)
    return value


def plain_loads(line: bytes) -> Any:
    """The same in a third of the time for an object of scalars, as most lines are; ``ValueError`` for any other."""
    value = orjson.loads(line)
    # As many colons as keys: nothing is nested, no key repeated. orjson gives integers beyond 64 bits as fractions.
    plain = type(value) is dict and len(value) == line.count(b":") and b"[" not in line
    if not plain or _LONG_NUMBER in line.translate(_DIGITS):
        raise ValueError("not a plain object")
    return value


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_make_object)


def _check_value(key: str, value: Any) -> None:
    try:
        _check_depth_and_integers(value, MAX_DEPTH)
        _type_of(value)
    except (ValueError, TypeError) as error:  # Arrow's own errors are of these kinds
        raise ValueError(f"column {key!r}: {error}") from error


def _check_depth_and_integers(value: Any, depth: int) -> None:
    if type(value) is int and not -(2**63) <= value < 2**63:
        raise ValueError("an integer beyond 64 bits has no Arrow type")
    if type(value) in (list, dict):
        if not depth:
            raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
        for item in value if type(value) is list else value.values():
            _check_depth_and_integers(item, depth - 1)


def _type_of(value: Any) -> pa.DataType:
    if type(value) is dict:
        return pa.struct([(key, _type_of(item)) for key, item in value.items()])
    return pa.list_(_common_type(value)) if type(value) is list else _SCALARS[type(value)]


def _common_type(values: Iterable[Any]) -> pa.DataType:
    """The type that all of ``values`` go with. Raises ``pyarrow.ArrowException`` where there is none.

    Not what ``pa.array`` infers: it takes ``true`` after 1.5 for 1.0.
    """
    types = dict.fromkeys(map(type, values))
    kinds = dict.fromkeys(_SCALARS[kind] for kind in types if kind in _SCALARS)
    if len(kinds) < len(types):
        kinds |= dict.fromkeys(_type_of(value) for value in values if type(value) in (list, dict))
    return reduce(unite, kinds, pa.null())


def unite(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that values of both go with. Raises ``pyarrow.ArrowException`` where there is none."""
    if one == other:
        return one
    schemas = [pa.schema([("x", kind)]) for kind in (one, other)]
    return pa.unify_schemas(schemas, promote_options="permissive").field(0).type


def infer_schema(chunks: Iterable[ParsedLines]) -> pa.Schema:
    """The schema that fits every row, fields in the order they are first seen.

    Whole numbers beside fractions become float64, nulls take any type, objects and arrays unite part by part.
    Raises ``InputError`` naming the column, the types and the lines where two lines share no type.
    """
    columns: dict[str, tuple[pa.DataType, int]] = {}  # the type so far, and the line that first gave it one
    for chunk in chunks:
        for key, values in chunk.columns().items():
            known, line = columns.get(key, (pa.null(), 0))
            try:
                kind = unite(known, _common_type(values))
            except pa.ArrowException:
                raise _explain_conflict(key, known, line, values, chunk.numbers) from None
            if known == pa.null() and kind != known:
                line = next(number for number, value in zip(chunk.numbers, values, strict=True) if value is not None)
            columns[key] = kind, line
    return pa.schema([(key, kind) for key, (kind, _) in columns.items()])


def _explain_conflict(
    key: str, known: pa.DataType, seen: int, values: Sequence[Any], lines: Sequence[int]
) -> InputError:
    """The first value that does not go with those before it, found one by one: only a run that fails pays for it."""
    for value, line in zip(values, lines, strict=True):
        kind = _type_of(value)
        try:
            united = unite(known, kind)
        except pa.ArrowException:
            return InputError(
                f"line {line}: column {key!r} is {kind} here but {known} on line {seen}; {_AGREE}{WRITE_LINES}"
            )
        seen = line if known == pa.null() and united != known else seen
        known = united
    return InputError(f"lines {lines[0]} to {lines[-1]}: column {key!r} is of several types; {_AGREE}{WRITE_LINES}")


_AGREE = "make the types agree"
WRITE_LINES = ", or write JSON lines (--output FILE.jsonl)"
"""How a message ends that is of use to those alone who write a table of the rows that they read."""
