"""The student as an ONNX file, proven against torch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from saliency_engine.errors import ModelError
from saliency_engine.numerics.fidelity import PARITY, Fidelity, compare
from saliency_exporter.distill.network import Student
from saliency_exporter.graphs import compute_maps, finish_model
from saliency_exporter.sample_frames import Frames, draw_extreme, draw_natural

OPSET = 17
_NATURAL = 16


class SaliencyMap(nn.Module):
    """A student's largest logits through the sigmoid: ``[N, 3, H, W]`` to ``[N, 1, H, W]`` in [0, 1]."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, frames: Tensor) -> Tensor:
        """See the class."""
        saliency: Tensor = self.student(frames)[0].sigmoid()
        return saliency


def write_model(student: Student, size: tuple[int, int], metadata: Mapping[str, str]) -> tuple[bytes, Fidelity]:
    """The ONNX file for one frame a call, and how its maps compare with torch's on made frames.

    Raises ``ModelError`` when they differ by more than 1e-4, or loaders would refuse the graph.
    """
    network = SaliencyMap(student).eval().cpu()
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, *size),),
            cast(Any, file),  # its annotation knows paths alone
            opset_version=OPSET,
            input_names=["input"],
            output_names=["saliency_map"],
            dynamo=False,  # the other exporter starts at opset 18
        )
    model = onnx.load_from_string(file.getvalue())
    _enlarge_apart(model)
    content = finish_model(model, metadata)
    frames = np.concatenate([draw_natural(_NATURAL, *size), draw_extreme(*size)])
    figures = compare(_run_torch(network, frames), compute_maps(content, frames))
    if missed := PARITY.misses(figures):
        raise ModelError(f"the ONNX file and the network that was trained disagree: {'; '.join(missed)}")
    return content, figures


def _enlarge_apart(model: onnx.ModelProto) -> None:
    """Have the map enlarged as the one channel that it is.

    ONNX Runtime keeps channels in blocks of 8 or 16 from one convolution to the next, and would enlarge the map as a
    whole block, and take its sigmoid so. It has no blocks for this mode, which gives the same pixels wherever there are
    two or more: on one thread the whole network takes 0.91 to 0.94 of the time.
    """
    last = next(node for node in reversed(model.graph.node) if node.op_type == "Resize")
    for attribute in last.attribute:
        if attribute.name == "coordinate_transformation_mode":
            attribute.s = b"pytorch_half_pixel"


def _run_torch(network: nn.Module, frames: Frames) -> Frames:
    with torch.inference_mode():
        return np.concatenate([network(torch.from_numpy(frame[None])).numpy()[:, 0] for frame in frames])
