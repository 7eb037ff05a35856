"""``saliency-export`` in this process, and a stand-in for the upstream checkout that it exports."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result
from tests.conftest import PROJECT

from saliency_exporter.cli import main

MODULE = """
import torch
from torch import nn

class U2NETP(nn.Module):
    def __init__(self, in_ch=3, out_ch=1):
        super().__init__()
        self.stage1 = nn.Conv2d(in_ch, 8, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(8)
        self.stage2 = nn.Conv2d(8, 8, 3, padding=1)
        self.side1 = nn.Conv2d(16, out_ch, 3, padding=1)

    def forward(self, x):
        first = torch.relu(self.norm1(self.stage1(x)))
        second = torch.relu(self.stage2(nn.functional.max_pool2d(first, 2, ceil_mode=True)))
        second = nn.functional.interpolate(second, size=first.shape[2:], mode="bilinear")
        d0 = self.side1(torch.cat((first, second), 1))
        return torch.sigmoid(4 * d0), torch.sigmoid(-d0)
"""
SIZE = (48, 64)
"""(height, width) that the stand-in is exported at."""


@dataclass(frozen=True)
class StandIn:
    """A checkout with a network called U2NETP in three layers: ``model/u2net.py``, ``LICENSE``, ``u2netp.pth``."""

    folder: Path

    @property
    def module(self) -> Path:
        return self.folder / "model" / "u2net.py"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "u2netp.pth"

    def save(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Save the seeded weights anew, after ``change``."""
        import torch

        torch.save(change(torch.load(self.checkpoint, weights_only=True)), self.checkpoint)

    def export(self, output: Path, *options: object) -> Result:
        """``saliency-export u2netp`` of this checkout at ``SIZE``."""
        size = ("--height", SIZE[0], "--width", SIZE[1])
        return saliency_export("u2netp", "--upstream-dir", self.folder, "--output", output, *size, *options)

    def refuse(self, folder: Path, *options: object) -> str:
        """Export into an empty folder, which must stay empty; returns the message."""
        target = folder / "target"
        target.mkdir()
        result = self.export(target / "model.onnx", *options)
        assert result.exit_code == 2
        assert list(target.iterdir()) == []
        assert "Traceback" not in result.output
        return str(result.stderr)


def make_stand_in(folder: Path) -> StandIn:
    """Write the stand-in with seeded weights; needs torch."""
    import torch

    checkout = StandIn(folder)
    checkout.module.parent.mkdir(parents=True)
    checkout.module.write_text(MODULE, encoding="utf-8")
    shutil.copy(PROJECT / "LICENSE", checkout.folder / "LICENSE")  # the same text as upstream's
    torch.manual_seed(3)
    namespace: dict[str, Any] = {}
    exec(MODULE, namespace)
    torch.save(namespace["U2NETP"]().state_dict(), checkout.checkpoint)
    return checkout


def saliency_export(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def manifest_path(output: Path) -> Path:
    return output.with_name(f"{output.name}.manifest.json")


def manifest_of(output: Path) -> dict[str, Any]:
    """The manifest beside a model."""
    manifest = json.loads(manifest_path(output).read_bytes())
    assert isinstance(manifest, dict)
    return manifest
