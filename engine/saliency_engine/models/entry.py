"""What is known of one model: its registry entry, and the evidence that its bytes are the right ones."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from saliency_engine.errors import ModelError

PREPROCESSING = "imagenet"
"""R'G'B' in [0, 1], ImageNet's mean and deviation: the one way this engine prepares frames."""
MODEL_FILE, ENTRY_FILE, MANIFEST_FILE, LICENCE_FILE = "model.onnx", "entry.json", "manifest.json", "licence.txt"
BUNDLE_FILE = "model.onnx.bundle"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Evidence:
    """Why a model's bytes are believed to be the right ones.

    ``how``: a ``signature`` by ``identity`` under ``issuer``, a ``sha256`` that the user gave, or the ``registry`` of
    this package.
    """

    how: Literal["signature", "sha256", "registry"]
    identity: str = ""
    issuer: str = ""


@dataclass(frozen=True)
class Entry:
    """What is known of a model. Raises ``ModelError`` when a field is not what it must be.

    ``sha256``: lower-case hex, empty where the bytes are not known. ``input_size``: ``WIDTHxHEIGHT`` in pixels, or
    ``free``. ``variant_of``: id of the float32 model it was made of, or empty. ``evidence``: how an installed model was
    verified. ``folder``: where an installed model's files are.
    """

    id: str
    sha256: str
    licence: str
    input_size: str
    preprocessing: str
    source: str
    variant_of: str
    evidence: Evidence | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        check_id(self.id)
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise ModelError(f"the entry of {self.id} has the sha256 {self.sha256!r}, which is none")
        if self.preprocessing != PREPROCESSING:
            raise ModelError(
                f"the entry of {self.id} asks for the preprocessing {self.preprocessing!r}; known: {PREPROCESSING}"
            )

    @property
    def state(self) -> Literal["built in", "installed", "not installed"]:
        """Where its bytes are."""
        if self.folder is not None:
            return "installed"
        return "built in" if asset(f"{self.id}.onnx").is_file() else "not installed"

    @property
    def vouched_by(self) -> Evidence | None:
        """Why its bytes are believed to be the right ones: as they were installed, or by the package's own registry."""
        return Evidence("registry") if self.folder is None else self.evidence

    def data(self) -> tuple[str, bytes]:
        """Where the model's bytes are from, and the bytes, not checked yet. Raises ``ModelError``."""
        if self.folder is not None:
            path = self.folder / MODEL_FILE
            return str(path), read_model(path)
        if self.state == "not installed":
            raise ModelError(
                f"the model {self.id} is known but not installed (it comes from {self.source}): see saliency-batch "
                "models fetch --help and install --help, or give its file with --model-path"
            )
        return f"built-in:{self.id}", asset(f"{self.id}.onnx").read_bytes()

    def as_json(self) -> dict[str, Any]:
        """The entry as ``entry.json`` holds it."""
        told: dict[str, Any] = {name.name: getattr(self, name.name) or None for name in dataclasses.fields(self)}
        del told["folder"], told["evidence"]
        told["verified"] = evidence_json(self.evidence)
        return told


def evidence_json(evidence: Evidence | None) -> dict[str, str] | None:
    """``how``, and for signatures ``identity`` and ``issuer``."""
    return {k: v for k, v in dataclasses.asdict(evidence).items() if v} if evidence else None


def read_model(path: Path) -> bytes:
    """A model file's bytes. Raises ``ModelError`` when it cannot be read or is no regular file."""
    try:
        if path.exists() and not path.is_file():  # a pipe would wait, a device might never end
            raise ModelError(f"cannot read the model {path}: it is not a regular file")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise ModelError(f"cannot read the model {path}: {getattr(error, 'strerror', None) or error}") from error


def check_id(model_id: str) -> str:
    """``model_id``, when it can name a folder. Raises ``ModelError`` otherwise."""
    if not _ID.fullmatch(model_id):
        raise ModelError(
            f"{model_id!r} is no model id: up to 100 letters, digits, '.', '_' and '-', the first a letter or digit"
        )
    return model_id


def from_json(told: Any) -> Entry:
    """The entry that ``as_json`` gave. Raises ``ModelError`` or ``TypeError`` for anything else."""
    if not isinstance(told, dict):
        raise ModelError("it is not an object")
    texts: dict[str, Any] = {name: value or "" for name, value in told.items() if name != "verified"}
    if not all(isinstance(value, str) for value in texts.values()):
        raise ModelError("its values must be texts")
    verified = told.get("verified")
    return Entry(**texts, evidence=Evidence(**verified) if verified else None)


def asset(name: str) -> Traversable:
    """A file that comes with the package."""
    return resources.files("saliency_engine").joinpath("assets", name)
