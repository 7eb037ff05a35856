"""The gate that every variant must pass."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.exporter.upstream import saliency_export


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
