"""The command `run` itself: wrong and right options, what it says, what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.processes import run
from tests.rows import read_rows, write_clips, write_rows


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--input", "in.jsonl", "--output", "out.jsonl"], "exactly one of --model and --model-path"),
        (["--input", "in.jsonl", "--output", "out.csv", "--model", "frequency_tuned_v1"], "out.csv"),
        (["--input", "no.jsonl", "--output", "out.jsonl", "--model", "frequency_tuned_v1"], "no.jsonl"),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--model", "none_v1"], "no model 'none_v1' is registered"),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--model-path", "no.onnx"], "cannot read the model no.onnx"),
        (["--input", "in.jsonl", "--output", "gone/out.jsonl", "--model", "frequency_tuned_v1"], "gone"),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--modle", "x"], "--modle"),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--model", "frequency_tuned_v1", "--threads", "few"], "few"),
    ],
)
def test_a_wrong_command_exits_2_and_says_what(tmp_path: Path, arguments: list[str], told: str) -> None:
    write_rows(tmp_path / "in.jsonl", [{"src": "a.mp4"}])
    done = run(*arguments, code=2, cwd=tmp_path)
    assert told in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_config_file_gives_options_and_the_command_line_wins(tmp_path: Path, clips: dict[str, Path]) -> None:
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    (tmp_path / "a.toml").write_text('model = "frequency_tuned_v1"\ntemporal-aggregator = "max"\nmodel-id = "file"\n')
    run("--config", tmp_path / "a.toml", "--input", source, "--output", tmp_path / "out.jsonl", "--model-id", "line")
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert (row["saliency_aggregator"], row["saliency_model_id"]) == ("max", "line")


def test_quiet_says_nothing(tmp_path: Path, clips: dict[str, Path]) -> None:
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    done = run("--input", source, "--output", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1", "--quiet")
    assert done.stdout + done.stderr == b""


def test_nothing_is_left_in_the_users_home(tmp_path: Path, clips: dict[str, Path]) -> None:
    """ONNX Runtime would keep a device id and usage events there, for sending."""
    home = tmp_path / "home"
    home.mkdir()
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")} | {"HOME": str(home)}
    run("--input", source, "--output", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1", env=environment)
    assert list(home.rglob("*")) == []


def test_the_audit_names_what_ran(tmp_path: Path, clips: dict[str, Path]) -> None:
    import hashlib

    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    done = run(
        *("--input", source, "--output", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1"),
        *("--audit-json", tmp_path / "audit.json"),
    )
    assert done.stderr.decode().startswith("frequency_tuned_v1 on CPUExecutionProvider\n")
    audit = json.loads((tmp_path / "audit.json").read_text())
    provenance = audit["run_provenance"]
    assert provenance["schema"] == "ai-run-provenance-v1"
    for name, path in (("inputs", source), ("outputs", tmp_path / "out.jsonl")):
        described = provenance[name][name[:-1]]
        assert described["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert audit["config"]["max_frames"] == 8
    assert audit["machine"]["provider"] == "CPUExecutionProvider"
    assert set(audit["stages"]) >= {"decode", "infer", "aggregate", "write"}
    assert len(audit["model"]["sha256"]) == 64


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["show", "--help"], ["preview", "--help"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom saliency_engine.cli.app import main\nsys.argv[0] = 'saliency-batch'\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = {'numpy', 'numba', 'pyarrow', 'av', 'onnxruntime', 'rich', 'torch', 'onnx'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    assert "Example" in done.stdout or "Try it" in done.stdout
