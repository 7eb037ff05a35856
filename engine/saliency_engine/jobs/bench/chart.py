"""A chart of a benchmark's results: a bar of clips per second for every setting."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saliency_engine.errors import ConfigError
from saliency_engine.storage.atomic import write_together

# Colours by Okabe and Ito, which the colour-blind can tell apart.
_COLOURS = {"cpu": "#0072B2", "openvino": "#E69F00", "cuda": "#009E73", "auto": "#CC79A7"}
_OTHER, _FAINT = "#56B4E9", "#6b6b6b"
_WIDTH, _BAR_HEIGHT, _MARGIN = 11.0, 0.42, 1.9  # inches; title and axis take the margin


def require_matplotlib() -> None:
    """Raise ``ConfigError`` where matplotlib is missing."""
    try:
        import matplotlib.figure  # noqa: F401, PLC0415  half a second that only charts need
    except ImportError as error:
        raise ConfigError("--chart needs matplotlib: pip install 'saliency-batch[bench]'") from error


def draw_chart(path: Path, report: Mapping[str, Any]) -> None:
    """Draw ``report``, which ``report.as_json`` has made, to the PNG file ``path``. Raises ``OutputError``."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    settings: Sequence[Mapping[str, Any]] = report["settings"]
    figure = Figure((_WIDTH, _BAR_HEIGHT * len(settings) + _MARGIN), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    most = max(entry["clips_per_second"]["most"] for entry in settings if entry["status"] == "ok")
    for place, entry in enumerate(settings):
        if entry["status"] == "ok":
            _draw_bar(axes, place, entry, most)
        else:
            text = f"did not run: {entry['reason']}"
            axes.text(0.01 * most, place, _cut(text, 95), va="center", fontsize=8, color=_FAINT, style="italic")
    axes.set_yticks(range(len(settings)), [_label_of(entry) for entry in settings], fontsize=9)
    for label, entry in zip(axes.get_yticklabels(), settings, strict=True):
        if _is_recommended(entry, report):
            label.set_fontweight("bold")
    axes.set_ylim(len(settings) - 0.4, -0.6)
    axes.set_xlim(0, 1.68 * most)  # room for what stands beside the longest bar
    axes.set_xlabel("clips per second: median of the rounds, lines from the slowest to the fastest round", fontsize=9)
    axes.tick_params(axis="x", labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.grid(visible=True, alpha=0.25)
    axes.set_axisbelow(True)
    axes.set_title(_title_of(report), loc="left", fontsize=10)
    _draw_legend(axes, settings)
    png = io.BytesIO()
    figure.savefig(png, format="png")
    write_together({path: png.getvalue()})


def _draw_bar(axes: Any, place: int, entry: Mapping[str, Any], most: float) -> None:
    rate, agreed = entry["clips_per_second"], entry["agreement"]
    median = rate["median"]
    axes.barh(
        place,
        median,
        height=0.68,
        color=_COLOURS.get(entry["provider"], _OTHER),
        alpha=1.0 if agreed["agrees"] else 0.45,
        hatch=None if agreed["agrees"] else "//",
        xerr=[[median - rate["least"]], [rate["most"] - median]],
        error_kw={"elinewidth": 1, "capsize": 2, "ecolor": "#222222"},
    )
    memory = "" if entry["memory_mb"] is None else f" · {entry['memory_mb']:.0f} MB"
    verdict = f"|Δmean| {agreed['delta_mean_max']:.5f}" if agreed["agrees"] else "differs from cpu float32"
    text = f"{median:.2f}/s · {verdict} · one clip {entry['latency_ms']['p50']:.0f} ms{memory}"
    axes.text(rate["most"] + 0.015 * most, place, text, va="center", fontsize=8)


def _label_of(entry: Mapping[str, Any]) -> str:
    label = f"{entry['provider']} {entry['precision']}"
    if entry["status"] != "ok":
        return label
    threads = f"{entry['threads_used']} threads" if entry["threads_used"] > 1 else "1 thread"
    return f"{label}, {threads}, batch size {entry['batch_size']}"


def _is_recommended(entry: Mapping[str, Any], report: Mapping[str, Any]) -> bool:
    names = ("provider", "precision", "threads", "batch_size")
    return entry["status"] == "ok" and all(entry[name] == report["recommended"][name] for name in names)


def _title_of(report: Mapping[str, Any]) -> str:
    machine, clips = report["machine"], report["clips"]
    made = "made" if clips["made"] else "own"
    hardware = ", ".join([f"{machine['cpu']}, {machine['cores']} cores", *machine["gpus"]])
    return f"{report['model']['id']} on {len(clips['used'])} {made} clips; recommended in bold\n{hardware}"


def _draw_legend(axes: Any, settings: Sequence[Mapping[str, Any]]) -> None:
    from matplotlib.patches import Patch  # noqa: PLC0415

    names = dict.fromkeys(entry["provider"] for entry in settings if entry["status"] == "ok")
    patches = [Patch(color=_COLOURS.get(name, _OTHER), label=name) for name in names]
    if any(entry["status"] == "ok" and not entry["agreement"]["agrees"] for entry in settings):
        patches.append(Patch(facecolor="white", edgecolor="#222222", hatch="//", label="differs from cpu float32"))
    axes.legend(handles=patches, loc="lower right", fontsize=8, frameon=False)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
