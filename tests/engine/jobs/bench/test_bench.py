"""``saliency-batch bench``: real settings of the real engine in processes of their own, and what is made of them."""

from __future__ import annotations

import dataclasses
import io
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
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from tests.clips import Encode
from tests.processes import MAIN, saliency_batch
from tests.rows import write_rows
from tests.small_models import quantized

from saliency_engine.cli import app
from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, InputError, OutputError, ProviderError
from saliency_engine.jobs.bench import clips as bench_clips
from saliency_engine.jobs.bench import report as bench_report
from saliency_engine.jobs.bench.agreement import Agreement, agreement, gate
from saliency_engine.jobs.bench.measure import Bench, Measured, Result
from saliency_engine.jobs.bench.recommend import advise
from saliency_engine.jobs.bench.settings import Choices, Setting, list_settings
from saliency_engine.jobs.bench.trial_process import run_trial
from saliency_engine.models.load import Model
from saliency_engine.numerics.fidelity import EIGHT_BITS, HALF, compare
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
    settings = ["--provider", "cpu", "--provider", "cuda", "--threads", "1", "--rounds", "1"]
    outputs: list[str | Path] = ["--json", tmp_path / "bench.json", "--chart", tmp_path / "bench.png"]
    done = bench(folder, "--model", "frequency_tuned_v1", "--model-size", "64x48", *settings, *outputs)

    *table, command = done.stdout.splitlines()
    assert any(line.split()[:4] == ["cpu", "float32", "1", "8"] and line.split()[-1] == "yes" for line in table)
    assert any(line.startswith(" cuda float32") and "did not run" in line for line in table)
    assert any(line.startswith("cuda float32 did not run: --provider cuda cannot start") for line in table)
    assert "broken.mp4 is left out: decode-failed" in done.stderr
    assert "notes.txt" not in done.stderr
    assert "1 settings × 1 rounds over 2 clips" in done.stderr  # said before they are timed
    _check_report(json.loads((tmp_path / "bench.json").read_text()), folder, command)
    with Image.open(tmp_path / "bench.png") as picture:
        picture.load()
        assert picture.format == "PNG"
        assert picture.width > 1000

    words = shlex.split(command)
    assert words[:2] == ["saliency-batch", "run"]
    assert words[-4:] == ["--model-size", "64x48", "--threads", "1"]
    (tmp_path / "clips.jsonl").write_text(json.dumps({"src": str(folder / "a.mp4")}))
    subprocess.run([*MAIN, *words[1:]], cwd=tmp_path, capture_output=True, check=True, timeout=60)
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
    child = _within(60, lambda: children.read_text().split())[0]
    parent.kill()
    parent.wait()
    _within(60, lambda: not Path(f"/proc/{child}").exists())


def _within(seconds: float, condition: Any) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return value


# What is tried, what agrees, what is recommended


def test_the_grid_is_every_combination_of_what_starts_here() -> None:
    starts = {("cpu", "float32"): "CPUExecutionProvider", ("cuda", "float32"): "CUDAExecutionProvider"}
    choices = Choices(threads=(1, 3), batch_sizes=(4,))
    assert {str(setting) for setting in list_settings(choices, starts)} == {
        "cpu float32, threads 1, batch size 4",
        "cpu float32, threads 3, batch size 4",
        "cuda float32, threads 1, batch size 4",
        "cuda float32, threads 3, batch size 4",
    }
    by_default = list_settings(Choices(), starts)
    assert [s for s in by_default if s.provider == "cuda"] == [Setting("cuda", "float32", "auto", n) for n in (8, 32)]
    assert {s.batch_size for s in by_default if s.provider == "cpu"} == {8}


@pytest.mark.parametrize("provider", ["cuda", "tensorrt"])
def test_models_in_int8_are_not_tried_on_cards(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saliency_engine.jobs.bench.measure.run_trial", lambda *_: pytest.fail("it was tried"))
    data = quantized().SerializeToString()
    bench = Bench({}, Model("small", "small.onnx", "00", data), [ClipReference("a.mp4")], Console(file=io.StringIO()))
    (result,) = bench._try_providers(Choices(providers=(provider,)))
    assert (result.setting.provider, result.reason.partition(":")[0]) == (provider, "models in int8 are not for cards")


def test_the_shorter_the_numbers_the_wider_the_gate() -> None:
    assert gate("float32", {"Conv"}) is HALF
    assert gate("float32", {"Conv", "QuantizeLinear"}) is EIGHT_BITS
    assert gate("bfloat16", {"Conv"}) is EIGHT_BITS
    assert gate("float32", {"Conv", "QuantizeLinear"}, float32_on_card=True) is EIGHT_BITS


def test_tf32_does_not_pass_for_float32_on_a_card() -> None:
    """Its 11 significant bits are those of half precision, whose gate it would pass."""
    rounded = (_maps().view(np.uint32) & 0xFFFFE000).view(np.float32)
    assert HALF.misses(compare(_maps(), rounded)) == []
    misses = gate("float32", {"Conv"}, float32_on_card=True).misses(compare(_maps(), rounded))
    assert [miss.rpartition("(")[2] for miss in misses] == ["must be ≤ 1e-04)"]


def _maps() -> NDArray[np.float32]:
    return np.random.default_rng(4).random((6, 12, 16), dtype=np.float32)


def test_rows_and_maps_are_both_held_to_the_gate() -> None:
    a, b = ClipReference("a"), ClipReference("b")
    reference = {a: (0.5, 0.1), b: (0.4, 0.2), ClipReference("unmet"): (0.9, 0.0)}
    same = agreement(reference, {a: (0.5, 0.1), b: (0.40004, 0.2)}, _maps(), _maps(), HALF)
    assert (same.misses, same.rows) == ((), 2)
    assert [same.delta_mean_max, same.delta_mean_mean] == pytest.approx([4e-5, 2e-5])
    moved = {a: (0.5, 0.1), b: (0.41, 0.3)}
    assert agreement(reference, moved, _maps(), _maps(), EIGHT_BITS).misses == ()
    assert agreement(reference, moved, _maps(), _maps(), HALF).misses == (
        "largest |Δmean| of a row 0.01000 (must be ≤ 0.001)",
    )
    other = agreement(reference, {a: (0.5, 0.1)}, _maps(), _maps()[::-1], EIGHT_BITS)
    assert [miss.split()[:2] for miss in other.misses] == [["mean", "correlation"], ["largest", "|Δmean|"]]


def _result(provider: str, precision: str, rate: float, misses: tuple[str, ...] = (), threads: Any = "auto") -> Result:
    agreed = Agreement(2, 0.003, 0.001, 0.0005, 0.0002, compare(_maps(), _maps()), misses)
    measured = Measured(2, 8 * rate, rate, rate, rate, (5.0, 6.0), 9, 400.0, {}, agreed)
    return Result(Setting(provider, precision, threads), measured=measured)


def test_the_fastest_that_agrees_is_recommended_and_the_others_are_said() -> None:
    plain = _result("cpu", "float32", 5.0)
    wrong = _result("openvino", "bfloat16", 14.0, ("mean correlation 0.90000 (must be ≥ 0.998)",))
    failed = Result(Setting("cuda", "float32"), reason="no driver")
    options = {"model_path": "my model.onnx", "require_verified": True, "allow_op": ("Abs", "Sin")}
    advice = advise([plain, wrong, failed, _result("openvino", "float32", 6.0, threads=1)], options)
    assert shlex.split(advice.command)[6:] == [
        "--model-path",
        "my model.onnx",
        "--require-verified",
        "--allow-op",
        "Abs",
        "--allow-op",
        "Sin",
        "--provider",
        "openvino",
        "--threads",
        "1",
    ]
    assert "1.20 times" in advice.reasons[1]
    assert advice.reasons[-1].startswith("faster but not recommended: openvino bfloat16")
    right = dataclasses.replace(wrong, measured=_result("", "", 14.0).measured)
    advice = advise([plain, right], options)
    assert advice.command.endswith("--provider openvino --precision bfloat16")
    assert any("0.0030" in reason and "model id of their own" in reason for reason in advice.reasons)


def test_a_lead_within_the_noise_does_not_buy_other_numbers() -> None:
    results = [
        _result("openvino", "bfloat16", 5.1),
        _result("cpu", "float32", 5.0),
        _result("cpu", "float32", 5.05, (), 1),
    ]
    advice = advise(results, {"model": "frequency_tuned_v1"})
    assert advice.setting == Setting("cpu", "float32")
    assert "within 5% of the fastest" in advice.reasons[0]


def test_rounds_far_apart_are_remarked_on(capsys: pytest.CaptureFixture[str]) -> None:
    steady = _result("cpu", "float32", 5.0)
    assert steady.measured is not None
    bench_report.print_table([steady])
    assert "unsteady" not in capsys.readouterr().out
    moved = dataclasses.replace(steady.measured, clips_least=3.0)
    bench_report.print_table([steady, Result(Setting("openvino", "float32"), measured=moved)])
    assert (
        "unsteady: rounds of openvino float32, threads auto, batch size 8 ran at 3.00 to 5.00"
        in capsys.readouterr().out
    )


def test_where_nothing_agrees_the_reference_is_recommended() -> None:
    advice = advise(
        [_result("openvino", "bfloat16", 5.1, ("largest difference 1.00 (must be ≤ 1e-04)",))], {"model": "m"}
    )
    assert advice.command == "saliency-batch run --input clips.jsonl --output out.jsonl --model m"
    assert len(advice.reasons) == 2
