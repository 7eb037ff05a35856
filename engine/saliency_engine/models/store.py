"""The user's model folder: putting a model in, whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from saliency_engine.errors import ModelError, OutputError
from saliency_engine.models import registry
from saliency_engine.models.entry import ENTRY_FILE, Entry


def model_folder() -> Path:
    """The model folder, made where it is not there. Raises ``OutputError`` when the user has no home."""
    folder = registry.home()
    if folder is None:
        raise OutputError("there is no folder for models: HOME is not set; set SALIENCY_BATCH_HOME to one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder for models {folder}: {error.strerror or error}") from error
    return folder


def place(entry: Entry, files: Mapping[str, bytes]) -> Path:
    """Install ``files`` and the entry as the folder of ``entry.id``; returns it.

    The same bytes may be installed again; other bytes under the same id are a ``ModelError``. Raises ``OutputError``
    when the folder cannot be written; the id is then as it was before.
    """
    folder = model_folder()
    target = folder / entry.id
    known = registry.entries()[0].get(entry.id)
    if known is not None and known.sha256 not in {"", entry.sha256}:
        raise ModelError(
            f"{entry.id} is {known.state} and has the sha256 {known.sha256}; this model has {entry.sha256}: give it "
            "another id with --model-id" + (f", or remove {target} first" if known.folder else "")
        )
    if known is not None and known.state == "built in":
        raise ModelError(f"{entry.id} is built in: there is nothing to install")
    told = json.dumps(entry.as_json(), indent=2, sort_keys=True) + "\n"
    try:
        waiting = _beside(target)
        waiting.mkdir()
        try:
            for name, content in {**files, ENTRY_FILE: told.encode()}.items():
                _write(waiting / name, content)
            _sync(waiting)
            _exchange(waiting, target)
            _sync(folder)
        finally:
            shutil.rmtree(waiting, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"cannot install {target}: {error.strerror or error}") from error
    return target


def _exchange(waiting: Path, target: Path) -> None:
    """Give ``waiting`` the name ``target``; what had it takes the other's place, to be removed."""
    if not target.exists():
        waiting.rename(target)
        return
    aside = _beside(target)
    target.rename(aside)
    try:
        waiting.rename(target)
    except OSError:
        with suppress(OSError):
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}")  # names with a dot are no models


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
