"""A stand-in for the upstream checkout: a network of that name in three layers, with a licence and a checkpoint."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from saliency_exporter.cli import main

PROJECT = Path(__file__).resolve().parents[2]

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


@dataclass(frozen=True)
class Checkout:
    """The stand-in: ``folder`` has ``model/u2net.py``, ``LICENSE`` and the checkpoint ``u2netp.pth``."""

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
        """``saliency-export u2netp`` of this checkout at a small size."""
        size = ("--height", 48, "--width", 64)
        return export("u2netp", "--upstream-dir", self.folder, "--output", output, *size, *options)


def export(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="session")
def run() -> Callable[..., Result]:
    """``saliency-export`` with these arguments."""
    return export


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """Made once; ``checkout`` gives a copy to change."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: export)")
    checkout = Checkout(tmp_path_factory.mktemp("upstream") / "U-2-Net")
    checkout.module.parent.mkdir(parents=True)
    checkout.module.write_text(MODULE, encoding="utf-8")
    shutil.copy(PROJECT / "LICENSE", checkout.folder / "LICENSE")  # the same text as upstream's
    torch.manual_seed(3)
    namespace: dict[str, Any] = {}
    exec(MODULE, namespace)
    torch.save(namespace["U2NETP"]().state_dict(), checkout.checkpoint)
    return checkout


@pytest.fixture
def checkout(stand_in: Checkout, tmp_path: Path) -> Checkout:
    """A copy of the stand-in."""
    return Checkout(Path(shutil.copytree(stand_in.folder, tmp_path / "U-2-Net")))


@pytest.fixture(scope="session")
def exported(stand_in: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in as ONNX at batch 1, its manifest beside it."""
    output = tmp_path_factory.mktemp("exported") / "u2netp_mirror_v1.onnx"
    result = stand_in.export(output)
    assert result.exit_code == 0, result.stderr
    assert json.loads(output.with_name(f"{output.name}.manifest.json").read_bytes())["model_id"] == "u2netp_mirror_v1"
    return output
