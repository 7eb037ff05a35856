"""Where NVIDIA's driver or libraries are missing, and what the extras bring."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import onnxruntime
import pytest
from packaging.requirements import Requirement
from tests.conftest import PROJECT
from tests.engine.inference.miniatures import model_of
from tests.small_models import miniature

from saliency_engine.config import RunConfig
from saliency_engine.errors import ProviderError
from saliency_engine.inference import nvidia
from saliency_engine.inference.session import Session
from saliency_engine.models.load import load_model

NO_GPU = pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU: it may well start")


@NO_GPU
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_machine_without_a_driver_is_told_so_in_one_line(
    provider: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    config = RunConfig(model_path=str(tmp_path / "model.onnx"), provider=provider)
    (tmp_path / "model.onnx").write_bytes(miniature().SerializeToString())
    with pytest.raises(ProviderError, match=f"^--provider {provider} cannot start: this machine has no NVIDIA driver"):
        Session(load_model(config), provider=provider, threads=1, batch_size=1, model_size=(48, 32))
    assert capfd.readouterr() == ("", "")


@NO_GPU
@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_a_provider_that_cannot_start_is_an_error_not_a_fallback(
    provider: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(nvidia, "has_nvidia_driver", lambda: True)
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ProviderError, match=f"--provider {provider} cannot start: .*saliency-batch\\[{provider}]"):
        Session(model_of(miniature()), provider=provider, threads=1, batch_size=1, model_size=(8, 8))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("extra", ["cuda", "tensorrt"])
def test_the_extras_bring_the_libraries_of_the_cuda_that_onnx_runtime_is_built_for(extra: str) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = Requirement(project["optional-dependencies"][extra][0])
    assert (wanted.name, wanted.extras) == ("onnxruntime-gpu", {"cuda", "cudnn"})
    assert not any(wanted.specifier.contains(version) for version in ("1.26.0", "1.27.1"))  # other CUDA, placeholders
    assert wanted.specifier.contains(onnxruntime.__version__)
    needs = [Requirement(line) for line in importlib.metadata.requires("onnxruntime-gpu") or []]
    brought = {
        need.name: need.specifier
        for need in needs
        if need.marker and any(need.marker.evaluate({"extra": name}) for name in wanted.extras)
    }
    cuda = str(onnxruntime.cuda_version).partition(".")[0]
    assert brought["nvidia-cuda-runtime"].contains(f"{cuda}.5")
    assert f"nvidia-cudnn-cu{cuda}" in brought
