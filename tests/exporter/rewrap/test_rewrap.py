"""``saliency-export rewrap`` of a file with d0 and its sides: the model, its manifest, its refusals."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from tests.conftest import PROJECT
from tests.exporter.rewrap.upstream_files import (
    D0,
    SIZE,
    draw_frames,
    made,
    make_file,
    refused,
    rewrap,
    run,
    seven_fold,
    sigmoid,
    signature,
    take,
)
from tests.exporter.upstream import saliency_export

from saliency_engine.errors import ModelError
from saliency_engine.inference.session import Session
from saliency_engine.models.load import Model

ONE = (1, 1, *SIZE)


def test_the_mirror_is_d0_and_nothing_else(tmp_path: Path) -> None:
    path = seven_fold(tmp_path / "u2net.onnx")
    model, frames = made(path, "--batch", "3"), draw_frames(3)
    onnx.checker.check_model(model, full_check=True)
    assert signature(model) == [("input", 1, [3, 3, *SIZE]), ("saliency_map", 1, [3, 1, *SIZE])]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert [node.op_type for node in model.graph.node] == ["Identity", "Conv", "Conv", "Concat", "Conv", "Sigmoid"]
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    original = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    assert weights == original
    expected = np.concatenate([run(path, frame[None], "1959") for frame in frames])
    np.testing.assert_allclose(run(model, frames), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("opset", [13, 17, 20])
def test_the_manifest_says_what_was_changed(tmp_path: Path, opset: int) -> None:
    path = seven_fold(tmp_path / "u2net.onnx", opset=opset)
    model, written = made(path), (tmp_path / "mirror.onnx").read_bytes()
    manifest = json.loads((tmp_path / "mirror.onnx.manifest.json").read_bytes())
    assert (manifest["schema"], manifest["model_id"]) == ("u2netp-mirror-export-manifest-v1", "mirror")
    assert manifest["outputs"]["onnx_sha256"] == hashlib.sha256(written).hexdigest()
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert manifest["upstream"]["checkpoint_sha256"] == sha256
    export = manifest["export"]
    assert export["selected_upstream_output"] == "1959"
    assert export["operators"] == ["Concat", "Conv", "Identity", "Sigmoid"]
    text = " ".join(export["changes"])
    assert (f"opset {opset} to 17" in text) == (opset != 17)
    for words in ("1960, 1961", "input.1 and the output 1959", "1 x 3 x 32 x 48"):
        assert words in text
    assert manifest["parity"]["frames"] >= 16
    assert manifest["parity"]["max_abs_difference"] <= 1e-5
    assert manifest["parity"]["mean_map_deviation"] > 0.1
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert metadata["lusoris.model_id"] == "mirror"
    assert metadata["lusoris.upstream_checkpoint_sha256"] == sha256
    assert text in metadata["lusoris.conversion"]
    made(path)
    assert (tmp_path / "mirror.onnx").read_bytes() == written, "the same file and options give the same bytes"


@pytest.mark.parametrize("order", [("1959", "1960", "1961"), ("1961", "1960", "1959")])
def test_d0_is_the_output_that_all_others_flow_into(tmp_path: Path, order: tuple[str, ...]) -> None:
    made(seven_fold(tmp_path / "u2net.onnx", order))
    manifest = json.loads((tmp_path / "mirror.onnx.manifest.json").read_bytes())
    assert manifest["export"]["selected_upstream_output"] == "1959"


def test_outputs_that_leave_it_open_are_asked_for(tmp_path: Path) -> None:
    nodes = [take(), *D0[:2], sigmoid("side1", "a"), sigmoid("side2", "b")]
    path = make_file(tmp_path / "two.onnx", nodes, outputs=[("a", ONE), ("b", ONE)])
    assert "name the map with --upstream-output, one of a, b" in refused(path)
    assert "has no output 'c' (--upstream-output): its outputs are a, b" in refused(path, "--upstream-output", "c")
    model = made(path, "--upstream-output", "b")
    assert [tensor.name for tensor in model.graph.initializer] == ["w2"], "what only a needs is dropped"
    np.testing.assert_allclose(run(model, draw_frames(1)), run(path, draw_frames(1), "b"), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["linear", "nearest"])
@pytest.mark.parametrize("opset", [9, 10])
def test_old_files_are_resized_as_they_were(tmp_path: Path, opset: int, mode: str) -> None:
    half = helper.make_node("MaxPool", ["input.1"], ["half"], kernel_shape=[2, 2], strides=[2, 2])
    back = helper.make_node("Upsample" if opset == 9 else "Resize", ["half", "scales"], ["x"], mode=mode)
    scales, nodes = np.array([1, 1, 2, 2], np.float32), [half, back, *D0, sigmoid("d0", "map")]
    path = make_file(tmp_path / "old.onnx", nodes, outputs=[("map", ONE)], opset=opset, scales=scales)
    np.testing.assert_allclose(run(made(path), draw_frames(1)), run(path, draw_frames(1)), rtol=0, atol=1e-5)


def test_names_that_are_taken_inside_are_no_matter(tmp_path: Path) -> None:
    inner = [
        helper.make_node("Identity", ["input.1"], ["saliency_map"]),
        helper.make_node("Identity", ["saliency_map"], ["input"]),
        helper.make_node("Identity", ["input"], ["x"]),
    ]
    path = make_file(tmp_path / "up.onnx", [*inner, *D0, sigmoid("d0", "map")], outputs=[("map", ONE)])
    model = made(path)
    np.testing.assert_allclose(run(model, draw_frames(1)), run(path, draw_frames(1)), rtol=0, atol=1e-5)


def test_what_cannot_become_a_mirror_is_refused(tmp_path: Path) -> None:
    path = seven_fold(tmp_path / "u2net.onnx")
    assert "runs at height 32 only" in refused(path, "--height", "64")
    fixed = [helper.make_node("Reshape", ["input.1", "shape"], ["x"]), *D0, sigmoid("d0", "map")]
    path = make_file(tmp_path / "fixed.onnx", fixed, outputs=[("map", ONE)], shape=np.array([1, 3, *SIZE]))
    assert "it cannot take frames [2, 3, 32, 48]: some of its nodes are fixed" in refused(path, "--batch", "2")
    model = onnx.load(path)
    helper.set_model_props(model, {"license": "AGPL-3.0"})
    onnx.save(model, path)
    assert "says that its licence is 'AGPL-3.0' (its metadata, license)" in refused(path)
    path.write_bytes(b"<html>not found</html>")
    assert "cannot be rewrapped: it is a web page, not ONNX" in refused(path)
    assert "would overwrite" in saliency_export("rewrap", path, "--output", path).stderr


def test_only_what_is_licensed_can_be_released(tmp_path: Path) -> None:
    path, checkout = seven_fold(tmp_path / "u2net.onnx"), tmp_path / "U-2-Net"
    checkout.mkdir()
    model = tmp_path / "mirror.onnx"
    release = ["--model", model, "--manifest", f"{model}.manifest.json", "--checkout", checkout]
    shutil.copy(PROJECT / "LICENSE", checkout)
    result = rewrap(path)
    assert "so the model is for your own use" in result.stderr
    result = saliency_export("release", *release, "--output-dir", tmp_path / "release")
    assert (result.exit_code, "--upstream-dir and --upstream-repo" in result.stderr) == (2, True)

    origin = ["--upstream-dir", checkout, "--upstream-repo", "https://github.com/xuebinqin/U-2-Net"]
    result = rewrap(path, *origin)
    assert (result.exit_code, "own use" in result.stderr) == (0, False)
    result = saliency_export("release", *release, "--output-dir", tmp_path / "release")
    assert result.exit_code == 0, result.stderr
    licence = (tmp_path / "release" / "Apache-2.0-u2netp.txt").read_text(encoding="utf-8")
    for words in (
        "Xuebin Qin",
        "Only the output 1959 was kept; 1960, 1961",
        hashlib.sha256(path.read_bytes()).hexdigest(),
    ):
        assert words in licence
    assert "both in ONNX Runtime" in (tmp_path / "release" / "mirror.md").read_text(encoding="utf-8")

    (checkout / "LICENSE").write_text("MIT License\n", encoding="utf-8")
    model.unlink()
    Path(f"{model}.manifest.json").unlink()
    shutil.rmtree(tmp_path / "release")
    assert "is not recognisably Apache-2.0" in refused(path, *origin)


def test_the_engine_ends_its_refusal_with_the_command_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_session(path: Path) -> Session:
        model = Model("m", str(path), "", path.read_bytes())
        return Session(model, provider="cpu", threads=1, batch_size=1, model_size=SIZE[::-1])

    monkeypatch.chdir(tmp_path)
    path = seven_fold(tmp_path / "my u2net.onnx")
    with pytest.raises(ModelError) as refusal:
        open_session(path)
    command = f"saliency-export rewrap '{path}' --output 'my u2net_mirror_v1.onnx'"
    assert str(refusal.value).endswith(f"becomes one by: {command}")
    result = saliency_export("rewrap", path, "--output", "my_u2net_mirror_v1.onnx")
    assert result.exit_code == 0, result.stderr
    assert open_session(tmp_path / "my_u2net_mirror_v1.onnx").frames_per_call == 1

    last = [helper.make_node("Transpose", ["input.1"], ["x"], perm=[0, 3, 1, 2]), *D0, sigmoid("d0", "map")]
    path = make_file(tmp_path / "last.onnx", last, outputs=[("map", ONE)], frames=(1, *SIZE, 3))
    with pytest.raises(ModelError, match=r"--output last_mirror_v1.onnx --layout nhwc$"):
        open_session(path)
    two = [take(), *D0, helper.make_node("Concat", ["d0", "d0"], ["map"], axis=1)]
    path = make_file(tmp_path / "two.onnx", two, outputs=[("map", (1, 2, *SIZE))])
    with pytest.raises(ModelError, match=r"gives a map of shape \[1, 2, 32, 48\].*--output two_mirror_v1.onnx$"):
        open_session(path)
    four = [helper.make_node("Identity", ["input.1"], ["map"])]
    path = make_file(tmp_path / "four.onnx", four, outputs=[("map", (1, 4, *SIZE))], frames=(1, 4, *SIZE))
    with pytest.raises(ModelError, match=r"with one such input and no other$"):
        open_session(path)
