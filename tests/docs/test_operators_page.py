"""docs/operators.md, followed by an operator: every command runs, or the page says why it cannot."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path

import pytest
from onnx import helper
from tests.processes import pasted
from tests.small_models import miniature

pytest.importorskip("sigstore", reason="sigstore is not installed: pip install 'saliency-batch[verify]'")
from tests.engine.models.stand_in_sigstore import StandInSigstore

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
PARTS = re.split(r"^```(\w*)\n", PAGE, flags=re.MULTILINE)
# Fences alternate: text, kind, block, "" and the text again.
BLOCKS = [
    (before.strip().rpartition("\n\n")[2], kind, block)
    for before, kind, block in zip(PARTS[0::4], PARTS[1::4], PARTS[2::4], strict=False)
]


@pytest.fixture
def desk(tmp_path: Path, clips: dict[str, Path]) -> Path:
    """The folder that the page assumes, and the program, trusting a stand-in Sigstore, on the path."""
    sigstore = StandInSigstore(tmp_path)
    model = miniature()
    helper.set_model_props(model, {"lusoris.model_id": "u2netp_mirror_v1"})
    data = model.SerializeToString()
    files = {
        "release/u2netp_mirror_v1.onnx": data,
        "release/u2netp_mirror_v1.onnx.bundle": json.dumps(sigstore.bundle(data)).encode(),
        "release/Apache-2.0-u2netp.txt": b"Apache License, Version 2.0\n",
        "release/SHA256SUMS": f"{hashlib.sha256(data).hexdigest()}  u2netp_mirror_v1.onnx\n".encode(),
        "export/u2netp_mirror_v1.onnx": data,
        "u2netp.pth": b"stand-in",
        "clips.jsonl": json.dumps({"src": str(clips["bikes"])}).encode() + b"\n",
    }
    program = (
        f"#!{sys.executable}\nfrom pathlib import Path\n"
        "from saliency_engine.cli import app\nfrom saliency_engine.models import signature\n"
        "if __name__ == '__main__':\n"
        f"    signature.carried_root = lambda: Path({str(sigstore.root)!r})\n    app.main()\n"
    )
    for name, content in {**files, "bin/saliency-batch": program.encode()}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    (tmp_path / "bin" / "saliency-batch").chmod(0o755)
    return tmp_path


def test_the_pages_commands_work(desk: Path) -> None:
    scripts = [text for _, kind, text in BLOCKS if kind == "sh"]
    assert len(scripts) >= 8
    environment = {
        "PATH": f"{desk / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "SALIENCY_BATCH_HOME": str(desk / "home"),
    }
    output = ""
    for script in scripts:
        done = pasted(script, desk, environment)
        output += done.stdout + done.stderr
    assert output.count("Verified OK by signature") == 5
    assert output.count("is open-ended") == 1
    assert "not verified" not in output
    audit = json.loads((desk / "clips.u2netp.audit.json").read_text())["model"]
    shown = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])  # type: ignore[index]
    assert {key: type(value) for key, value in shown.items()}.items() <= {k: type(v) for k, v in audit.items()}.items()
    assert (audit["id"], audit["verified"], audit["verified_by"]["how"]) == ("u2netp_mirror_v1", True, "signature")
    rows = {name: (desk / name).read_text() for name in ("clips.u2netp.jsonl", "clips.path.jsonl")}
    assert len(set(rows.values())) == 1


def test_what_is_not_run_says_why() -> None:
    for before, kind, text in BLOCKS:
        if kind == "":
            assert before.startswith("*Not run by the tests"), text
    commands = re.findall(r"^(saliency-\w+(?: models)? [\w-]+)", "\n".join(text for _, _, text in BLOCKS), re.MULTILINE)
    assert set(commands) >= {f"saliency-batch models {name}" for name in ("show", "fetch", "verify", "install")}


def test_the_messages_in_the_troubleshooting_table_are_real() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "engine" / "saliency_engine").rglob("*.py"))
    source = re.sub(r'"\s+f?"', "", source.replace("{name}", "u2netp_mirror_v1.onnx"))
    cells = re.findall(r"^\| (`.+?) \|", PAGE.split("## 9.")[1], re.MULTILINE)
    assert len(cells) >= 12
    for message in (message for cell in cells for message in re.findall(r"`([^`]+)`", cell)):
        if not message.startswith("--"):
            for part in message.split(" … "):
                assert part in source, message


def test_every_section_of_the_workflow_is_there() -> None:
    numbered = re.findall(r"^## (\d)\. ", PAGE, re.MULTILINE)
    assert numbered == [str(number) for number in range(1, 10)]
