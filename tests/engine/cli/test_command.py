"""The command `run` itself: wrong and right options, what it says, what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests import processes
from tests.in_process import run
from tests.processes import finished_clips
from tests.rows import read_rows, write_clips, write_rows

import saliency_engine
from saliency_engine.cli.app import main_group


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input", "in.jsonl", "--output", "out.jsonl", "--model", "a", "--model-path", "b"], "are both given"),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--model-id", "none_v1"], "no model 'none_v1' is registered"),
        (["--input", "in.jsonl", "--output", "out.xlsx", "--model", "frequency_tuned_v1"], "out.xlsx"),
        (["--input", "no.jsonl", "--output", "out.jsonl", "--model", "frequency_tuned_v1"], "no.jsonl"),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--model", "none_v1"], "no model 'none_v1' is registered"),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--model-path", "no.onnx"], "cannot read the model no.onnx"),
        (["--input", "in.jsonl", "--output", "in.jsonl/out.jsonl"], "its folder "),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--modle", "x"], "--modle"),
        (["--input", "in.jsonl", "--output", "out.jsonl", "--model", "frequency_tuned_v1", "--threads", "few"], "few"),
    ],
)
def test_a_wrong_command_exits_2_and_says_what(tmp_path: Path, arguments: list[str], message: str) -> None:
    write_rows(tmp_path / "in.jsonl", [{"src": "a.mp4"}])
    done = run(*arguments, code=2, cwd=tmp_path)
    assert message in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_config_file_gives_options_and_the_command_line_wins(tmp_path: Path, clips: dict[str, Path]) -> None:
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    (tmp_path / "a.toml").write_text('model = "frequency_tuned_v1"\ntemporal-aggregator = "max"\nmodel-id = "file"\n')
    run("--config", tmp_path / "a.toml", "--input", source, "--output", tmp_path / "out.jsonl", "--model-id", "line")
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert (row["saliency_aggregator"], row["saliency_model_id"]) == ("max", "line")


def test_the_shortest_command_makes_folders_and_says_which_model_runs(tmp_path: Path, clips: dict[str, Path]) -> None:
    """The fork's commands name no model, and programs that decode."""
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    paths = {name: tmp_path / name / "deep" / f"{name}.jsonl" for name in ("output", "rejects", "memo", "audit-json")}
    done = run(
        *("--input", source, "--ffmpeg-bin", "/usr/bin/ffmpeg", "--ffprobe-bin", "ffprobe"),
        *(word for name, path in paths.items() for word in (f"--{name}", path)),
    )
    lines = done.stderr.decode().splitlines()
    assert lines[0].startswith("warning: no model is given, so the built-in saliency_open_v1 runs")
    assert lines[1] == "warning: --ffmpeg-bin and --ffprobe-bin are not used: PyAV's own FFmpeg decodes the clips"
    assert [line for line in lines if "warning" in line] == lines[:2]
    (row,) = read_rows(paths["output"])
    assert (row["saliency_status"], row["saliency_model_id"]) == ("ok", "saliency_open_v1")
    assert json.loads(paths["audit-json"].read_text())["config"]["model"] == "saliency_open_v1"
    assert paths["memo"].is_file()


def test_an_id_alone_names_the_model(tmp_path: Path, clips: dict[str, Path]) -> None:
    """Rows of the built-in model never bear the id of another one."""
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    options = ("--input", source, "--output", tmp_path / "out.jsonl", "--model-id")
    assert b"saliency_student_v1 is known but not installed" in run(*options, "saliency_student_v1", code=2).stderr
    assert b"warning" not in run(*options, "frequency_tuned_v1").stderr


@pytest.mark.parametrize("option", ["output", "audit-json", "rejects", "memo"])
def test_every_output_is_checked_before_the_first_clip(tmp_path: Path, clips: dict[str, Path], option: str) -> None:
    source, blocked = write_clips(tmp_path / "in.jsonl", [clips["bikes"]]), tmp_path / "blocked.jsonl"
    blocked.mkdir()
    (tmp_path / "file").touch()
    outputs = {"output": tmp_path / "out.jsonl", "memo": tmp_path / "memo.sqlite"}
    for path in (blocked, tmp_path / "file" / "x.jsonl"):
        words = [str(word) for name, value in {**outputs, option: path}.items() for word in (f"--{name}", value)]
        done = run("--input", source, *words, "--model", "frequency_tuned_v1", code=2)
        assert str(path) in done.stderr.decode()
        assert b"CPUExecutionProvider" not in done.stderr  # the line that begins the work
        assert not (tmp_path / "out.jsonl").exists()
        assert finished_clips(tmp_path / "memo.sqlite") == set()


def test_lines_without_the_path_column_are_an_error_only_where_no_row_has_it(
    tmp_path: Path, clips: dict[str, Path]
) -> None:
    rows = [{"clip": str(clips["bikes"]), "mos": 3}, {"clip": "b", "scr": 1}]
    table, model = write_rows(tmp_path / "in.jsonl", rows), ("--model", "frequency_tuned_v1")
    options = ("--input", table, "--output", tmp_path / "out.jsonl", *model)
    message = "in.jsonl: no column 'src' (--path-column); did you mean 'scr'? the input's columns: 'clip', 'mos', 'scr'"
    assert message in run(*options, code=2).stderr.decode()
    assert not (tmp_path / "out.jsonl").exists()
    write_rows(tmp_path / "in.jsonl", [*rows, {"src": str(clips["bikes"])}])
    run(*options, code=1)
    assert [row["saliency_status"] for row in read_rows(tmp_path / "out.jsonl")] == ["missing-source"] * 2 + ["ok"]
    (tmp_path / "in.jsonl").write_text("\n")
    run(*options)


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
    options = ("--input", source, "--output", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1")
    processes.run(*options, env=environment)
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


def _commands(group: click.Group, *path: str) -> Iterator[list[str]]:
    """The words of every command below ``group``, and those of the groups."""
    yield [*path]
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, *path, name)
        else:
            yield [*path, name]


@pytest.mark.parametrize("words", list(_commands(main_group)), ids=" ".join)
def test_help_has_an_example_and_loads_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys\nfrom saliency_engine.cli.app import main\ntry:\n    main()\nfinally:\n"
        "    heavy = {'numpy', 'numba', 'pyarrow', 'av', 'onnxruntime', 'rich', 'torch', 'onnx'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    command = [sys.executable, "-c", script, *words, "--help"]
    done = subprocess.run(command, capture_output=True, check=False, text=True, env={**os.environ, "COLUMNS": "80"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(" ".join(["Usage: saliency-batch", *words]))
    example = done.stdout.partition("  Example:\n")[2].partition("\n\n")[0].replace("\\\n", "")
    assert example.split()[: 1 + len(words)] == ["saliency-batch", *words]
    assert "\n" not in example, "a line break that the shell would take for the end of the command"


def test_the_package_is_the_command() -> None:
    command = [sys.executable, "-m", "saliency_engine"]
    done = subprocess.run([*command, "--version"], capture_output=True, check=True, text=True)
    assert done.stdout == f"saliency-batch, version {saliency_engine.__version__}\n"
    done = subprocess.run([*command, "run", "--modle"], capture_output=True, check=False, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("Usage: saliency-batch run")


def test_a_bug_is_reported_with_its_traceback_and_a_status_of_its_own() -> None:
    script = "from saliency_engine.cli import app\napp.load_options = lambda path: 1 / 0\napp.main()"
    done = subprocess.run(
        [sys.executable, "-c", script, "run", "--config", "x"], capture_output=True, check=False, text=True
    )
    *traceback, last_line = done.stderr.splitlines()
    assert done.returncode == 70
    assert traceback[-1] == "ZeroDivisionError: division by zero"
    assert last_line.startswith("this is a bug in saliency-batch; please report it")
