"""``fix-shape``, ``fp16`` and ``int8``: what they write, how it runs, and when they refuse."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from click.testing import Result
from numpy.typing import NDArray
from onnx import TensorProto, helper
from tests.clips import Encode
from tests.rows import write_rows
from tests.small_models import saliency_model

from saliency_engine.models.graph.operators import ADMITTED
from saliency_exporter import sample_frames
from saliency_exporter.variants.blocks import choose_costly, cut

Run = Callable[..., Result]


@pytest.fixture
def built_in() -> Path:
    return Path(str(files("saliency_engine") / "assets" / "frequency_tuned_v1.onnx"))


@pytest.fixture(scope="module")
def short_clips(encode: Encode) -> list[Path]:
    """Two clips of twelve frames."""
    return [encode("short.mp4"), encode("short2.mp4", source="bigbuckbunny")]


def manifest_of(output: Path) -> dict[str, Any]:
    loaded = json.loads(output.with_name(f"{output.name}.manifest.json").read_bytes())
    assert isinstance(loaded, dict)
    return loaded


def run_model(path: Path, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    (maps,) = session.run(None, {session.get_inputs()[0].name: frames})
    return np.asarray(maps)


def check(output: Path, parent: Path, model_id: str) -> dict[str, Any]:
    """What every variant must have; returns its manifest."""
    model, manifest = onnx.load(output), manifest_of(output)
    onnx.checker.check_model(model, full_check=True)
    assert {node.op_type for node in model.graph.node} <= ADMITTED
    assert {entry.domain for entry in model.opset_import} == {""}
    assert [(len(model.graph.input), len(model.graph.output))] == [(1, 1)]
    ends = model.graph.input[0], model.graph.output[0]
    assert [end.type.tensor_type.elem_type for end in ends] == [TensorProto.FLOAT] * 2
    parent_sha256 = hashlib.sha256(parent.read_bytes()).hexdigest()
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["lusoris.model_id"] == manifest["model_id"] == model_id
    assert metadata["lusoris.parent_sha256"] == manifest["parent"]["sha256"] == parent_sha256
    assert json.loads(metadata["lusoris.variant_figures"]) == manifest["figures"]
    assert manifest["schema"] == "saliency-variant-manifest-v1"
    assert manifest["outputs"]["onnx_sha256"] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert manifest["run_provenance"]["inputs"]["parent"]["sha256"] == parent_sha256
    return manifest


def save_model(path: Path, nodes: Sequence[onnx.NodeProto], constants: dict[str, NDArray[Any]]) -> Path:
    """``nodes`` as a graph ``[1, 3, 48, 64]`` → ``[1, 1, 48, 64]``."""
    onnx.save(saliency_model(*nodes, frames=(1, 3, 48, 64), maps=(1, 1, 48, 64), **constants), path)
    return path


@pytest.fixture
def delicate(tmp_path: Path) -> Path:
    """The difference of two large tensors that are nearly the same: no rounding of either is forgiven."""
    first = np.zeros((2, 3, 1, 1), np.float32)
    first[:, 0], first[1, 1] = 1.0, 0.001
    second = np.array([-1000.0, 1000.0], np.float32).reshape(1, 2, 1, 1)
    nodes = [
        helper.make_node("Conv", ["input", "first"], ["both"]),
        helper.make_node("Conv", ["both", "second"], ["difference"]),
        helper.make_node("Sigmoid", ["difference"], ["saliency_map"]),
    ]
    return save_model(tmp_path / "delicate.onnx", nodes, {"first": first, "second": second})


def test_fix_shape_gives_the_same_maps_in_batches(run: Run, built_in: Path, tmp_path: Path) -> None:
    output = tmp_path / "frequency_tuned_v1_320x320_b4.onnx"
    result = run("fix-shape", built_in, "--output", output, "--batch", 4, "--height", 320, "--width", 320)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.split()[0] == hashlib.sha256(output.read_bytes()).hexdigest()
    assert "--model-id" not in result.stderr  # the file is named like the id
    manifest = check(output, built_in, "frequency_tuned_v1_320x320_b4")
    assert manifest["variant"] == {"name": "320x320_b4", "batch": 4, "height": 320, "width": 320}
    assert manifest["figures"]["max_abs"] <= 1e-4
    frames = sample_frames.draw_natural(4, 320, 320)
    np.testing.assert_allclose(run_model(output, frames), run_model(built_in, frames), rtol=0, atol=1e-5)


def test_fix_shape_of_a_student(run: Run, models: Path, tmp_path: Path) -> None:
    """Its batch of 1 becomes 2, its free size 96×64; named otherwise, the user is told of the id."""
    parent, output = models / "saliency_student_v2.onnx", tmp_path / "fixed.onnx"
    result = run("fix-shape", parent, "--output", output, "--batch", 2, "--height", 64, "--width", 96)
    assert result.exit_code == 0, result.stderr
    assert "--model-id saliency_student_v2_96x64_b2" in result.stderr
    check(output, parent, "saliency_student_v2_96x64_b2")
    frames = sample_frames.draw_natural(2, 64, 96)
    alone = np.concatenate([run_model(parent, frame[None]) for frame in frames])
    np.testing.assert_allclose(run_model(output, frames), alone, rtol=0, atol=1e-5)


def test_fix_shape_refuses_a_size_that_cannot_be_measured(run: Run, built_in: Path, tmp_path: Path) -> None:
    output = tmp_path / "other.onnx"
    result = run("fix-shape", built_in, "--output", output, "--batch", 1, "--height", 64, "--width", 320)
    assert result.exit_code == 2
    assert "runs at 320×320 only" in result.stderr
    assert not list(tmp_path.iterdir())


def test_fix_shape_refuses_a_batch_that_the_nodes_contradict(run: Run, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Reshape", ["mean", "shape"], ["saliency_map"]),
    ]
    parent = save_model(tmp_path / "reshaped.onnx", nodes, {"shape": np.array([1, 1, 48, 64])})
    result = run("fix-shape", parent, "--output", tmp_path / "o.onnx", "--batch", 2, "--height", 48, "--width", 64)
    assert result.exit_code == 2
    assert result.stderr.startswith("ModelError: ")
    assert list(tmp_path.iterdir()) == [parent]


def test_fp16(run: Run, exported: Path, tmp_path: Path, short_clips: list[Path]) -> None:
    output = tmp_path / "u2netp_mirror_v1_fp16.onnx"
    result = run("fp16", exported, "--output", output, "--frames", short_clips[0])
    assert result.exit_code == 0, result.stderr
    manifest = check(output, exported, "u2netp_mirror_v1_fp16")
    model = onnx.load(output)
    weights = {tensor.data_type for tensor in model.graph.initializer if len(tensor.dims) == 4}
    assert weights == {TensorProto.FLOAT16}
    assert manifest["figures"]["frames"] == 16 + 8 + 12
    assert manifest["figures"]["correlation"] >= 0.9999
    assert manifest["figures"]["max_abs"] > 0.0, "nothing was rounded: was half precision measured at all?"
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["lusoris.upstream_commit"] == "ac7e1c81"  # the parent's own origin stays


def test_int8(run: Run, exported: Path, tmp_path: Path, short_clips: list[Path]) -> None:
    """Calibrated on the clips of a table, one row of which names no clip."""
    table, output = tmp_path / "clips.jsonl", tmp_path / "u2netp_mirror_v1_int8.onnx"
    rows = [{"src": str(path)} for path in (*short_clips, short_clips[0], tmp_path / "absent.mp4")]
    write_rows(table, rows)
    result = run("int8", exported, "--output", output, "--calibration", table)
    assert result.exit_code == 0, result.stderr
    manifest = check(output, exported, "u2netp_mirror_v1_int8")
    assert (manifest["variant"]["calibration_frames"], manifest["figures"]["frames"]) == (12, 12)
    assert manifest["figures"]["correlation"] >= 0.998
    assert manifest["figures"]["delta_mean"] <= 0.02
    assert manifest["variant"]["tried"][-1]["settings"] == manifest["variant"]["settings"]
    assert "QuantizeLinear" in {node.op_type for node in onnx.load(output).graph.node}
    frames = sample_frames.decode_clips([str(short_clips[1])], 48, 64)[1::2]
    pairs = [(run_model(exported, frame[None]), run_model(output, frame[None])) for frame in frames]
    assert min(np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in pairs) > 0.99


def test_int8_of_a_student_leaves_sensitive_layers_in_float(
    run: Run, models: Path, tmp_path: Path, short_clips: list[Path]
) -> None:
    parent, output = models / "saliency_student_v2.onnx", tmp_path / "saliency_student_v2_int8.onnx"
    calibration = [word for path in short_clips for word in ("--calibration", path)]
    result = run("int8", parent, "--output", output, *calibration)
    assert result.exit_code == 0, result.stderr
    manifest = check(output, parent, "saliency_student_v2_int8")
    tried = manifest["variant"]["tried"]
    assert tried[0]["settings"] == "every layer in int8"
    assert all(attempt["correlation"] < 0.998 for attempt in tried[:-1])
    assert "most sensitive blocks in float" in manifest["variant"]["settings"]
    kinds = [tensor.data_type for tensor in onnx.load(output).graph.initializer if len(tensor.dims) == 4]
    assert kinds.count(TensorProto.INT8) * 2 >= len(kinds) > kinds.count(TensorProto.INT8)


@pytest.mark.parametrize(
    ("command", "option", "bound"), [("int8", "--calibration", "0.998"), ("fp16", "--frames", "0.9999")]
)
def test_a_variant_that_misses_its_gate_is_refused(
    run: Run, delicate: Path, tmp_path: Path, short_clips: list[Path], *, command: str, option: str, bound: str
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    result = run(command, delicate, "--output", target / "variant.onnx", option, short_clips[0])
    assert result.exit_code == 2
    assert f"the {command} variant of delicate is refused: mean correlation 0." in result.stderr
    assert f"(must be ≥ {bound})" in result.stderr
    assert not list(target.iterdir())


def test_inputs_that_are_no_model_or_no_clip(run: Run, built_in: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "model.onnx"
    wrong.write_bytes(b"not an ONNX file")
    result = run("fp16", wrong, "--output", tmp_path / "o.onnx")
    assert (result.exit_code, "not a valid ONNX model" in result.stderr) == (2, True)
    result = run("fp16", tmp_path / "absent.onnx", "--output", tmp_path / "o.onnx")
    assert (result.exit_code, "No such file" in result.stderr) == (2, True)
    result = run("int8", built_in, "--output", tmp_path / "o.onnx", "--calibration", wrong)
    assert (result.exit_code, result.stderr.startswith("InputError: ")) == (2, True)
    assert list(tmp_path.iterdir()) == [wrong]


def test_operators_that_loaders_refuse(run: Run, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sin", ["mean"], ["saliency_map"]),
    ]
    parent = save_model(tmp_path / "sine.onnx", nodes, {})
    result = run("fp16", parent, "--output", tmp_path / "o.onnx")
    assert (result.exit_code, "operators that loaders refuse: Sin" in result.stderr) == (2, True)


def test_made_frames_are_many_distinct_and_the_same_every_time() -> None:
    natural, extreme = sample_frames.draw_natural(16, 32, 48), sample_frames.draw_extreme(32, 48)
    assert natural.shape == (16, 3, 32, 48)
    assert extreme.shape == (8, 3, 32, 48)
    assert len({frame.tobytes() for frame in (*natural, *extreme)}) == 24
    np.testing.assert_array_equal(natural, sample_frames.draw_natural(16, 32, 48))
    np.testing.assert_array_equal(extreme, sample_frames.draw_extreme(32, 48))
    rgb = np.concatenate([natural, extreme]) * np.reshape((0.229, 0.224, 0.225), (3, 1, 1))
    rgb += np.reshape((0.485, 0.456, 0.406), (3, 1, 1))
    assert rgb.min() >= -1e-6
    assert rgb.max() <= 1 + 1e-6


def test_blocks_left_in_float_bring_the_costs_under_the_budget(models: Path) -> None:
    blocks = cut(onnx.load(models / "saliency_student_v2.onnx"), (64, 96))
    assert [block.nodes[0].op_type for block in blocks[:4]] == ["Conv", "Conv", "MaxPool", "Conv"]
    assert blocks[0].readers == [blocks[1]]
    assert blocks[0].work == 3 * 16 * 9 * 64 * 96
    assert all((block.work > 0) == (block.nodes[0].op_type == "Conv") for block in blocks)
    prices = [0.001] * len(blocks)
    for budget in (1.0, 0.0105, 0.0):
        left = choose_costly(blocks, prices, budget)
        rounded = [b for b in blocks if not {id(x) for x in (b, *b.readers)} <= {id(x) for x in left}]
        assert 0.001 * len(rounded) <= budget
    assert choose_costly(blocks, prices, 1.0) == []
