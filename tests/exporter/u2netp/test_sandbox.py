"""The process that runs the checkout's code: no network, nothing left behind, its end explained."""

from __future__ import annotations

import importlib.metadata
import re
import socket
from pathlib import Path

import pytest
from tests.exporter.upstream import StandIn, manifest_of

from saliency_exporter.u2netp import isolation

pytest.importorskip("torch", reason="torch is not installed (extra: export)")


def test_nothing_is_written_into_the_checkout(exported: Path, stand_in: StandIn) -> None:
    assert exported.is_file()
    assert sorted(path.name for path in stand_in.folder.rglob("*")) == ["LICENSE", "model", "u2net.py", "u2netp.pth"]


def test_old_torch_is_refused(checkout: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "2.9.1+cpu" if name == "torch" else "1")
    message = checkout.refuse(tmp_path)
    assert "torch 2.9.1+cpu" in message
    assert "2.10 or newer" in message


def test_the_checkout_has_no_network(checkout: StandIn, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        call = f"import socket\nsocket.create_connection(('127.0.0.1', {port}))\n"
        checkout.module.write_text(call + checkout.module.read_text(encoding="utf-8"), encoding="utf-8")
        assert "without network access" in checkout.refuse(tmp_path)
        with pytest.raises(TimeoutError):
            server.accept()


def test_without_a_namespace_the_export_says_so(
    checkout: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of this test makes the child find that there is none."""
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


def test_a_child_that_dies_is_told_of(checkout: StandIn, tmp_path: Path) -> None:
    checkout.module.write_text("import os, sys\nprint('at the end', file=sys.stderr)\nos._exit(7)\n", encoding="utf-8")
    assert re.search(r"ended with status 7: .*at the end", checkout.refuse(tmp_path))
