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
    """Why a model's bytes are believed to be the right ones."""

    how: Literal["signature", "sha256", "registry"]
    """A signature, a sha256 that the user gave, or the registry of this package."""
    identity: str = ""
    """Whose the signature is; empty for other evidence."""
    issuer: str = ""
    """Who confirmed the signer's identity; empty for other evidence."""


@dataclass(frozen=True)
class Entry:
    """What is known of a model. Raises ``ModelError`` when a field is not what it must be."""

    id: str
    sha256: str
    """Of the ONNX file, in lower-case hex; empty where the bytes are not known."""
    licence: str
    """Its SPDX name, or where its text is."""
    input_size: str
    """``WIDTHxHEIGHT`` in pixels, or ``free``."""
    preprocessing: str
    source: str
    """Where the file comes from."""
    variant_of: str
    """Id of the float32 model that it was made of, or empty."""
    purpose: str = ""
    """What it is good for, in a sentence; empty for models of the user's own."""
    evidence: Evidence | None = None
    """How an installed model was verified."""
    folder: Path | None = None
    """Where an installed model's files are."""

    def __post_init__(self) -> None:
        check_id(self.id)
        if self.sha256 and not _SHA256.fullmatch(self.sha256):
            raise ModelError(f"the entry of {self.id} has the sha256 {self.sha256!r}, which is not 64 hex digits")
        if self.preprocessing != PREPROCESSING:
            raise ModelError(
                f"the entry of {self.id} asks for the preprocessing {self.preprocessing!r}, but only "
                f"{PREPROCESSING!r} exists"
            )

    @property
    def state(self) -> Literal["built in", "installed", "not installed"]:
        """Where its bytes are."""
        if self.folder is not None:
            return "installed"
        return "built in" if asset(f"{self.id}.onnx").is_file() else "not installed"

    @property
    def card(self) -> str:
        """The file that says what a built-in model can do, and what it was made of; empty for other models."""
        return str(asset(f"{self.id}.md")) if self.state == "built in" else ""

    @property
    def release(self) -> str:
        """Where its files are released, for ``models fetch``; empty where no release is known."""
        return self.source if "/releases/download/" in self.source else ""

    @property
    def way_to_it(self) -> str:
        """What to do to run it, for people."""
        if self.state != "not installed":
            return f"run it with --model {self.id}"
        if self.release:
            return (
                f"install it with saliency-batch models fetch {self.id} (from {self.release}), or make it yourself "
                "with saliency-export u2netp"
            )
        return (
            f"get its file ({self.source}) and give it with --model-path, or install it with saliency-batch models "
            "install"
        )

    @property
    def verified_by(self) -> Evidence | None:
        """How its bytes are verified: as they were when they were installed, or by the package's own registry."""
        return Evidence("registry") if self.folder is None else self.evidence

    def data(self) -> tuple[str, bytes]:
        """Where the model's bytes are from, and the bytes, not checked yet. Raises ``ModelError``."""
        if self.folder is not None:
            path = self.folder / MODEL_FILE
            return str(path), read_model(path)
        if self.state == "not installed":
            raise ModelError(f"the model {self.id} is known but not installed: {self.way_to_it}")
        return f"built-in:{self.id}", asset(f"{self.id}.onnx").read_bytes()

    def as_json(self) -> dict[str, Any]:
        """The entry as ``entry.json`` holds it."""
        document: dict[str, Any] = {one.name: getattr(self, one.name) or None for one in dataclasses.fields(self)}
        del document["folder"], document["evidence"]
        document["verified"] = evidence_json(self.evidence)
        return document


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
            f"{model_id!r} cannot be a model's id: an id has up to 100 letters, digits, '.', '_' and '-', and begins "
            "with a letter or digit"
        )
    return model_id


def id_of_file(path: Path) -> str:
    """The id of a model that states none: its file's name without the suffix. ``ModelError`` where that is no text."""
    try:
        path.stem.encode()
    except UnicodeEncodeError as error:
        raise ModelError(
            f"{path} does not state a model's id, and its name, which would be the id, is not UTF-8: rename the file"
        ) from error
    return path.stem


def read_entry(document: Any) -> Entry:
    """The entry that ``as_json`` gave. Raises ``ModelError`` or ``TypeError`` for anything else."""
    if not isinstance(document, dict):
        raise ModelError("it is not a JSON object")
    texts: dict[str, Any] = {name: value or "" for name, value in document.items() if name != "verified"}
    if not all(isinstance(value, str) for value in texts.values()):
        raise ModelError("each of its values must be text or null")
    verified = document.get("verified")
    return Entry(**texts, evidence=Evidence(**verified) if verified else None)


def asset(name: str) -> Traversable:
    """A file that comes with the package."""
    return resources.files("saliency_engine").joinpath("assets", name)
