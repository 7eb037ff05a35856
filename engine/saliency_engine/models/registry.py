"""The models this machine knows by id: those the package knows, and those installed in the user's model folder.

A model folder holds one folder per model: ``model.onnx``, ``entry.json``, the licence's text, and the manifest and
the signature where there were any. The format: docs/models.md.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from saliency_engine.errors import ModelError
from saliency_engine.models.entry import ENTRY_FILE, Entry, asset, from_json


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


def entries() -> tuple[dict[str, Entry], list[str]]:
    """Every known model by id, and what is wrong with installed ones that cannot be read.

    An installed model takes the place of the package's entry of the same id, never of a model that is built in.
    """
    found, problems = {entry.id: entry for entry in shipped()}, []
    folder = home()
    for path in sorted(folder.iterdir()) if folder is not None and folder.is_dir() else ():
        if not path.is_dir() or path.name.startswith("."):
            continue
        try:
            entry = _installed(path)
        except ModelError as error:
            problems.append(str(error))
            continue
        if found.get(entry.id, entry).state != "built in":
            found[entry.id] = entry
    return found, problems


def find(model_id: str) -> Entry:
    """The entry of this id. Raises ``ModelError`` naming those there are."""
    known, problems = entries()
    if model_id in known:
        return known[model_id]
    ready = ", ".join(entry.id for entry in known.values() if entry.state != "not installed")
    said = "".join(f"; {problem}" for problem in problems if f"{os.sep}{model_id}{os.sep}" in problem)
    raise ModelError(
        f"no model {model_id!r} is registered; there are: {ready} (a file is given with --model-path){said}"
    )


def shipped() -> list[Entry]:
    return [from_json(told) for told in json.loads(asset("registry.json").read_text(encoding="utf-8"))]


def _installed(folder: Path) -> Entry:
    path = folder / ENTRY_FILE
    try:
        entry = from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError, ModelError) as error:
        raise ModelError(f"{path} cannot be used: {getattr(error, 'strerror', None) or error}") from error
    if entry.id != folder.name or not entry.sha256:
        raise ModelError(f"{path} cannot be used: it is not the entry of a model installed as {folder.name}")
    return dataclasses.replace(entry, folder=folder)
