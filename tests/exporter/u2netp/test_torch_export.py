"""Module and checkpoint in torch: what is loaded, what is refused, and that no pickle runs."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from tests.exporter.upstream import StandIn, manifest_of

pytest.importorskip("torch", reason="torch is not installed (extra: export)")


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_canary_in_the_pickle_does_not_run(checkout: StandIn, tmp_path: Path, writer: str) -> None:
    import torch

    canary = tmp_path / "canary"
    load = {"state_dict": Canary(canary)}
    if writer == "torch":
        torch.save(load, checkout.checkpoint)
    else:
        checkout.checkpoint.write_bytes(pickle.dumps(load))
    message = checkout.refuse(tmp_path)
    assert not canary.exists()
    assert message.startswith("ModelError: ")
    assert "not a plain checkpoint" in message


def test_weights_of_another_network(checkout: StandIn, tmp_path: Path) -> None:
    import torch

    torch.save({"encoder.weight": torch.zeros(3), "encoder.bias": torch.zeros(3)}, checkout.checkpoint)
    message = checkout.refuse(tmp_path, "--no-strict-load")
    assert "the checkpoint is not of this network" in message
    assert "encoder.bias" in message


def test_a_missing_weight_is_named_and_can_be_let_pass(checkout: StandIn, tmp_path: Path) -> None:
    checkout.save(lambda state: {name: value for name, value in state.items() if name != "side1.bias"})
    message = checkout.refuse(tmp_path)
    assert "1 missing (side1.bias)" in message
    assert "--no-strict-load" in message
    result = checkout.export(tmp_path / "model.onnx", "--no-strict-load")
    assert result.exit_code == 0
    assert "side1.bias" in result.stderr
    assert manifest_of(tmp_path / "model.onnx")["export"]["missing_weights"] == ["side1.bias"]


def test_a_module_without_the_network(checkout: StandIn, tmp_path: Path) -> None:
    checkout.module.write_text("import torch\n", encoding="utf-8")
    assert "defines no network U2NETP" in checkout.refuse(tmp_path)
