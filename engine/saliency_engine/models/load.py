"""The one place that turns a model's name or path into bytes to run.

The file is read once: the bytes that are hashed, verified and looked through are those that are loaded. The rules:
docs/models.md.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.errors import FetchError, ModelError
from saliency_engine.models import registry
from saliency_engine.models.entry import Entry, Evidence, evidence_json, id_of_file, read_model
from saliency_engine.models.graph.edit import with_plain_input
from saliency_engine.models.graph.inspect import check_operators, read_graph
from saliency_engine.storage.urls import is_remote, refusal_of, show_path

_REMOTE_LIMIT = 1 << 31  # bytes: more is no ONNX file


@dataclass(frozen=True)
class Model:
    """A model's bytes, and what is known of exactly these."""

    model_id: str
    """The id that is written into the rows."""
    source: str
    """The file that the bytes are from, or ``built-in:`` and the id."""
    sha256: str
    """Of the file, in lower-case hex."""
    data: bytes
    """The file's bytes; where the file writes the input's free sizes as 0, say, its graph with plain ones instead."""
    evidence: Evidence | None = None
    """Why the bytes are believed to be the right ones; ``None``: nothing says so."""
    entry: Entry | None = None
    """The registry entry of these bytes."""
    fault: str = ""
    """Why every clip fails with this model; empty for a sound one."""
    by_default: bool = False
    """Whether no option names a model."""

    @property
    def files(self) -> list[Path]:
        """The files of the installed model that these bytes are from; none for other models."""
        return sorted(self.entry.folder.iterdir()) if self.entry and self.entry.folder else []

    def as_json(self) -> dict[str, Any]:
        """The audit's part about the model."""
        verified = {"verified": self.evidence is not None, "verified_by": evidence_json(self.evidence)}
        entry = self.entry.id if self.entry else None
        return {"id": self.model_id, "source": self.source, "sha256": self.sha256, **verified, "registry_entry": entry}


def load_model(config: RunConfig) -> Model:
    """Read, check and return the model that ``config`` names: a file, an id, else the built-in model.

    Raises ``ModelError`` when there is none, it cannot be read, its bytes are not those of the registry entry or of
    ``--model-sha256``, nothing verifies them under ``--require-verified``, its graph holds what may not run, or its
    rows would have the id of another model.
    """
    named = registry.find(config.model_name) if config.model_name else None
    path = Path(config.model_path)
    source, data = named.data() if named else _read(config, path)
    model_id = config.model_id or (named.id if named else path.stem)
    sha256 = hashlib.sha256(data).hexdigest()
    entry = named or _find_entry(model_id, sha256)
    if entry is not None and entry.sha256 != sha256:
        raise ModelError(_describe_mismatch(source, sha256, entry, installed=named is not None))
    evidence = _find_evidence(config, entry, source, sha256)
    try:
        graph = read_graph(data)
        check_operators(graph, config.allow_op)
        if not graph.has_plain_input:
            data = with_plain_input(data)
    except ModelError as error:
        raise ModelError(f"the model {source} is refused: {error}") from error
    own_id = graph.metadata.get("lusoris.model_id", "")
    if not (named or config.model_id):
        model_id = own_id or id_of_file(path)
    _check_id(model_id, own_id, source, sha256)
    if config.precision == "bfloat16" and not config.model_id:
        model_id += "_bf16"  # rows of another precision must not be mixed unseen
    by_default = not (config.model or config.model_path or config.model_id)
    return Model(model_id, source, sha256, data, evidence, entry, graph.fault, by_default)


def _read(config: RunConfig, path: Path) -> tuple[str, bytes]:
    """The model file that ``config`` names, and what it holds."""
    url = config.model_path
    if not is_remote(url) or path.exists():
        return str(path), read_model(path)
    if not config.allow_remote:
        raise ModelError(f"cannot read the model {show_path(url)}: {refusal_of(url)}")
    from saliency_engine.storage.transfer import fetch  # noqa: PLC0415  not loaded where nothing is remote

    data = io.BytesIO()
    try:
        fetch(url, data, _REMOTE_LIMIT)
    except FetchError as error:
        raise ModelError(f"cannot read the model {show_path(url)}: {error}") from error
    return url, data.getvalue()


def _find_entry(model_id: str, sha256: str) -> Entry | None:
    """For a file: the entry of the id that its rows would have, if its bytes are known, else that of the same bytes."""
    known, _ = registry.entries()
    named = known.get(model_id)
    if named is not None and named.sha256:
        return named
    return next((entry for entry in known.values() if entry.sha256 == sha256), None)


def _find_evidence(config: RunConfig, entry: Entry | None, source: str, sha256: str) -> Evidence | None:
    given = config.model_sha256.lower()
    if given and given != sha256:
        raise ModelError(
            f"{source} has the sha256 {sha256}, not {given} (--model-sha256): it is not the model you meant"
        )
    evidence = (entry.verified_by if entry else None) or (Evidence("sha256") if given else None)
    if evidence is None and config.require_verified:
        raise ModelError(
            f"{source} is not verified, so --require-verified refuses it: no registry entry has its sha256. If you "
            f"trust this file, say so with --model-sha256 {sha256}"
        )
    return evidence


def _check_id(model_id: str, own_id: str, source: str, sha256: str) -> None:
    """Raise ``ModelError`` where the registry knows ``model_id`` for other bytes; ``own_id`` stands in the file."""
    entry = registry.entries()[0].get(model_id)
    if entry is None or entry.sha256 == sha256:
        return
    if entry.sha256:
        raise ModelError(_describe_mismatch(source, sha256, entry, installed=False))
    if own_id != model_id:
        says = f"says that it is {own_id}" if own_id else "does not say which model it is"
        raise ModelError(
            f"{source} {says} (its metadata, lusoris.model_id), and {model_id} is the id of a registered model: two "
            "models must not share an id in the rows; give this one another with --model-id"
        )


def _describe_mismatch(source: str, sha256: str, entry: Entry, *, installed: bool) -> str:
    mismatch = f"{source} has the sha256 {sha256}, but the registry's {entry.id} is {entry.sha256}: "
    if installed:
        return mismatch + "the file was changed after it was installed; remove its folder and install the model again"
    return mismatch + "two models must not share an id in the rows; give this one another with --model-id"
