"""What ``bench`` tries, what agrees with the reference, and what is recommended."""

from __future__ import annotations

import dataclasses
import io
import shlex
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from rich.console import Console
from tests.clips import Encode
from tests.small_models import quantized

from saliency_engine import compute_clip
from saliency_engine.jobs.bench import report as bench_report
from saliency_engine.jobs.bench.agreement import Agreement, agreement, gate
from saliency_engine.jobs.bench.measure import Bench, Measured, Result
from saliency_engine.jobs.bench.recommend import advise, with_reuse
from saliency_engine.jobs.bench.reuse import Trial, try_reuse
from saliency_engine.jobs.bench.settings import Choices, Setting, list_settings
from saliency_engine.jobs.bench.stopwatch import Job
from saliency_engine.models.load import Model
from saliency_engine.numerics.fidelity import EIGHT_BITS, HALF, compare
from saliency_engine.types import ClipReference

OPTIONS: dict[str, Any] = {"model": "frequency_tuned_v1", "model_size": "64x48"}


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


def _trial(tau: float, runs: int, correlation: float = 1.0) -> Trial:
    maps = dataclasses.replace(compare(_maps(), _maps()), correlation=correlation)
    return Trial(tau, 4, 32, runs, maps, 0.003, 0.001)


@pytest.mark.parametrize(
    ("trials", "tau"),
    [
        ([_trial(0.001, 32), _trial(0.002, 20), _trial(0.003, 12)], 0.003),
        ([_trial(0.001, 20), _trial(0.002, 20), _trial(0.003, 12, 0.99)], 0.001),  # as much, and nearer
        ([_trial(0.001, 20), _trial(0.002, 16, 0.99), _trial(0.003, 12)], 0.001),  # a larger one passes by chance
        ([_trial(0.001, 31), _trial(0.002, 12, 0.99)], None),  # not worth it
        ([_trial(0.001, 16, 0.99)], None),
    ],
)
def test_of_what_passes_the_reuse_that_saves_most_is_recommended(trials: list[Trial], tau: float | None) -> None:
    advice = advise([_result("cpu", "float32", 5.0)], {"model": "m"})
    final = with_reuse(advice, trials, {"model": "m"})
    if tau is None:
        assert final.command == advice.command
        assert final.reasons[-1].startswith("no --reuse is recommended")
    else:
        assert shlex.split(final.command) == [*shlex.split(advice.command), "--reuse", str(tau)]
        runs = next(trial.model_runs for trial in trials if trial.tau == tau)
        assert f"--reuse {tau}: the model runs for {runs / 32:.0%} of the frames" in final.reasons[-1]


def test_reuse_is_tried_on_the_clips_themselves(encode: Encode, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a clip that shows each picture twice, half of the model runs are saved, and nothing moves."""
    path = encode("moves.y4m", source="carphone_pristine", frames=4, size=(96, 64))
    with av.open(str(path)) as container:
        twice = [frame for frame in container.decode(video=0) for _ in range(2)]
    clip = ClipReference(str(encode("twice.y4m", source=twice)))
    trials = try_reuse(Job(OPTIONS, [clip]))
    first, last = trials[0], trials[-1]
    assert (first.tau, first.clips, first.frames, first.model_runs) == (0.001, 1, 8, 4)
    assert (first.maps.max_abs, first.delta_mean_max) == (0.0, 0.0)
    assert first.maps.correlation == pytest.approx(1.0)
    whole, moved = (compute_clip(clip.path, **OPTIONS, reuse=tau) for tau in (0.0, last.tau))
    assert last.model_runs < 4
    assert last.delta_mean_max == pytest.approx(abs(whole.summarize()[0] - moved.summarize()[0]), abs=1e-12)
    assert dataclasses.astuple(last.maps) == pytest.approx(dataclasses.astuple(compare(whole.maps, moved.maps)))
    bench_report.print_trials(trials)
    assert any(line.split()[:3] == ["0.001", "50%", "1.00000"] for line in capsys.readouterr().out.splitlines())


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
