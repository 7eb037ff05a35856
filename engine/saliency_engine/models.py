"""The one place that turns a model's name or path into bytes to run.

The file is read once; what is hashed is what is loaded.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from saliency_engine.config import BUILT_IN_MODEL, RunConfig
from saliency_engine.errors import ModelError

BUILT_IN = {BUILT_IN_MODEL: f"{BUILT_IN_MODEL}.onnx"}


@dataclass(frozen=True)
class Model:
    """A model's bytes with the id written into the rows and the lower-case hex sha256 of exactly these bytes."""

    model_id: str
    source: str
    sha256: str
    data: bytes


def load_model(config: RunConfig) -> Model:
    """Read the model that ``config`` names. Raises ``ModelError`` when there is none or it cannot be read."""
    if config.model:
        return _registered(config.model, config.model_id)
    path = Path(config.model_path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror or error}") from error
    return _model(config.model_id or path.stem, str(path), data)


def _registered(name: str, model_id: str) -> Model:
    if name not in BUILT_IN:
        raise ModelError(
            f"no model {name!r} is registered; there are: {', '.join(BUILT_IN)} (a file is given with --model-path)"
        )
    data = resources.files("saliency_engine").joinpath("assets", BUILT_IN[name]).read_bytes()
    return _model(model_id or name, f"built-in:{name}", data)


def _model(model_id: str, source: str, data: bytes) -> Model:
    return Model(model_id, source, hashlib.sha256(data).hexdigest(), data)
