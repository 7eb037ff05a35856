"""``saliency-batch doctor`` on this machine, and on ones that are broken on purpose."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
from tests.processes import HANG, MAIN

from saliency_engine.errors import ProviderError
from saliency_engine.inference import nvidia
from saliency_engine.jobs import doctor
from saliency_engine.jobs.doctor import BROKEN, NOTE, known_holes
from saliency_engine.machine import onnxruntime_package


def _doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*MAIN, "doctor", *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=HANG,
        check=False,
    )


def _findings(done: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    return {finding["name"]: (finding["state"], finding["message"]) for finding in json.loads(done.stdout)}


def test_a_sound_installation_exits_with_0_and_tells_what_runs() -> None:
    done = _doctor()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runs the built-in model on CPUExecutionProvider" in " ".join(done.stdout.split())
    assert "FFmpeg" in done.stdout
    assert "broken" not in done.stdout


def test_two_onnxruntime_packages_are_a_clash(tmp_path: Path) -> None:
    other = tmp_path / "onnxruntime-1.20.0.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime\nVersion: 1.20.0\n")
    (other / "RECORD").write_text("onnxruntime/__init__.py,,\n")
    (other / "top_level.txt").write_text("onnxruntime\n")
    path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(tmp_path))))
    done = _doctor("--json", PYTHONPATH=path)
    state, message = _findings(done)["onnxruntime packages"]
    assert done.returncode == 1
    assert state == BROKEN
    assert "onnxruntime, onnxruntime-gpu" in message
    assert f"pip uninstall onnxruntime onnxruntime-gpu, then pip install {onnxruntime_package()}" in message


@pytest.mark.parametrize(
    ("system", "processor", "package"),
    [
        ("Linux", "x86_64", "onnxruntime-gpu"),
        ("Linux", "aarch64", "onnxruntime"),
        ("Darwin", "arm64", "onnxruntime"),
        ("Darwin", "x86_64", "onnxruntime"),
    ],
)
def test_the_package_that_is_named_is_there_for_the_machine(
    monkeypatch: pytest.MonkeyPatch, system: str, processor: str, package: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: processor)
    for owners in ([], ["onnxruntime", "onnxruntime-openvino"]):
        monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda owners=owners: {"onnxruntime": owners})
        (finding,) = doctor._check_onnxruntime_packages()
        assert finding.state == BROKEN
        assert finding.message.endswith(f"pip install {package}")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ProviderError) as error:
        nvidia._preload("cuda")
    assert ("pip install onnxruntime-gpu" in str(error.value)) == (package == "onnxruntime-gpu")
    assert package == "onnxruntime-gpu" or f"there is no other for {system} on {processor}" in str(error.value)


@pytest.mark.parametrize(
    ("name", "newer"), [("numpy", "999.0"), ("click", "999.1.dev2"), ("onnx", "1.999.0rc1"), ("openvino", "2999.1")]
)
def test_a_library_newer_than_those_that_were_tested_is_a_note(tmp_path: Path, name: str, newer: str) -> None:
    (tmp_path / f"{name}-{newer}.dist-info").mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {newer}\n"
    (tmp_path / f"{name}-{newer}.dist-info" / "METADATA").write_text(metadata)
    code = "from saliency_engine.jobs import doctor; "
    code += "print(*[f'{f.name}: {f.state}: {f.message}' for f in doctor._check_versions()][1:], sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    (note,) = done.stdout.splitlines()
    assert re.fullmatch(
        rf"version of {name}: note: {newer} is newer than (\S+), the newest that was tested; "
        rf"where something fails, run pip install '{name}==\1'",
        note,
    )


def test_an_installed_model_that_cannot_be_read_is_broken(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "entry.json").write_text("{ not json")
    done = _doctor("--json", SALIENCY_BATCH_HOME=str(tmp_path))
    assert done.returncode == 1
    assert str(folder / "entry.json") in _findings(done)["installed model"][1]


def test_no_home_is_a_note_not_a_fault() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in {"HOME", "SALIENCY_BATCH_HOME"}}
    command = [sys.executable, "-c", "import pwd; pwd.getpwuid = lambda _: (_ for _ in ()).throw(KeyError())\n"]
    command[-1] += "from saliency_engine.cli.app import main; main()"
    done = subprocess.run(
        [*command, "doctor", "--json"], env=environment, capture_output=True, text=True, timeout=HANG, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert _findings(done)["model folder"][0] == NOTE


def test_too_low_a_limit_of_open_files_is_broken() -> None:
    code = "from saliency_engine.jobs import doctor; doctor.cores = lambda: 10**9; doctor._check_providers = list; "
    code += "print([f.message for f in doctor.examine() if f.state == doctor.BROKEN and f.name == 'open files'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG, check=True)
    assert "files at a time, and the limit is" in done.stdout


@pytest.mark.parametrize(
    ("version", "holes"),
    [
        ("8.1.2", []),
        ("9.0", []),
        ("n8.1.1-3-gdeadbeef", ["CVE-2026-8461"]),
        ("8.0.3", ["CVE-2026-40962"]),
        ("7.1.4", ["CVE-2026-8461", "CVE-2026-40962"]),
        ("N-118000-gdeadbeef", []),
    ],
)
def test_known_holes_go_by_release_branch(version: str, holes: list[str]) -> None:
    assert [hole.split()[0] for hole in known_holes(version)] == holes
