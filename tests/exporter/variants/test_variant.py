"""The gate that every variant must pass."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest
from tests.exporter.upstream import manifest_of, saliency_export
from tests.small_models import miniature


@pytest.mark.parametrize(
    ("command", "option", "bound"), [("int8", "--calibration", "0.998"), ("fp16", "--frames", "0.9999")]
)
def test_a_variant_that_misses_its_gate_is_refused(
    delicate: Path, tmp_path: Path, short_clips: list[Path], *, command: str, option: str, bound: str
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    result = saliency_export(command, delicate, "--output", target / "variant.onnx", option, short_clips[0])
    assert result.exit_code == 2
    assert f"the {command} variant of delicate is refused: mean correlation 0." in result.stderr
    assert f"(must be ≥ {bound})" in result.stderr
    assert not list(target.iterdir())


def test_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    """Its bytes stand on stdout, as ``sha256sum`` prints them; the manifest has escapes."""
    parent = tmp_path / "model.onnx"
    onnx.save(miniature(), parent)
    output = tmp_path / os.fsdecode(b"caf\xe9") / "model_fp16.onnx"
    output.parent.mkdir()
    result = saliency_export("fp16", parent, "--output", output)
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes.endswith(os.fsencode(f"  {output}\n"))
    manifest = manifest_of(output)
    assert manifest["outputs"]["onnx_path"] == str(output).replace("\udce9", "\\udce9")
    assert manifest["run_provenance"]["args"]["output"] == manifest["outputs"]["onnx_path"]
