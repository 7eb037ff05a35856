"""The built-in model, the stand-in for the upstream checkout, and what is exported from it."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import pytest
from tests.exporter.upstream import StandIn, make_stand_in, manifest_of


@pytest.fixture
def built_in() -> Path:
    """The model that comes with the engine."""
    return Path(str(files("saliency_engine") / "assets" / "frequency_tuned_v1.onnx"))


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> StandIn:
    """Made once; ``checkout`` gives a copy to change."""
    pytest.importorskip("torch", reason="torch is not installed (extra: export)")
    return make_stand_in(tmp_path_factory.mktemp("upstream") / "U-2-Net")


@pytest.fixture
def checkout(stand_in: StandIn, tmp_path: Path) -> StandIn:
    """A copy of the stand-in."""
    return StandIn(Path(shutil.copytree(stand_in.folder, tmp_path / "U-2-Net")))


@pytest.fixture(scope="session")
def exported(stand_in: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stand-in as ONNX at batch 1, its manifest beside it."""
    output = tmp_path_factory.mktemp("exported") / "u2netp_mirror_v1.onnx"
    result = stand_in.export(output)
    assert result.exit_code == 0, result.stderr
    assert manifest_of(output)["model_id"] == "u2netp_mirror_v1"
    return output
