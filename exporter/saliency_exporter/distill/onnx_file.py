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
    content = finish_model(onnx.load_from_string(file.getvalue()), metadata)
    frames = np.concatenate([draw_natural(_NATURAL, *size), draw_extreme(*size)])
    figures = compare(_run_torch(network, frames), compute_maps(content, frames))
    if missed := PARITY.misses(figures):
        raise ModelError(f"the ONNX file and the network that was trained disagree: {'; '.join(missed)}")
    return content, figures


def _run_torch(network: nn.Module, frames: Frames) -> Frames:
    with torch.inference_mode():
        return np.concatenate([network(torch.from_numpy(frame[None])).numpy()[:, 0] for frame in frames])
