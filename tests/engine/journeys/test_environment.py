"""Machines that are not as one would like: the run works, or says in one line why it cannot."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import PROJECT
from tests.processes import HANG, MAIN
from tests.rows import read_rows, write_clips

RUN = [*MAIN, "run", "--input", "in.jsonl", "--output", "out.jsonl", "--model", "frequency_tuned_v1", "--quiet"]


def write_table(folder: Path, forty: list[Path]) -> None:
    write_clips(folder / "in.jsonl", forty[::30])


@pytest.fixture
def table(tmp_path: Path, forty: list[Path]) -> Path:
    write_table(tmp_path, forty)
    return tmp_path


def run(folder: Path, code: int = 0, before: Sequence[str] = (), more: Sequence[str] = (), **options: Any) -> str:
    """A run in ``folder``, behind the words ``before``; returns what it wrote to stderr."""
    done = subprocess.run(
        [*before, *RUN, *more], cwd=folder, stderr=subprocess.PIPE, check=False, timeout=HANG, **options
    )
    assert done.returncode == code, done.stderr.decode()
    return str(done.stderr.decode())


def rows(folder: Path) -> list[dict[str, Any]]:
    return read_rows(folder / "out.jsonl")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, forty: list[Path]) -> list[dict[str, Any]]:
    """What an ordinary run makes of ``table``."""
    folder = tmp_path_factory.mktemp("ordinary")
    write_table(folder, forty)
    run(folder)
    assert [row["saliency_status"] for row in rows(folder)] == ["ok", "ok"]
    return rows(folder)


@pytest.fixture
def namespace() -> list[str]:
    """Words before ``sh -c``'s script that let it mount what it likes, for itself alone."""
    words = ["unshare", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*words, "true"], check=False, capture_output=True).returncode:
        pytest.skip("mounting in a namespace of one's own is not allowed here")
    return words


@pytest.mark.parametrize("options", ["size=16k", "ro"])
def test_shared_memory_folder_of_any_size_or_none(
    table: Path, expected: list[dict[str, Any]], namespace: list[str], options: str
) -> None:
    mounted = f'mount -t tmpfs -o {options} tmpfs /dev/shm && exec "$@"'
    assert run(table, before=[*namespace, "sh", "-c", mounted, "sh"]) == ""
    assert rows(table) == expected


def test_a_read_only_package_and_no_home(table: Path, expected: list[dict[str, Any]], namespace: list[str]) -> None:
    engine = PROJECT / "engine"
    script = f'mount --bind {engine} {engine} && mount -o remount,ro,bind {engine} && ! touch {engine}/x && exec "$@"'
    bare = {name: value for name, value in os.environ.items() if name != "HOME" and not name.startswith("XDG_")}
    # In memory the kernels are compiled for every process: the same numbers, some seconds later.
    stderr = run(table, before=[*namespace, "sh", "-c", script, "sh"], env=bare)
    assert "Read-only file system" in stderr.splitlines()[0]  # touch's complaint, and nothing else
    assert len(stderr.splitlines()) == 1
    assert rows(table) == expected


def test_a_wall_clock_that_jumps_by_days(table: Path, expected: list[dict[str, Any]], faults: Path) -> None:
    assert run(table, env={**os.environ, "LD_PRELOAD": str(faults), "FAULT_CLOCK": "1"}) == ""
    assert rows(table) == expected


def test_the_c_locale(table: Path) -> None:
    shutil.copyfile(json.loads((table / "in.jsonl").read_text().splitlines()[0])["src"], table / "é漢.mp4")
    with (table / "in.jsonl").open("a") as file:
        file.write(json.dumps({"src": "é漢.mp4"}) + "\n")
    run(table, env={**os.environ, "LC_ALL": "C"})
    assert [row["saliency_status"] for row in rows(table)] == ["ok"] * 3
    (table / "out.jsonl").unlink()
    # Only who insists on ASCII file names gets them, and a reason.
    assert run(table, code=1, env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}).count("\n") == 1  # the counts
    assert [row["saliency_status"] for row in rows(table)] == ["ok", "ok", "missing-source"]
    assert "PYTHONUTF8=1" in rows(table)[2]["saliency_error"]


def test_paths_with_spaces_line_ends_and_pictures(tmp_path: Path, clips: dict[str, Path]) -> None:
    folder = tmp_path / "a b\nc\t🎞 'é' \"x\" %d {} [bold] \\"
    folder.mkdir()
    clip = Path(shutil.copyfile(clips["carphone_pristine"], folder / "clip\n🎞 %03d.mp4"))
    (folder / "in.jsonl").write_text(json.dumps({"src": clip.name}) + "\n" + json.dumps({"src": str(clip)}) + "\n")
    assert run(folder) == ""
    assert [row["saliency_status"] for row in rows(folder)] == ["ok", "ok"]
    named: list[str | Path] = ["--input", folder / "in.jsonl", "--output", folder / "\n.parquet", "--root", folder]
    named += ["--memo", folder / "m\n", "--audit-json", folder / "audit \n.json"]
    done = subprocess.run([*MAIN, "run", *map(str, named), "--model", "frequency_tuned_v1"], check=False, timeout=HANG)
    assert done.returncode == 0
    assert json.loads((folder / "audit \n.json").read_text())["clips"]["computed"] == 1


def test_files_are_as_private_as_the_umask_says(table: Path) -> None:
    run(table, preexec_fn=lambda: os.umask(0o077))
    assert all(path.stat().st_mode & 0o077 == 0 for path in table.glob("out.jsonl*"))


def test_few_open_files_are_enough_or_told(table: Path) -> None:
    def few(hard: int) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (24, hard))

    stderr = run(table, code=2, preexec_fn=lambda: few(24))
    assert len(stderr.splitlines()) == 1
    assert "the limit is 24 (ulimit -n)" in stderr
    assert not list(table.glob("out.jsonl*.partial"))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert run(table, more=["--decode-workers", "16"], preexec_fn=lambda: few(hard)) == ""


def test_a_folder_for_temporary_files_with_a_long_name_is_used_and_left_empty(table: Path) -> None:
    folder = table / ("long" * 50)  # a socket's path holds 107 bytes
    folder.mkdir()
    assert run(table, env={**os.environ, "TMPDIR": str(folder)}) == ""
    assert list(folder.iterdir()) == []


def test_no_folder_for_temporary_files_is_told(table: Path) -> None:
    code = "import tempfile; tempfile.tempdir = '/nonexistent'; from saliency_engine.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *RUN[3:]], cwd=table, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("WorkerError: the server of decoding processes cannot be started: ")
    assert "/nonexistent" in line
