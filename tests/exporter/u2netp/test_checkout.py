"""What a checkout must hold: its licence, its commit, the module and the checkpoint."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.exporter.upstream import StandIn, manifest_of

pytest.importorskip("torch", reason="torch is not installed (extra: export)")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("MIT License\n\nPermission is hereby granted, free of charge, to any person", "not recognisably Apache-2.0"),
        ("This is not the Apache License, Version 2.0, January 2004.", "not recognisably Apache-2.0"),
        (None, "no LICENSE"),
        ("{apache}\n\nCommons Clause License Condition v1.0", "adds a condition"),
    ],
)
def test_licences_that_are_refused(checkout: StandIn, tmp_path: Path, text: str | None, message: str) -> None:
    path = checkout.folder / "LICENSE"
    apache = path.read_text(encoding="utf-8")
    path.unlink()
    if text is not None:
        path.write_text(text.replace("{apache}", apache), encoding="utf-8")
    assert message in checkout.refuse(tmp_path)


def test_head_of_a_git_checkout_must_be_the_commit(checkout: StandIn, tmp_path: Path) -> None:
    git(checkout.folder, "init", "--quiet")
    git(checkout.folder, "add", ".")
    git(checkout.folder, "commit", "--quiet", "--message", "first")
    head = git(checkout.folder, "rev-parse", "HEAD")
    message = checkout.refuse(tmp_path)
    assert head in message
    assert "not at --upstream-commit ac7e1c81" in message
    for commit in (head, head[:10]):
        result = checkout.export(tmp_path / "model.onnx", "--upstream-commit", commit)
        assert result.exit_code == 0
        assert manifest_of(tmp_path / "model.onnx")["upstream"]["head"] == head
        assert "differ from the audited commit ac7e1c81" in result.stderr
        assert "not a git checkout" not in result.stderr


def test_a_branch_is_no_commit(checkout: StandIn, tmp_path: Path) -> None:
    message = checkout.refuse(tmp_path, "--upstream-commit", "master")
    assert message.startswith("ConfigError: ")
    assert "hash" in message


def test_lookups(checkout: StandIn, tmp_path: Path) -> None:
    """Module and checkpoint at their other places, then nowhere."""
    shutil.move(checkout.module, checkout.folder / "u2net.py")
    (checkout.folder / "saved_models" / "u2netp").mkdir(parents=True)
    place = shutil.move(checkout.checkpoint, checkout.folder / "saved_models" / "u2netp" / "u2netp.pth")
    assert checkout.export(tmp_path / "model.onnx").exit_code == 0
    upstream = manifest_of(tmp_path / "model.onnx")["upstream"]
    assert upstream["module_path"] == str(checkout.folder / "u2net.py")
    assert upstream["checkpoint_path"] == str(place)
    Path(place).unlink()
    assert "no checkpoint in" in checkout.refuse(tmp_path)
