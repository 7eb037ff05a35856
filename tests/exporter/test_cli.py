"""``saliency-export`` itself: what it says when it cannot work, and that help is instant."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest
from tests.exporter.upstream import saliency_export


def test_command_says_why_it_cannot_write(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = saliency_export("frequency-tuned", "--output", tmp_path / "file" / "model.onnx")
    assert result.exit_code == 2
    assert result.stderr.startswith("OutputError: ")
    assert "cannot be made: File exists" in result.stderr


@pytest.mark.parametrize("command", [("u2netp", "--upstream-dir"), ("distill", "--teacher", "t.onnx", "--frames")])
def test_without_torch_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: tuple[str, ...]
) -> None:
    def no_version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", no_version)
    result = saliency_export(*command, tmp_path, "--output", tmp_path / "model.onnx")
    assert result.exit_code == 2
    assert "needs torch: pip install 'saliency-batch[export]'" in result.stderr
    assert not list(tmp_path.iterdir())


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, saliency_exporter.cli; print(sorted({'onnx', 'numpy', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
