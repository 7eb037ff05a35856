"""``saliency-batch bench``: real settings of the real engine in processes of their own, and what is made of them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.clips import Encode
from tests.processes import HANG, MAIN, saliency_batch
from tests.rows import write_rows

from saliency_engine.cli import app
from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, InputError, OutputError, ProviderError
from saliency_engine.jobs.bench import clips as bench_clips
from saliency_engine.jobs.bench.trial_process import run_trial
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference

no_gpu = pytest.mark.skipif(Path("/dev/nvidia0").exists(), reason="this machine has a GPU: CUDA may well start")


def bench(*arguments: str | Path, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
    return saliency_batch("bench", *arguments, code=code, env=environment, text=True)


# The command


@no_gpu
def test_a_benchmark_ends_with_a_command_that_works(tmp_path: Path, encode: Encode) -> None:
    folder = tmp_path / "clips"
    (folder / "inner").mkdir(parents=True)
    for name in ("a.mp4", "inner/b.mkv"):
        (folder / name).write_bytes(encode(Path(name).name, size=(96, 64)).read_bytes())
    (folder / "broken.mp4").write_text("no video")
    (folder / "notes.txt").write_text("not looked at")
    settings = ["--provider", "cpu", "--provider", "cuda", "--threads", "1", "--rounds", "1", "--reuse"]
    outputs: list[str | Path] = ["--json", tmp_path / "bench.json", "--chart", tmp_path / "bench.png"]
    done = bench(folder, "--model", "frequency_tuned_v1", "--model-size", "64x48", *settings, *outputs)

    *table, command = done.stdout.splitlines()
    assert any(line.split()[:4] == ["cpu", "float32", "1", "8"] and line.split()[-1] == "yes" for line in table)
    assert any(line.startswith(" cuda float32") and "did not run" in line for line in table)
    assert any(line.startswith("cuda float32 did not run: --provider cuda cannot start") for line in table)
    assert "broken.mp4 is left out: decode-failed" in done.stderr
    assert "notes.txt" not in done.stderr
    assert "1 settings × 1 rounds over 2 clips" in done.stderr  # said before they are timed
    assert any(line.split()[:2] == ["0.001", "100%"] and line.split()[-1] == "yes" for line in table)
    assert "no --reuse is recommended: none saves 5% of the model runs" in done.stderr  # every frame moves by more
    _check_report(json.loads((tmp_path / "bench.json").read_text()), folder, command)
    with Image.open(tmp_path / "bench.png") as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width > 1000

    words = shlex.split(command)
    assert words[:2] == ["saliency-batch", "run"]
    assert words[-4:] == ["--model-size", "64x48", "--threads", "1"]
    (tmp_path / "clips.jsonl").write_text(json.dumps({"src": str(folder / "a.mp4")}))
    subprocess.run([*MAIN, *words[1:]], cwd=tmp_path, capture_output=True, check=True, timeout=HANG)
    assert json.loads((tmp_path / "out.jsonl").read_text())["saliency_status"] == "ok"


def _check_report(report: dict[str, Any], folder: Path, command: str) -> None:
    assert report["schema"] == "saliency-batch-bench-v1"
    assert report["machine"]["cores"] == len(os.sched_getaffinity(0))
    assert report["machine"]["cpu"]
    assert "onnxruntime-gpu" in report["machine"]["versions"]
    assert report["model"]["id"] == "frequency_tuned_v1"
    assert report["clips"] == {
        "made": False,
        "found": 3,
        "used": [str(folder / "a.mp4"), str(folder / "inner" / "b.mkv")],
    }
    ran, failed = report["settings"]
    assert (failed["provider"], failed["status"]) == ("cuda", "failed")
    assert "this machine has no NVIDIA driver" in failed["reason"]
    assert (ran["provider"], ran["runs_on"], ran["status"]) == ("cpu", "CPUExecutionProvider", "ok")
    clips = ran["clips_per_second"]
    assert 0 < clips["least"] <= clips["median"] <= clips["most"]
    assert 4 < ran["frames_per_second"] / clips["median"] < 12  # 8 frames are taken of each clip
    assert 0 < ran["latency_ms"]["p50"] <= ran["latency_ms"]["p95"]
    assert ran["latency_ms"]["clips"] >= 4
    assert set(ran["busy"]) == {"decode", "batch", "infer", "aggregate"}
    assert all(0 < share <= 1 for share in ran["busy"].values())
    assert 50 < ran["memory_mb"] < 2000
    assert (ran["agreement"]["agrees"], ran["agreement"]["rows"], ran["agreement"]["maps"]["frames"]) == (True, 2, 16)
    assert report["recommended"]["command"] == command
    assert {trial["frames"] for trial in report["reuse"]} == {16}
    runs = [trial["model_runs"] for trial in report["reuse"]]
    assert runs == sorted(runs, reverse=True)
    assert 16 == runs[0] > runs[-1]
    assert [trial["agrees"] for trial in report["reuse"]] == [runs == 16 for runs in runs]


@no_gpu
def test_without_clips_some_are_made_and_where_nothing_runs_nothing_is_recommended() -> None:
    done = bench("--model", "frequency_tuned_v1", "--provider", "cuda", code=2)
    assert "no clips given: measuring with six made ones" in done.stderr
    assert done.stderr.strip().endswith("ProviderError: no setting ran; the table says why")
    assert "did not run" in done.stdout
    assert "saliency-batch run" not in done.stdout


def test_a_chart_without_matplotlib_fails_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError('not here')\n")
    path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = bench("--model", "frequency_tuned_v1", "--chart", tmp_path / "c.png", code=2, PYTHONPATH=path)
    assert "pip install 'saliency-batch[bench]'" in done.stderr
    assert "reference" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--chart", "c.jpg"], ConfigError, "must end in .png"),
        (["--json", "/dev/null/b.json"], OutputError, "its folder /dev/null cannot be made"),
        (["--threads", "0"], ConfigError, "--threads is 0"),
        (["--batch-size", "8", "--batch-size", "0"], ConfigError, "--batch-size is 0"),
        (["gone.mp4"], InputError, "gone.mp4: no such file or folder"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_measured(
    arguments: list[str], error: type[Exception], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(error, match=message):
        app.main_group.main(["bench", "--model", "frequency_tuned_v1", *arguments], standalone_mode=False)
    assert "reference" not in capsys.readouterr().err


# Clips


def test_clips_come_from_files_folders_and_tables_once_each(tmp_path: Path, encode: Encode) -> None:
    clip = encode("a.mp4", size=(96, 64))
    (tmp_path / "deep").mkdir()
    for name in ("deep/c.MP4", "b.mov", "table.md"):
        (tmp_path / name).write_bytes(b"any")
    rows = [{"file": "x.yuv", "width": 64, "height": 48}, {"file": str(clip), "saliency_mean": 0.1}]
    write_rows(tmp_path / "t.jsonl", rows)
    config = RunConfig(model="frequency_tuned_v1", path_column="file", overwrite=True)
    named = bench_clips.find([str(tmp_path), str(tmp_path / "t.jsonl"), str(clip)], config)
    folder = [ClipReference(str(tmp_path / name)) for name in ("b.mov", "deep/c.MP4")]
    assert named == [*folder, ClipReference("x.yuv", 64, 48), ClipReference(str(clip))]
    (tmp_path / "empty").mkdir()
    write_rows(tmp_path / "none.jsonl", [])
    with pytest.raises(InputError, match=r"no clips in .*none.jsonl"):
        bench_clips.find([str(tmp_path / "none.jsonl")], config)
    with pytest.raises(InputError, match=r"empty: there are no files here"):
        bench_clips.find([str(tmp_path / "empty")], config)


def test_a_clip_that_is_named_keeps_its_path_beside_rows_that_are_ids(tmp_path: Path, encode: Encode) -> None:
    clip, folder = encode("a.mp4", size=(96, 64)), tmp_path / "clips"
    folder.mkdir()
    shutil.copyfile(clip, folder / "b.mp4")
    write_rows(tmp_path / "t.jsonl", [{"id": "b"}])
    (tmp_path / "ids.txt").write_text("b\n")
    options: dict[str, Any] = {"path_column": "id", "path_suffix": (".mp4",), "path_template": "{id}"}
    config = RunConfig(model="frequency_tuned_v1", root=str(folder), **options)
    for name in (str(clip), str(folder), str(tmp_path / "t.jsonl"), str(tmp_path / "ids.txt")):
        (reference,) = bench_clips.find([name], config)
        expected = clip if name == str(clip) else folder / "b.mp4"
        assert Locator(config).locate(reference).path == str(expected)


def test_of_many_clips_some_are_taken_all_over_the_list() -> None:
    many = [ClipReference(str(number)) for number in range(1000)]
    taken = [int(clip.path) for clip in bench_clips.spread(many)]
    assert len(taken) == bench_clips.MOST
    assert set(np.diff(taken)) <= {62, 63}
    assert bench_clips.spread(many[:3]) == many[:3]


# Processes


@pytest.mark.parametrize(
    ("task", "argument", "message"), [(os._exit, 7, "exit status 7"), (signal.raise_signal, signal.SIGSEGV, "SIGSEGV")]
)
def test_a_setting_that_kills_its_process_is_a_reason_not_an_end(task: Any, argument: Any, message: str) -> None:
    with pytest.raises(ProviderError, match=message):
        run_trial(task, argument)


def test_a_killed_benchmark_leaves_no_process_behind(tmp_path: Path) -> None:
    script = "import time; from saliency_engine.jobs.bench.trial_process import run_trial; run_trial(time.sleep, 300)"
    parent = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(tmp_path)})
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    child = _within(HANG, lambda: children.read_text().split())[0]
    parent.kill()
    parent.wait()
    _within(HANG, lambda: not Path(f"/proc/{child}").exists())


def _within(seconds: float, condition: Any) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value
