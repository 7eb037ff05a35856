"""A manifest: which tables a batch has, and with which options each is computed."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saliency_engine.config import OPTIONS, RunConfig, split_options
from saliency_engine.errors import ConfigError
from saliency_engine.options import normalize_names
from saliency_engine.storage.urls import is_remote
from saliency_engine.table_job import TableJob

_OF_ONE_TABLE = frozenset({"input", "output", "output_format", "audit_json", "rejects", "series", "maps", "shard"})
"""Options that no two tables can share."""
_PATHS = ("input", "output", "audit_json", "rejects", "series", "maps", "root", "model_path", "memo")
_DEFAULTS = frozenset(OPTIONS) - _OF_ONE_TABLE
_TABLE = {*OPTIONS, "id"} - {"shard"}


@dataclass(frozen=True)
class Entry:
    """One table of a manifest."""

    id: str
    job: TableJob
    config: RunConfig

    @property
    def whose(self) -> str:
        """What follows an option of this table in messages."""
        return f" of table {self.id!r}"


def read_manifest(path: str, given: Mapping[str, Any], base: str = "") -> list[Entry]:
    """The tables of the manifest at ``path``, JSON or, by its suffix, TOML, in its order.

    ``given`` are options of the command line, which win over the manifest's for every table. Relative paths of the
    manifest start from ``base``, or from its folder. Raises ``ConfigError`` naming the file and the table.
    """
    document = _load(path)
    folder = Path(base) if base else Path(path).parent
    if base and not folder.is_dir():
        raise ConfigError(f"--base-dir {base}: there is no such folder")
    given_defaults = document.get("defaults")
    defaults = _take({} if given_defaults is None else given_defaults, f"{path}, defaults", _DEFAULTS)
    tables = document.get("tables")
    if not isinstance(tables, list) or not tables:
        raise ConfigError(f"{path} has no tables: give a list 'tables', each with an id, an input and an output")
    entries: list[Entry] = []
    for number, table in enumerate(tables, 1):
        entry = _make_entry(f"{path}, table {_name_of(table) or number}", table, defaults, given, folder)
        if entry.id in (other.id for other in entries):
            raise ConfigError(f"{path}: two tables have the id {entry.id!r}: give one of them another")
        entries.append(entry)
    return entries


def _load(path: str) -> dict[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        is_toml = path.lower().endswith(".toml")
        document = tomllib.loads(text) if is_toml else json.loads(text, object_pairs_hook=_take_once)
    except UnicodeDecodeError as error:
        raise ConfigError(f"the manifest {path} cannot be read: it is not UTF-8 ({error}); save it as UTF-8") from error
    except (OSError, ValueError, RecursionError) as error:  # both kinds of syntax error are ValueErrors
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ConfigError(f"the manifest {path} cannot be read: {reason}") from error
    if not isinstance(document, dict):
        raise ConfigError(f"the manifest {path} is no object: write {{'defaults': {{…}}, 'tables': [{{…}}]}}")
    return document


def _take_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose keys must not be given twice."""
    names = [name for name, _ in pairs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"{min(twice)!r} is given twice in one object: keep one")
    return dict(pairs)


def _take(values: Any, where: str, known: set[str] | frozenset[str]) -> dict[str, Any]:
    """The options in an object of the manifest; ``null`` stands for one that is not given."""
    if not isinstance(values, dict):
        raise ConfigError(f"{where} is {values!r}: give an object of options")
    values = {name: value for name, value in values.items() if not name.startswith("_") and value is not None}
    return normalize_names(values, where, known)


def _name_of(table: Any) -> str:
    name = table.get("id") if isinstance(table, dict) else None
    return repr(name) if name else ""


def _make_entry(where: str, table: Any, defaults: dict[str, Any], given: Mapping[str, Any], folder: Path) -> Entry:
    own = _take(table, where, _TABLE)
    name = own.get("id", "")
    if not isinstance(name, str):
        raise ConfigError(f"{where}: its id is no text but {name!r}: write it in quotes")
    if not name.strip():
        raise ConfigError(f"{where} has no id: give each table an id, a text of its own")
    options = {**defaults, **own}
    del options["id"]
    for option in _PATHS:
        if option in options:
            options[option] = _resolve(options[option], folder, option)
    if str(options.get("model")).lower().endswith(".onnx"):
        options["model"] = _resolve(options["model"], folder, "model")
    if "model" in given:  # it is the whole model, and what the manifest says of another would contradict it
        options = {option: value for option, value in options.items() if option not in {"model_path", "model_id"}}
    elif "model_path" in given:
        options.pop("model", None)
    try:
        job, config = split_options({**options, **given})
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    if "-" in {*job.inputs, job.output}:
        raise ConfigError(f"{where} reads stdin or writes to stdout: tables of a manifest are files")
    return Entry(name, job, config)


def _resolve(value: Any, folder: Path, option: str) -> Any:
    """``value`` as a path that starts from ``folder``; what is no path is left for others to complain of."""
    if isinstance(value, tuple | list):
        return tuple(_resolve(part, folder, option) for part in value)
    if not isinstance(value, str) or value in {"", "-"} or is_remote(value) or (option == "memo" and value == "off"):
        return value
    return str(folder / value)
