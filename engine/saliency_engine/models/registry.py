"""The models this machine knows by id: those the package knows, and those installed in the user's model folder.

A model folder holds one folder per model: ``model.onnx``, ``entry.json``, the licence's text, and the manifest and
the signature where there were any. Folders whose names begin with a dot are no models. The format: docs/models.md.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from saliency_engine.errors import ModelError, OutputError
from saliency_engine.models.entry import (
    BUNDLE_FILE,
    ENTRY_FILE,
    LICENCE_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    Entry,
    asset,
    read_entry,
)
from saliency_engine.storage.atomic import write_folder

_FILES = frozenset({MODEL_FILE, ENTRY_FILE, MANIFEST_FILE, LICENCE_FILE, BUNDLE_FILE})


def home() -> Path | None:
    """The user's model folder, there or not; ``None`` where the user has no home.

    ``$SALIENCY_BATCH_HOME/models``, else ``$XDG_DATA_HOME/saliency-batch/models``, else the same under
    ``~/.local/share``.
    """
    if own := os.environ.get("SALIENCY_BATCH_HOME"):
        return Path(own).absolute() / "models"
    data = Path(os.environ.get("XDG_DATA_HOME", ""))
    if not data.is_absolute():  # the XDG specification has relative paths ignored
        try:
            data = Path.home() / ".local" / "share"
        except RuntimeError:
            return None
    return data / "saliency-batch" / "models"


def make_home() -> Path:
    """The user's model folder, made where it is not there. Raises ``OutputError``, also when the user has no home."""
    folder = home()
    if folder is None:
        raise OutputError("there is no folder for models, because HOME is not set: set SALIENCY_BATCH_HOME to one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder for models {folder}: {error.strerror or error}") from error
    return folder


def entries() -> tuple[dict[str, Entry], list[str]]:
    """Every known model by id, and what is wrong with installed ones that cannot be read.

    An installed model takes the place of the package's entry of the same id, never of a model that is built in.
    """
    known, problems = {entry.id: entry for entry in shipped()}, []
    folder = home()
    for path in sorted(folder.iterdir()) if folder is not None and folder.is_dir() else ():
        if not path.is_dir() or path.name.startswith("."):
            continue
        try:
            entry = _read_installed(path)
        except ModelError as error:
            problems.append(str(error))
            continue
        if known.get(entry.id, entry).state != "built in":
            known[entry.id] = entry
    return known, problems


def find(model_id: str) -> Entry:
    """The entry of this id. Raises ``ModelError`` naming those there are, and the one that may be meant."""
    known, problems = entries()
    if model_id in known:
        return known[model_id]
    ready = ", ".join(entry.id for entry in known.values() if entry.state != "not installed")
    of_this_id = "".join(f". {problem}" for problem in problems if f"{os.sep}{model_id}{os.sep}" in problem)
    close = difflib.get_close_matches(model_id, known, n=1)
    meant = f" Did you mean {close[0]} ({known[close[0]].state})?" if close else ""
    file = f"{model_id} is a file: give it" if Path(model_id).is_file() else "Give a file of your own"
    raise ModelError(
        f"no model {model_id!r} is registered; there are: {ready}.{meant} {file} with --model-path" + of_this_id
    )


def shipped() -> list[Entry]:
    """The models that the package knows."""
    return [read_entry(document) for document in json.loads(asset("registry.json").read_text(encoding="utf-8"))]


def place_model(entry: Entry, files: Mapping[str, bytes]) -> Path:
    """Install ``files`` and the entry as the folder of ``entry.id``, whole or not at all; returns it.

    The same bytes may be installed again; other bytes under the same id are a ``ModelError``, and so is a folder that
    holds anything else. Raises ``OutputError``
    when the folder cannot be written; the id is then as it was before.
    """
    target = make_home() / entry.id
    known = entries()[0].get(entry.id)
    if known is not None and known.sha256 not in {"", entry.sha256}:
        raise ModelError(
            f"{entry.id} is {known.state} and has the sha256 {known.sha256}; this model has {entry.sha256}: give it "
            "another id with --model-id" + (f", or remove {target} first" if known.folder else "")
        )
    if known is not None and known.state == "built in":
        raise ModelError(f"{entry.id} is built in: there is nothing to install")
    foreign = sorted(path.name for path in target.iterdir() if path.name not in _FILES) if target.is_dir() else []
    if foreign:
        raise ModelError(
            f"{target} would be replaced, and it holds {foreign[0]}, which is no part of an installed model: move it "
            "elsewhere, or give another id with --model-id"
        )
    text = json.dumps(entry.as_json(), indent=2, sort_keys=True) + "\n"
    write_folder(target, {**files, ENTRY_FILE: text.encode()})
    return target


def _read_installed(folder: Path) -> Entry:
    path = folder / ENTRY_FILE
    try:
        entry = read_entry(json.loads(path.read_bytes()))
        if entry.id != folder.name or not entry.sha256:
            raise ModelError(f"it is not the entry of a model installed as {folder.name}")
    except (OSError, ValueError, TypeError, RecursionError, ModelError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ModelError(f"{path} cannot be used: {reason}. Remove its folder and install the model again") from error
    return dataclasses.replace(entry, folder=folder)
