"""Nothing phones home: what the exporter's commands leave in a fresh home, which is nothing."""

from __future__ import annotations

from pathlib import Path

from tests.clips import Encode
from tests.exporter.upstream import SIZE, StandIn, manifest_path
from tests.silence import EXPORT, left_at_home


def test_frequency_tuned(tmp_path: Path) -> None:
    assert left_at_home(EXPORT, "frequency-tuned", "--output", tmp_path / "model.onnx") == set()


def test_variants(built_in: Path, encode: Encode, tmp_path: Path) -> None:
    shape = ("--batch", 2, "--height", 320, "--width", 320)
    assert left_at_home(EXPORT, "fix-shape", built_in, "--output", tmp_path / "two.onnx", *map(str, shape)) == set()
    # Refused for what it does to the maps of this model, after both were computed.
    assert left_at_home(EXPORT, "fp16", built_in, "--output", tmp_path / "half.onnx", status=2) == set()
    calibration = ("--calibration", encode("calibration.mp4", size=(64, 64), frames=8))
    assert left_at_home(EXPORT, "int8", built_in, "--output", tmp_path / "int8.onnx", *calibration) == set()


def test_u2netp_and_its_release(stand_in: StandIn, tmp_path: Path) -> None:
    model = tmp_path / "u2netp_mirror_v1.onnx"
    size = ("--height", str(SIZE[0]), "--width", str(SIZE[1]))
    assert left_at_home(EXPORT, "u2netp", "--upstream-dir", stand_in.folder, "--output", model, *size) == set()
    files = ("--model", model, "--manifest", manifest_path(model), "--checkout", stand_in.folder)
    assert left_at_home(EXPORT, "release", *files, "--output-dir", tmp_path / "release") == set()
