"""The figures of ``gpu.py`` as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BAR = 0.8  # what end to end must reach of the bare loop: U2NETP in half precision, 540p
_PARTS = ("checks", "loops", "settings", "end to end")
"""Without any of these there is no table; the JSON file has the others."""
_WAYS = ("bare", "normalised there", "normalised here")


def markdown(result: Mapping[str, Any]) -> str:
    """What ``gpu.py`` measured of one model."""
    if "failed" in result:
        return f"\n## {result['model']}\n\nNot measured: {result['failed']}"
    lines = [f"\n## {result['model']} ({result['precision']}) on {result['runs on']}", ""]
    failed = [name for name, part in result.items() if isinstance(part, dict) and name in _PARTS and "failed" in part]
    if failed:
        return "\n".join([*lines, *(f"- {name} failed: {result[name]['failed']}" for name in failed)])
    lines += [f"- {name}: {_list_values(values)}" for name, values in result["checks"].items()]
    lines += ["", _describe_agreement(result["agreement"])]
    lines += _table(
        ["batch", "CUDA graphs", "bare loop, frames/s", "there and back, normalised there", "normalised here"],
        [
            [loop["batch"], "yes" if loop["CUDA graphs"] else "no", *(_rate(loop[way]) for way in _WAYS)]
            for loop in result["loops"]
        ],
    )
    remarks = dict.fromkeys(loop["normalised there"].get("remark") for loop in result["loops"])
    lines += ["", *(f"- {remark}" for remark in remarks if remark)]
    if result["settings"]:
        usual = result["settings"]["as the engine runs it"].get("maps", float("nan"))
        rows = [
            [name, _rate(loop), f"{abs(loop.get('maps', float('nan')) - usual):.1e}"]
            for name, loop in result["settings"].items()
        ]
        lines += _table(["bare loop, largest batch", "frames/s", "mean of the maps moved by"], rows)
    heads = [
        "batch",
        "decoders",
        "frames/s",
        "clips/s",
        "of the bare loop",
        "decoders at work",
        "model at work",
        "limit",
    ]
    lines += _table(heads, [_list_run(run) for run in result["end to end"]])
    return "\n".join([*lines, "", *_compare_with_row_at_a_time(result)])


def _list_values(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _describe_agreement(figures: Mapping[str, Any]) -> str:
    if "failed" in figures:
        return f"Agreement with the CPU: {figures['failed']}"
    verdict = "; ".join(figures["misses"]) or "passes the gate"
    return (
        f"Agreement with {figures['parent']} of ONNX Runtime on the CPU over {figures['frames']} frames: "
        f"r {figures['correlation']:.6f}, largest |Δmean| {figures['delta_mean']:.1e}, largest difference of a pixel "
        f"{figures['max_abs']:.1e}: {verdict}{'' if figures['repeats'] else '; a second call gave other maps'}."
    )


def _list_run(run: Mapping[str, Any]) -> list[Any]:
    if "failed" in run:
        return [run["batch"], run["workers"], f"failed: {run['failed']}", *[""] * 5]
    share = run["of the bare loop"]
    rates = [f"{run[name]:.1f}" for name in ("frames_per_second", "clips_per_second")]
    work = [f"{run[stage]:.0%}" for stage in ("decode", "infer")]
    return [run["batch"], run["workers"], *rates, "" if share is None else f"{share:.2f}", *work, run["limit"]]


def _compare_with_row_at_a_time(result: Mapping[str, Any]) -> list[str]:
    """The row-at-a-time script, and the bar where this model has one."""
    runs = [run for run in result["end to end"] if "failed" not in run]
    best = max(runs, key=lambda run: run["frames_per_second"], default=None)
    row, lines = result["row at a time"], []
    if "failed" in row:
        lines.append(f"Row at a time: {row['failed']}")
    elif best:
        ratio = best["clips_per_second"] / row["clips_per_second"]
        lines.append(f"Row at a time: {row['clips_per_second']:.2f} clips/s; the engine is {ratio:.1f} times as fast.")
    if (
        best
        and best["of the bare loop"] is not None
        and "u2netp" in result["model"]
        and result["precision"] == "float16"
    ):
        reached = best["of the bare loop"]
        verdict = "met" if reached >= BAR else "missed"
        lines.append(
            f"The bar is {BAR} of the bare loop: {reached:.2f} reached, {verdict}; the limit was {best['limit']}."
        )
    return lines


def _table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = ["", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return lines + [f"| {' | '.join(map(str, row))} |" for row in rows]


def _rate(loop: Mapping[str, Any]) -> str:
    return f"failed: {loop['failed']}" if "failed" in loop else f"{loop['frames_per_second']:.1f}"
