"""``saliency-export`` itself: what it says when it cannot work, and that help is instant."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.exporter.upstream import saliency_export


def test_command_says_why_it_cannot_write(tmp_path: Path) -> None:
    result = saliency_export("frequency-tuned", "--output", tmp_path / "absent" / "model.onnx")
    assert result.exit_code == 2
    assert result.stderr.startswith("OutputError: ")
    assert "does not exist" in result.stderr


def test_command_without_onnx_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delitem(sys.modules, "saliency_exporter.frequency_tuned")
    monkeypatch.delattr("saliency_exporter.frequency_tuned")
    monkeypatch.setitem(sys.modules, "onnx", None)
    result = saliency_export("frequency-tuned", "--output", tmp_path / "model.onnx")
    assert result.exit_code == 2
    assert "pip install 'saliency-batch[export]'" in result.stderr
    assert not list(tmp_path.iterdir())


def test_help_imports_nothing_heavy() -> None:
    code = "import sys, saliency_exporter.cli; print(sorted({'onnx', 'numpy', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
