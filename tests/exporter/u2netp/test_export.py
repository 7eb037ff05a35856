"""``saliency-export u2netp`` on the stand-in: the file, its manifest, and its maps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import orjson
import pytest
from tests.exporter.upstream import SIZE, StandIn, manifest_path

from saliency_engine.models.graph.edit import with_input
from saliency_engine.models.graph.framewise import frames_apart
from saliency_engine.models.graph.operators import ADMITTED

pytest.importorskip("torch", reason="torch is not installed (extra: export)")


def signature(model: onnx.ModelProto) -> list[tuple[str, int, list[int]]]:
    ends = [*model.graph.input, *model.graph.output]
    return [(e.name, e.type.tensor_type.elem_type, [d.dim_value for d in e.type.tensor_type.shape.dim]) for e in ends]


def test_the_file_keeps_the_contract(exported: Path, stand_in: StandIn) -> None:
    model = onnx.load(exported)
    onnx.checker.check_model(model, full_check=True)
    assert signature(model) == [("input", 1, [1, 3, *SIZE]), ("saliency_map", 1, [1, 1, *SIZE])]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 17)]
    assert model.ir_version <= 10
    assert {node.op_type for node in model.graph.node} <= ADMITTED
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    conversion = metadata.pop("lusoris.conversion")
    assert "d0 alone" in conversion
    assert metadata == {
        "lusoris.model_id": "u2netp_mirror_v1",
        "lusoris.upstream_repo": "https://github.com/xuebinqin/U-2-Net",
        "lusoris.upstream_commit": "ac7e1c81",
        "lusoris.upstream_checkpoint_sha256": hashlib.sha256(stand_in.checkpoint.read_bytes()).hexdigest(),
    }


def test_the_manifest_keeps_the_schema(exported: Path, stand_in: StandIn) -> None:
    written = manifest_path(exported).read_bytes()
    manifest = orjson.loads(written)
    assert written == orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS) + b"\n"
    sha256 = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in (
        ("module", stand_in.module), ("checkpoint", stand_in.checkpoint), ("license", stand_in.folder / "LICENSE"),
        ("onnx", exported),
    )}  # fmt: skip
    assert manifest["schema"] == "u2netp-mirror-export-manifest-v1"
    upstream = manifest["upstream"]
    for name in ("module", "checkpoint", "license"):
        assert upstream[f"{name}_sha256"] == sha256[name]
        assert Path(upstream[f"{name}_path"]).is_file()
    assert (upstream["commit"], upstream["head"], upstream["notice_present"]) == ("ac7e1c81", None, False)
    assert upstream["audit"]["differing"] == ["model/u2net.py", "LICENSE"]
    export = manifest["export"]
    assert [export[key] for key in ("opset", "batch", "height", "width")] == [17, 1, *SIZE]
    assert (export["input_name"], export["output_name"]) == ("input", "saliency_map")
    assert (export["selected_upstream_output"], export["metadata_written"]) == ("d0", True)
    assert manifest["parity"]["frames"] >= 16
    assert 0 <= manifest["parity"]["max_abs_difference"] <= 1e-4
    assert manifest["parity"]["mean_map_deviation"] > 0.01, "the stand-in's maps are flat: parity proves nothing"
    assert manifest["outputs"] == {"onnx_path": str(exported), "onnx_sha256": sha256["onnx"]}
    provenance = manifest["run_provenance"]
    assert provenance["schema"] == "ai-run-provenance-v1"
    assert {name: entry["sha256"] for name, entry in provenance["inputs"].items()} == {
        name: sha256[name] for name in ("module", "checkpoint", "license")
    }
    assert provenance["outputs"]["onnx"]["sha256"] == sha256["onnx"]


def test_same_inputs_give_the_same_bytes_and_batches_the_same_maps(
    exported: Path, checkout: StandIn, tmp_path: Path
) -> None:
    """The second export also has its weights under ``state_dict`` with the prefix of a data-parallel wrapper."""
    eight = tmp_path / "eight.onnx"
    assert checkout.export(tmp_path / "again.onnx").exit_code == 0
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()
    checkout.save(lambda state: {"epoch": 3, "state_dict": {f"module.{name}": value for name, value in state.items()}})
    assert checkout.export(eight, "--batch", 8, "--manifest-out", tmp_path / "m.json").exit_code == 0
    assert json.loads((tmp_path / "m.json").read_bytes())["export"]["batch"] == 8
    frames = np.random.default_rng(5).standard_normal((8, 3, *SIZE)).astype(np.float32)
    one, together = (ort.InferenceSession(p, providers=["CPUExecutionProvider"]) for p in (exported, eight))
    assert [size for end in (together.get_inputs(), together.get_outputs()) for size in end[0].shape] == [
        *(8, 3, *SIZE),
        *(8, 1, *SIZE),
    ]
    alone = np.concatenate([np.asarray(one.run(None, {"input": frame[None]})[0]) for frame in frames])
    np.testing.assert_allclose(together.run(None, {"input": frames})[0], alone, rtol=0, atol=1e-5)


def test_the_graph_of_one_frame_a_call_takes_several_on_a_card(exported: Path) -> None:
    """torch writes the sizes that maps are enlarged to as ``Shape`` → ``Slice`` → ``Concat``; the export folds them."""
    data = exported.read_bytes()
    assert {"Shape", "Slice"}.isdisjoint(node.op_type for node in onnx.load_from_string(data).graph.node)
    assert frames_apart(data)
    frames = np.random.default_rng(5).standard_normal((3, 3, *SIZE)).astype(np.float32)
    three, one = (
        ort.InferenceSession(made, providers=["CPUExecutionProvider"])
        for made in (with_input(data, frames.shape, uint16=False), data)
    )
    alone = np.concatenate([np.asarray(one.run(None, {"input": frame[None]})[0]) for frame in frames])
    np.testing.assert_allclose(three.run(None, {"input": frames})[0], alone, rtol=0, atol=1e-6)


def test_maps_are_the_first_output_of_the_network(exported: Path, stand_in: StandIn) -> None:
    import torch

    namespace: dict[str, Any] = {}
    exec(stand_in.module.read_text(encoding="utf-8"), namespace)
    network = namespace["U2NETP"]().eval()
    network.load_state_dict(torch.load(stand_in.checkpoint, weights_only=True))
    frames = np.random.default_rng(6).standard_normal((1, 3, *SIZE)).astype(np.float32)
    with torch.inference_mode():
        d0 = network(torch.from_numpy(frames))[0].numpy()
    maps = ort.InferenceSession(exported, providers=["CPUExecutionProvider"]).run(None, {"input": frames})[0]
    np.testing.assert_allclose(maps, d0, rtol=0, atol=1e-5)


def test_a_poisoned_weight_fails_parity(checkout: StandIn, tmp_path: Path) -> None:
    checkout.save(lambda state: {**state, "side1.bias": state["side1.bias"] * float("nan")})
    assert "ONNX Runtime and torch disagree" in checkout.refuse(tmp_path)


def test_a_manifest_that_cannot_be_written_takes_the_model_with_it(checkout: StandIn, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    message = checkout.refuse(tmp_path, "--manifest-out", tmp_path / "file" / "m.json")
    assert message.splitlines()[-1].startswith("OutputError: ")
