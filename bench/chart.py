"""Draws docs/performance.svg from bench/results/end_to_end_*.json: where a clip's time goes, and clips per second.

    python bench/chart.py [RESULT.json …] [--output docs/performance.svg]

On the left is the wall time of a clip, by what it went to. The engine does several things at once: its part of each is
the CPU time of the processes or threads that do it, divided by the number of cores. The other ways do one thing after
the other: their parts are measured by the clock.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams |= {"svg.hashsalt": "saliency-batch", "svg.fonttype": "none", "font.size": 8}

from harness.results import RESULTS  # noqa: E402
from matplotlib import pyplot  # noqa: E402

_COLOURS = {"decode": "#e69f00", "model": "#0072b2", "other": "#999999", "idle": "#eeeeee"}
_OURS, _LIMIT, _OTHERS = "#0072b2", "#bbbbbb", "#e69f00"
_DOCS = Path(__file__).resolve().parents[1] / "docs" / "performance.svg"


def main() -> None:
    """Read the results and write the chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="*", type=Path)
    parser.add_argument("--output", type=Path, default=_DOCS)
    arguments = parser.parse_args()
    rows = []
    for path in arguments.results or sorted(RESULTS.glob("end_to_end_*.json")):
        report = json.loads(path.read_text())
        rows.append((report["model"], report["size"], report, report["machine"]["cores"]))
    rows.sort(key=lambda row: (row[0], len(row[1]), row[1]))
    heights = [len(report["clips_per_second"]) + 2 for _, _, report, _ in rows]
    figure, panels = pyplot.subplots(
        len(rows), 2, figsize=(11, 0.21 * sum(heights)), squeeze=False, height_ratios=heights, layout="constrained"
    )
    for (times, rates), (model, size, report, cores) in zip(panels, rows, strict=True):
        _draw_times(times, report, cores, f"{model}, {size}: ms a clip")
        _draw_rates(rates, report, f"{model}, {size}: clips/s")
    figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside lower left", ncols=4, frameon=False)
    figure.savefig(arguments.output, metadata={"Date": None})


def _draw_times(panel: Any, result: dict[str, Any], cores: int, title: str) -> None:
    shown = {
        name: figures
        for name, figures in result["ms_per_clip"].items()
        if not name.startswith("bare") and not name.endswith("own size")
    }
    left = [0.0] * len(shown)
    for part, colour in _COLOURS.items():
        widths = [_split(name, figures, cores).get(part, 0.0) for name, figures in shown.items()]
        panel.barh(list(shown), widths, left=left, color=colour, label=part)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    _finish(panel, title, left, "{:.0f}")


def _split(name: str, figures: dict[str, Any], cores: int) -> dict[str, float]:
    """A clip's milliseconds by what they went to; ``idle`` is the rest."""
    if name.startswith("engine"):
        cpu = figures["cpu"]
        parts = {"decode": cpu.get("workers", 0.0), "model": cpu.get("threads", 0.0), "other": cpu.get("loop", 0.0)}
        parts = {part: value / cores for part, value in parts.items()}
        return parts | {"idle": max(figures["wall"] - sum(parts.values()), 0.0)}
    stages = figures["stages"]
    parts = {part: stages.get(part, 0.0) for part in ("decode", "model")}
    return parts | {"other": figures["wall"] - sum(parts.values())}


def _draw_rates(panel: Any, result: dict[str, Any], title: str) -> None:
    rates = result["clips_per_second"]
    kinds = {"engine": _OURS, "bare": _LIMIT}
    colours = [kinds.get(name.replace(",", " ").split()[0], _OTHERS) for name in rates]
    panel.barh(list(rates), list(rates.values()), color=colours)
    _finish(panel, title, list(rates.values()), "{:.3g}")


def _finish(panel: Any, title: str, ends: Sequence[float], form: str) -> None:
    for place, end in enumerate(ends):
        panel.annotate(form.format(end), (end, place), (3, 0), textcoords="offset points", va="center", fontsize=7)
    panel.invert_yaxis()
    panel.set_title(title, loc="left", fontsize=8, fontweight="bold")
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(x=0.12)


if __name__ == "__main__":
    main()
