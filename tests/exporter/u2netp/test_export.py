"""``saliency-export u2netp`` on a stand-in checkout: what comes out, and everything that must stop it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import pickle
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
import onnxruntime as ort
import orjson
import pytest
from click.testing import Result

from saliency_engine.models.graph.operators import ADMITTED
from saliency_exporter.u2netp import isolation

pytest.importorskip("torch", reason="torch is not installed (extra: export)")

SIZE = (48, 64)


class Checkout(Protocol):
    folder: Path

    @property
    def module(self) -> Path: ...
    @property
    def checkpoint(self) -> Path: ...
    def save(self, change: Callable[[dict[str, Any]], Any]) -> None: ...
    def export(self, output: Path, *options: object) -> Result: ...


def manifest_of(output: Path) -> dict[str, Any]:
    loaded = json.loads(output.with_name(f"{output.name}.manifest.json").read_bytes())
    assert isinstance(loaded, dict)
    return loaded


def refused(checkout: Checkout, folder: Path, *options: object) -> str:
    """Export into an empty folder, which must stay empty; returns the message."""
    target = folder / "target"
    target.mkdir()
    result = checkout.export(target / "model.onnx", *options)
    assert result.exit_code == 2
    assert list(target.iterdir()) == []
    assert "Traceback" not in result.output
    return str(result.stderr)


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def signature(model: onnx.ModelProto) -> list[tuple[str, int, list[int]]]:
    ends = [*model.graph.input, *model.graph.output]
    return [(e.name, e.type.tensor_type.elem_type, [d.dim_value for d in e.type.tensor_type.shape.dim]) for e in ends]


def test_the_file_keeps_the_contract(exported: Path, stand_in: Checkout) -> None:
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


def test_the_manifest_keeps_the_schema(exported: Path, stand_in: Checkout) -> None:
    written = exported.with_name(f"{exported.name}.manifest.json").read_bytes()
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
    exported: Path, checkout: Checkout, tmp_path: Path
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


def test_maps_are_the_first_output_of_the_network(exported: Path, stand_in: Checkout) -> None:
    import torch

    namespace: dict[str, Any] = {}
    exec(stand_in.module.read_text(encoding="utf-8"), namespace)
    network = namespace["U2NETP"]().eval()
    network.load_state_dict(torch.load(stand_in.checkpoint, weights_only=True))
    frames = np.random.default_rng(6).standard_normal((1, 3, *SIZE)).astype(np.float32)
    with torch.inference_mode():
        d0 = network(torch.from_numpy(frames))[0].numpy()
    found = ort.InferenceSession(exported, providers=["CPUExecutionProvider"]).run(None, {"input": frames})[0]
    np.testing.assert_allclose(found, d0, rtol=0, atol=1e-5)


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_a_canary_in_the_pickle_does_not_run(checkout: Checkout, tmp_path: Path, writer: str) -> None:
    import torch

    canary = tmp_path / "canary"
    load = {"state_dict": Canary(canary)}
    if writer == "torch":
        torch.save(load, checkout.checkpoint)
    else:
        checkout.checkpoint.write_bytes(pickle.dumps(load))
    message = refused(checkout, tmp_path)
    assert not canary.exists()
    assert message.startswith("ModelError: ")
    assert "not a plain checkpoint" in message


def test_weights_of_another_network(checkout: Checkout, tmp_path: Path) -> None:
    import torch

    torch.save({"encoder.weight": torch.zeros(3), "encoder.bias": torch.zeros(3)}, checkout.checkpoint)
    message = refused(checkout, tmp_path, "--no-strict-load")
    assert "the checkpoint is not of this network" in message
    assert "encoder.bias" in message


def test_a_missing_weight_is_named_and_can_be_let_pass(checkout: Checkout, tmp_path: Path) -> None:
    checkout.save(lambda state: {name: value for name, value in state.items() if name != "side1.bias"})
    message = refused(checkout, tmp_path)
    assert "1 missing (side1.bias)" in message
    assert "--no-strict-load" in message
    result = checkout.export(tmp_path / "model.onnx", "--no-strict-load")
    assert result.exit_code == 0
    assert "side1.bias" in result.stderr
    assert manifest_of(tmp_path / "model.onnx")["export"]["missing_weights"] == ["side1.bias"]


def test_a_poisoned_weight_fails_parity(checkout: Checkout, tmp_path: Path) -> None:
    checkout.save(lambda state: {**state, "side1.bias": state["side1.bias"] * float("nan")})
    assert "ONNX Runtime and torch disagree" in refused(checkout, tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("MIT License\n\nPermission is hereby granted, free of charge, to any person", "not recognisably Apache-2.0"),
        ("This is not the Apache License, Version 2.0, January 2004.", "not recognisably Apache-2.0"),
        (None, "no LICENSE"),
        ("{apache}\n\nCommons Clause License Condition v1.0", "adds a condition"),
    ],
)
def test_licences_that_are_refused(checkout: Checkout, tmp_path: Path, text: str | None, said: str) -> None:
    path = checkout.folder / "LICENSE"
    apache = path.read_text(encoding="utf-8")
    path.unlink()
    if text is not None:
        path.write_text(text.replace("{apache}", apache), encoding="utf-8")
    assert said in refused(checkout, tmp_path)


def test_head_of_a_git_checkout_must_be_the_commit(checkout: Checkout, tmp_path: Path) -> None:
    git(checkout.folder, "init", "--quiet")
    git(checkout.folder, "add", ".")
    git(checkout.folder, "commit", "--quiet", "--message", "first")
    head = git(checkout.folder, "rev-parse", "HEAD")
    message = refused(checkout, tmp_path)
    assert head in message
    assert "not at --upstream-commit ac7e1c81" in message
    for commit in (head, head[:10]):
        result = checkout.export(tmp_path / "model.onnx", "--upstream-commit", commit)
        assert result.exit_code == 0
        assert manifest_of(tmp_path / "model.onnx")["upstream"]["head"] == head
        assert "differ from the audited commit ac7e1c81" in result.stderr
        assert "not a git checkout" not in result.stderr


def test_a_branch_is_no_commit(checkout: Checkout, tmp_path: Path) -> None:
    message = refused(checkout, tmp_path, "--upstream-commit", "master")
    assert message.startswith("ConfigError: ")
    assert "hash" in message


def test_lookups(checkout: Checkout, tmp_path: Path) -> None:
    """Module and checkpoint at their other places, then nowhere."""
    shutil.move(checkout.module, checkout.folder / "u2net.py")
    (checkout.folder / "saved_models" / "u2netp").mkdir(parents=True)
    place = shutil.move(checkout.checkpoint, checkout.folder / "saved_models" / "u2netp" / "u2netp.pth")
    assert checkout.export(tmp_path / "model.onnx").exit_code == 0
    upstream = manifest_of(tmp_path / "model.onnx")["upstream"]
    assert upstream["module_path"] == str(checkout.folder / "u2net.py")
    assert upstream["checkpoint_path"] == str(place)
    Path(place).unlink()
    assert "no checkpoint in" in refused(checkout, tmp_path)


def test_a_module_without_the_network(checkout: Checkout, tmp_path: Path) -> None:
    checkout.module.write_text("import torch\n", encoding="utf-8")
    assert "defines no network U2NETP" in refused(checkout, tmp_path)


def test_nothing_is_written_into_the_checkout(exported: Path, stand_in: Checkout) -> None:
    assert exported.is_file()
    assert sorted(path.name for path in stand_in.folder.rglob("*")) == ["LICENSE", "model", "u2net.py", "u2netp.pth"]


def test_old_torch_is_refused(checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.9.1+cpu" if name == "torch" else "1")
    message = refused(checkout, tmp_path)
    assert "torch 2.9.1+cpu" in message
    assert "2.10 or newer" in message


def test_a_manifest_that_cannot_be_written_takes_the_model_with_it(checkout: Checkout, tmp_path: Path) -> None:
    message = refused(checkout, tmp_path, "--manifest-out", tmp_path / "absent" / "m.json")
    assert message.splitlines()[-1].startswith("OutputError: ")


def test_the_checkout_has_no_network(checkout: Checkout, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        call = f"import socket\nsocket.create_connection(('127.0.0.1', {port}))\n"
        checkout.module.write_text(call + checkout.module.read_text(encoding="utf-8"), encoding="utf-8")
        assert "without network access" in refused(checkout, tmp_path)
        with pytest.raises(TimeoutError):
            server.accept()


def in_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout.strip()


def test_the_namespace_alone_has_no_route_for_native_code_either() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = (
            "import socket, os; from saliency_exporter.u2netp import isolation\n"
            "uid = os.getuid(); print(isolation.enter_empty_namespace(), uid == os.getuid())\n"
            f"print(socket.socket().connect_ex(('127.0.0.1', {server.getsockname()[1]})))"
        )
        said = in_python(code).split()
    if said[0] == "False":
        pytest.skip("this machine gives no network namespaces to this user")
    assert said[1] == "True"
    assert os.strerror(int(said[2])) == "Network is unreachable"


def test_the_fallback_refuses_sockets_and_processes() -> None:
    code = (
        "import socket, subprocess, os; from saliency_exporter.u2netp import isolation\n"
        "isolation.refuse_in_python(processes=True)\n"
        "for f in (socket.socket, lambda: socket.getaddrinfo('localhost', 1), lambda: os.system('true'),\n"
        "          lambda: subprocess.run(['true']), os.fork):\n"
        "    try: f(); print('ran')\n"
        "    except PermissionError as error: print('refused')\n"
    )
    assert in_python(code).split() == ["refused"] * 5


def test_without_a_namespace_the_export_says_so(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child is told by a module of this test's that there is none."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        "from saliency_exporter.u2netp import isolation\nisolation.enter_empty_namespace = lambda: False\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(site))
    result = checkout.export(tmp_path / "model.onnx")
    assert result.exit_code == 0, result.stderr
    assert "no network namespace" in result.stderr
    assert manifest_of(tmp_path / "model.onnx")["export"]["network"] == isolation.HOOK


def test_a_child_that_dies_is_told_of(checkout: Checkout, tmp_path: Path) -> None:
    checkout.module.write_text("import os, sys\nprint('at the end', file=sys.stderr)\nos._exit(7)\n", encoding="utf-8")
    assert re.search(r"ended with status 7: .*at the end", refused(checkout, tmp_path))
