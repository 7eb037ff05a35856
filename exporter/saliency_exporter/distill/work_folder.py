"""The folder with all that an interrupted command goes on from."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import torch

from saliency_engine.errors import ConfigError, OutputError
from saliency_engine.storage.atomic import naming, write_together
from saliency_exporter.distill.pictures import Corpus


@dataclass(frozen=True)
class WorkFolder:
    """The names of what is kept in ``path``."""

    path: Path

    @property
    def frames(self) -> Path:
        """All frames; written anew by each command."""
        return self.path / "frames.raw"

    @property
    def training(self) -> Path:
        """The student, and how far it is."""
        return self.path / "training.pt"

    @property
    def begin_anew(self) -> str:
        """What to do where the training that is kept is of no use."""
        return f"remove {self.training} to begin anew, or give another --work"

    def maps(self, teacher: str, provider: str, precision: str) -> Path:
        """The maps of the teacher with this sha256, as this provider computes them."""
        return self.path / f"maps-{teacher[:16]}-{provider.replace(' ', '-')}-{precision}.raw"

    def read_training(self, key: str) -> dict[str, Any] | None:
        """The state of the training with this ``key``; ``None`` where none was saved.

        Raises ``ConfigError`` where it cannot be read, or is of another training.
        """
        if not self.training.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.training, map_location="cpu", weights_only=True)
            own_key = state["key"]
        except (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, pickle.UnpicklingError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"the state of training cannot be read ({reason}): {self.begin_anew}") from error
        if own_key != key:
            raise ConfigError(
                f"the training in {self.path} is another one (other frames, teacher, first weights, seed, --reteach or "
                f"version of this program): {self.begin_anew}"
            )
        return state

    def save_training(self, key: str, state: Mapping[str, Any]) -> None:
        """Keep ``state`` under ``key``. Raises ``OutputError``."""
        file = io.BytesIO()
        torch.save({"key": key, **state}, file)
        write_together({self.training: file.getvalue()})


@contextmanager
def open_work_folder(path: Path) -> Iterator[WorkFolder]:
    """Make the folder where there is none, and keep other commands out of it.

    Raises ``OutputError`` when it cannot be made, or another command is working in it.
    """
    with naming(path):
        path.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"another command is working in {path}: wait for its end, or give another --work"
            ) from None
        yield WorkFolder(path)
    finally:
        os.close(handle)


def key_of(corpus: Corpus, *what: Any) -> str:
    """The key of a training that learns from ``corpus``, and for which ``what``, as JSON, matters."""
    sources = [[source.sha256, len(source.frames), source.is_held_out] for source in corpus.sources]
    return hashlib.sha256(orjson.dumps([sources, corpus.size, *what])).hexdigest()
