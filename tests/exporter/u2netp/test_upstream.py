"""The real thing: needs a checkout of xuebinqin/U-2-Net at ac7e1c81, named by ``U2NET_CHECKOUT``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.exporter.upstream import manifest_of, saliency_export
from tests.processes import HANG, saliency_batch
from tests.rows import read_rows, write_clips

from saliency_exporter import sample_frames


@pytest.fixture(scope="module")
def upstream() -> Path:
    folder = os.environ.get("U2NET_CHECKOUT")
    if not folder:
        pytest.skip("U2NET_CHECKOUT names no checkout of xuebinqin/U-2-Net")
    return Path(folder)


@pytest.fixture(scope="module")
def checkpoint(upstream: Path, clips: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seeded weights, batch-norm statistics from a few frames: enough that the maps are not flat."""
    torch = pytest.importorskip("torch", reason="torch is not installed (extra: export)")
    namespace: dict[str, type] = {}
    exec((upstream / "model" / "u2net.py").read_text(encoding="utf-8"), namespace)
    paths = [str(path) for path in clips.values()]
    frames = [
        sample_frames.decode_clips(paths, 320, 320, most=8),
        sample_frames.draw_natural(4, 320, 320),
        sample_frames.draw_extreme(320, 320)[3:7],
    ]
    torch.manual_seed(7)
    network = namespace["U2NETP"](3, 1).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network(torch.from_numpy(np.concatenate(frames)))
    path = tmp_path_factory.mktemp("checkpoint") / "u2netp.pth"
    torch.save(network.state_dict(), path)
    return path


def mean_column(model: Path, table: Path, output: Path) -> list[float]:
    """``saliency_mean`` of every row by the engine."""
    options: list[str | Path] = ["--input", table, "--output", output, "--model-path", model, "--memo", "off"]
    options += ["--max-frames", "4", "--frame-samples", "4"]
    saliency_batch("run", *options, "--quiet", timeout=HANG)
    return [row["saliency_mean"] for row in read_rows(output)]


def test_batches_of_one_and_eight_give_the_engine_the_same_means(
    upstream: Path, checkpoint: Path, clips: dict[str, Path], tmp_path: Path
) -> None:
    table = tmp_path / "clips.jsonl"
    write_clips(table, clips.values())
    means = {}
    for batch in (1, 8):
        model = tmp_path / f"u2netp_b{batch}.onnx"
        result = saliency_export(
            *("u2netp", "--upstream-dir", upstream, "--checkpoint", checkpoint, "--output", model, "--batch", batch),
            *("--frames", clips["bikes"]),
        )
        assert result.exit_code == 0, result.stderr
        assert "differ from the audited" not in result.stderr
        manifest = manifest_of(model)
        assert manifest["upstream"]["head"].startswith("ac7e1c81")
        assert manifest["upstream"]["audit"]["differing"] == []
        assert manifest["export"]["batch"] == batch
        assert manifest["parity"]["frames"] >= 40
        assert manifest["parity"]["max_abs_difference"] <= 1e-4
        assert manifest["parity"]["mean_map_deviation"] > 0.01
        means[batch] = mean_column(model, table, tmp_path / f"out_{batch}.jsonl")
    assert len(means[1]) == len(clips)
    np.testing.assert_allclose(means[1], means[8], rtol=0, atol=1e-4)
