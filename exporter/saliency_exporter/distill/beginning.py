"""What a student's weights begin with: ImageNet's in the encoder, another student's, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

from saliency_engine.errors import ConfigError, ModelError
from saliency_exporter.distill.encoder_weights import PACKAGE, EncoderWeights, load_encoder_weights
from saliency_exporter.distill.network import Student
from saliency_exporter.distill.options import DistillOptions
from saliency_exporter.graphs import open_parent, read_metadata


class Beginning(Protocol):
    """The first weights of a student."""

    @property
    def rate(self) -> float:
        """AdamW's learning rate at the start."""

    @property
    def encoder_share(self) -> float:
        """Of the rate, for the encoder, which may know much already."""

    @property
    def whole_from(self) -> float:
        """The share of the training after which frames have their whole size, as they will have in use."""

    def give(self, student: Student) -> list[nn.Module]:
        """Give ``student`` its weights; returns what of it is kept in evaluation mode while it learns."""

    @property
    def key(self) -> str:
        """What a training that began so is known by."""

    @property
    def sentence(self) -> str:
        """For the metadata of the model, after what it is; may be empty."""

    def describe(self) -> dict[str, Any]:
        """For the manifest."""


@dataclass(frozen=True)
class Nothing:
    """Weights that are drawn."""

    rate = 2e-3
    encoder_share = 1.0
    whole_from = 0.8
    key = sentence = ""

    def give(self, student: Student) -> list[nn.Module]:
        """They are there already."""
        del student
        return []

    def describe(self) -> dict[str, Any]:
        """See the class."""
        return {"encoder": None, "fine_tuned": None}


@dataclass(frozen=True)
class ImageNet:
    """The weights of EfficientNet-Lite0 in the encoder."""

    weights: EncoderWeights
    rate = 2e-3
    encoder_share = 0.2
    whole_from = 0.8

    def give(self, student: Student) -> list[nn.Module]:
        """The first blocks learn nothing."""
        student.encoder.load_imagenet(self.weights.state)
        return student.encoder.freeze()

    @property
    def key(self) -> str:
        """The sha256 of their file."""
        return self.weights.sha256

    @property
    def sentence(self) -> str:
        """See the class."""
        return f"its encoder began with the weights of {PACKAGE} ({self.key})"

    def describe(self) -> dict[str, Any]:
        """See the class."""
        return {"encoder": {"package": PACKAGE, "sha256": self.key}, "fine_tuned": None}


@dataclass(frozen=True)
class FineTuned:
    """Another student, from its file."""

    path: Path
    model_id: str
    sha256: str
    conversion: str
    """What the file says of how it was made."""
    keep: float
    """The share of its weights in the mean that is written."""
    layers: Mapping[str, tuple[Tensor, Tensor]]
    """Weights and biases by the names of convolutions."""
    rate = 3e-4
    encoder_share = 0.2
    whole_from = 0.0

    def give(self, student: Student) -> list[nn.Module]:
        """The first blocks learn nothing. The normalisations' statistics stay as they are; their scale and bias learn.

        They have been folded into the convolutions.
        """
        student.load_folded(self.layers)
        norms = [module for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
        return [*student.encoder.freeze(), *norms]

    @property
    def key(self) -> str:
        """The file's sha256."""
        return self.sha256

    @property
    def sentence(self) -> str:
        """See the class."""
        kept = f" and has {self.keep:g} of its weights" if self.keep else ""
        return f"it began as {self.model_id} ({self.sha256}){kept}, of which its file says: {self.conversion}"

    def describe(self) -> dict[str, Any]:
        """See the class."""
        return {
            "encoder": None,
            "fine_tuned": {"path": str(self.path), "model_id": self.model_id, "sha256": self.sha256, "kept": self.keep},
        }


def read_beginning(options: DistillOptions) -> Beginning:
    """What the options ask for. Raises ``ConfigError`` and ``ModelError``."""
    if options.fine_tune is None:
        if options.keep:
            raise ConfigError("--keep is of the student that --fine-tune names: give both, or neither")
        return Nothing() if options.from_scratch else ImageNet(load_encoder_weights())
    if options.from_scratch:
        raise ConfigError("a student begins either with nothing (--from-scratch) or as another (--fine-tune)")
    return _read_student(options.fine_tune, options.keep)


def _read_student(path: Path, keep: float) -> FineTuned:
    """A student from its file. Raises ``ModelError`` where it cannot be read, or is no student of this network."""
    parent = open_parent(path)
    model = parent.load()
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    layers = {}
    try:
        for node in model.graph.node:
            if node.op_type == "Conv":
                _, weight, bias = node.input
                layers[_name_layer(node.name)] = _read_tensor(tensors[weight]), _read_tensor(tensors[bias])
        Student().load_folded(layers)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"{path} cannot be trained further: it is not a student as saliency-export distill of this version writes "
            "it (its variants in int8 or half precision are none)"
        ) from error
    conversion = read_metadata(model).get("lusoris.conversion", "nothing")
    return FineTuned(path, parent.model_id, parent.sha256, conversion, keep, layers)


def _read_tensor(tensor: TensorProto) -> Tensor:
    """Raises ``ValueError`` where it is not float32."""
    if tensor.data_type != TensorProto.FLOAT:
        raise ValueError(f"{tensor.name} is not float32")
    return torch.tensor(numpy_helper.to_array(tensor))


def _name_layer(node: str) -> str:
    """A layer's name in torch, from ``/student/fuse.0/fuse.0.1/Conv``: each part may repeat the one before it."""
    parts = node.strip("/").split("/")[1:-1]
    return ".".join(part for part, after in pairwise([*parts, ""]) if not after.startswith(f"{part}."))
