"""What an option is: a dataclass field with a default, a help text and a check of its value."""

from __future__ import annotations

import dataclasses
import difflib
import os
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any

from saliency_engine.errors import ConfigError


def option(default: Any, help: str, choices: tuple[str, ...] = (), low: float | None = None) -> Any:
    """The field of an option. ``low``: its lowest value; ``choices``: all its values."""
    kind = int if default == "auto" and not choices else type(default)
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "low": low, "kind": kind})


def take_values(options: Any) -> None:
    """Make text of the ``Path``s in those fields of ``options``, a frozen dataclass, that name files.

    A ``model`` that is an ONNX file becomes ``model_path``; an aggregator such as ``ema:0.3`` gives the alpha, too.
    """
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if field.name in _PATHS and isinstance(value, os.PathLike):
            object.__setattr__(options, field.name, os.fsdecode(value))
    if hasattr(options, "temporal_aggregator"):
        _take_shorthands(options)


def _take_shorthands(options: Any) -> None:
    if str(options.model).lower().endswith(".onnx") and not options.model_path:
        object.__setattr__(options, "model_path", str(options.model))
        object.__setattr__(options, "model", "")
    name, _, alpha = str(options.temporal_aggregator).partition(":")
    if name == "ema" and alpha:
        with suppress(ValueError):  # else it is no aggregator, and is refused as such
            object.__setattr__(options, "ema_alpha", float(alpha))
            object.__setattr__(options, "temporal_aggregator", name)


def check_values(options: Any) -> None:
    """Raise ``ConfigError`` for the first field of ``options`` whose value is of the wrong type or out of range."""
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        if not _is_allowed(field, value):
            raise ConfigError(f"{flag_of(field.name)} is {value!r}: give {_describe_allowed(field)}")


def _is_allowed(field: dataclasses.Field[Any], value: Any) -> bool:
    kind, low = field.metadata["kind"], field.metadata["low"]
    if kind is tuple:
        choices = field.metadata["choices"]
        return isinstance(value, tuple | list) and all(
            item in choices if choices else isinstance(item, str) for item in value
        )
    if field.metadata["choices"]:
        return value in field.metadata["choices"]
    if field.default == "auto" and value == "auto":
        return True
    if kind is str:
        texts = value if field.name in _SEVERAL and isinstance(value, tuple | list) else [value]
        return all(isinstance(text, str) and _is_text(text, is_path=field.name in _PATHS) for text in texts)
    if isinstance(value, bool) or kind is bool:  # in Python a bool is an int, too
        return isinstance(value, bool) and kind is bool
    is_number = isinstance(value, int | float) if kind is float else isinstance(value, int)
    return is_number and (low is None or low <= value <= _HIGHEST[kind])


def _describe_allowed(field: dataclasses.Field[Any]) -> str:
    kind, low = field.metadata["kind"], field.metadata["low"]
    if field.metadata["choices"]:
        return f"{'a list of' if kind is tuple else 'one of'} {', '.join(field.metadata['choices'])}"
    limits = "" if low is None else f" from {low} to {_HIGHEST[kind]}"
    return _KINDS[kind] + limits + (" or auto" if field.default == "auto" else "")


def _is_text(value: str, *, is_path: bool) -> bool:
    """Whether ``value`` is UTF-8 without NUL. File names need not be: Python has their other bytes as surrogates."""
    try:
        value.encode("utf-8", "surrogateescape" if is_path else "strict")
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def describe_unknown(name: str, known: Iterable[str]) -> str:
    """What to say of the option ``name``, which is none of ``known``."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"unknown option {name!r}; " + (f"did you mean {close[0]!r}?" if close else "see saliency-batch run --help")


def normalize_names(values: Mapping[str, Any], where: str, known: Collection[str]) -> dict[str, Any]:
    """Options as a file has them, with underscores for the hyphens in their names, and tuples for lists.

    Raises ``ConfigError``, which begins with ``where``, for a name that is not ``known`` or is given twice.
    """
    options: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name in options:
            raise ConfigError(f"{where}: {key!r} is given twice, with hyphens and with underscores: keep one")
        if name not in known:
            raise ConfigError(f"{where}: {describe_unknown(name, known)}")
        options[name] = tuple(value) if isinstance(value, list) else value
    return options


def flag_of(name: str) -> str:
    """The option ``name`` as the command line has it."""
    return "--" + name.replace("_", "-")


_PATHS = frozenset(
    {
        "input",
        "output",
        "audit_json",
        "rejects",
        "series",
        "maps",
        "model_path",
        "root",
        "memo",
        "ffmpeg_bin",
        "ffprobe_bin",
    }
)
_SEVERAL = frozenset({"input"})  # may be a list, too
_HIGHEST = {int: 2**31 - 1, float: 24 * 60 * 60}  # what the libraries below take; seconds
_KINDS: dict[type, str] = {
    str: "text in UTF-8 without NUL",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "a list of texts",
}
