"""``resize``: the same weights at another size are another model, whose rows cannot be taken for the parent's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.exporter.upstream import saliency_export
from tests.exporter.variants.checks import check_variant, run_model
from tests.in_process import run, stderr_of
from tests.rows import read_rows, write_clips
from tests.small_models import saliency_model

from saliency_engine.models.entry import asset
from saliency_exporter.sample_frames import decode_clips

PARENT = Path(str(asset("saliency_open_v1.onnx")))


@pytest.fixture(scope="module")
def resized(short_clips: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``saliency_open_v1`` at 224×192, named by its id."""
    output = tmp_path_factory.mktemp("resized") / "small.onnx"
    size = ("--height", 192, "--width", 224)
    result = saliency_export("resize", "saliency_open_v1", "--output", output, *size, "--frames", short_clips[0])
    assert result.exit_code == 0, result.stderr
    assert "saliency_open_v1_224x192 against its parent on 12 frames: correlation 0." in result.stderr
    return output


def test_it_is_the_same_network_at_another_size(resized: Path, short_clips: list[Path]) -> None:
    manifest = check_variant(resized, PARENT, "saliency_open_v1_224x192")
    assert manifest["variant"].items() >= {"name": "224x192", "height": 192, "width": 224}.items()
    assert manifest["gate"] == {}
    free = onnx.load(PARENT)
    for value in (free.graph.input[0], free.graph.output[0]):
        for axis, name in ((2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[axis].dim_param = name
    session = ort.InferenceSession(free.SerializeToString(), providers=["CPUExecutionProvider"])
    frame = decode_clips([str(short_clips[0])], 192, 224)[:1]
    (expected,) = session.run(None, {"input": frame})
    assert expected.std() > 0.01
    np.testing.assert_allclose(run_model(resized, frame), expected, rtol=0, atol=1e-5)


def test_its_figures_are_how_far_its_maps_are_from_the_parents(resized: Path, short_clips: list[Path]) -> None:
    def compute(path: Path, height: int, width: int) -> NDArray[np.float32]:
        frames = decode_clips([str(short_clips[0])], height, width)
        return np.stack([run_model(path, frame[None])[0, 0] for frame in frames])

    own, maps = compute(PARENT, 320, 320), compute(resized, 192, 224)
    scaled = [np.asarray(Image.fromarray(one).resize((320, 320), Image.Resampling.BILINEAR)) for one in maps]
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(own, scaled, strict=True)]
    figures = check_variant(resized, PARENT, "saliency_open_v1_224x192")["figures"]
    assert figures["correlation"] == pytest.approx(np.mean(correlations), abs=1e-6)
    moved = [abs(float(a.mean() - b.mean())) for a, b in zip(own, scaled, strict=True)]
    assert figures["delta_mean"] == pytest.approx(max(moved), abs=1e-6)


def test_its_rows_say_which_model_and_size_they_are_of(resized: Path, short_clips: list[Path], tmp_path: Path) -> None:
    """Whatever provider runs it, and they are not put among rows of its parent."""
    table, output = write_clips(tmp_path / "in.jsonl", short_clips[:1]), tmp_path / "out.jsonl"
    run("--input", table, "--output", output, "--model-path", resized, "--provider", "auto")
    (row,) = read_rows(output)
    assert (row["saliency_model_id"], row["saliency_status"]) == ("saliency_open_v1_224x192", "ok")
    assert row["saliency_sampling"] == "head:8@224x192"
    write_clips(tmp_path / "more.jsonl", short_clips)
    mixed = tmp_path / "mixed.jsonl"
    mixed.write_text(output.read_text() + (tmp_path / "more.jsonl").read_text())
    reason = stderr_of("run", "--input", mixed, "--output", tmp_path / "o.jsonl", code=2)
    assert "saliency_open_v1_224x192" in reason


def test_sizes_that_cannot_be(short_clips: list[Path], tmp_path: Path) -> None:
    free = tmp_path / "free.onnx"
    nodes = [onnx.helper.make_node("ReduceMean", ["input"], ["saliency_map"], axes=[1])]
    onnx.save(saliency_model(*nodes, frames=(1, 3, "h", "w"), maps=(1, 1, "h", "w")), free)
    refused = {
        ("saliency_open_v1", 320, 320): "has the size 320×320 already",
        ("saliency_open_v1", 96, 100): "some of its nodes are fixed to other sizes",
        (free, 96, 128): "takes any size: give run --model-size 128x96",
        ("saliency_open_v0", 96, 128): "cannot read the model saliency_open_v0",
    }
    for (model, height, width), reason in refused.items():
        size = ("--height", height, "--width", width, "--frames", short_clips[0])
        result = saliency_export("resize", model, "--output", tmp_path / "o.onnx", *size)
        assert result.exit_code == 2
        assert reason in result.stderr
    assert list(tmp_path.iterdir()) == [free]
