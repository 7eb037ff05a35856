"""Small charts for pages, as SVG text in the colours and the font of the page that holds them."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.report.terminal import printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = NDArray[np.float64]
SERIES = 6
"""Colours that a page has for series; the seventh is the first again."""
# Matplotlib knows no CSS variables: it draws in colours that nothing else has, which become variables afterwards.
_INK, _FAINT, _LINE = "#010203", "#010204", "#010205"
_SERIES = tuple(f"#0102{number:02x}" for number in range(0x11, 0x11 + SERIES))
_VARIABLES = {_INK: "--ink", _FAINT: "--faint", _LINE: "--line"} | {
    color: f"--s{place}" for place, color in enumerate(_SERIES, 1)
}
_SIZE = (4.2, 2.7)  # inches: at the width of a phone, text of 9 points is some 10 pixels high
_MOST_POINTS = 600
"""More are drawn as cells, darker where there are more: a page stays below 2 MB, and a cloud is no blot."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, on a line of a chart."""

    label: tuple[str, ...]
    """Its lines."""
    value: float
    low: float
    """NaN where there is no interval. So is ``high``."""
    high: float
    series: int = 0
    """The number of its colour."""


def draw_histogram(series: Sequence[Numbers], name: str, labels: Sequence[str] = ()) -> Any:
    """How the numbers of each of ``series`` are distributed: outlines over the same bins. ``name`` is the axis'."""
    figure, axes = _new_chart()
    finite = [values[np.isfinite(values)] for values in series]
    every = np.concatenate(finite) if finite else np.array([])
    bins = min(40, max(8, int(np.sqrt(len(every)))))
    edges = np.histogram_bin_edges(every, bins, _range_of(every)) if len(every) else [0, 1]
    for place, values in enumerate(finite):
        color = _color(place)
        heights = np.histogram(values, edges)[0] / max(len(values), 1)
        axes.stairs(heights, edges, color=color, linewidth=1.5, label=_shorten(labels[place]) if labels else None)
        axes.stairs(heights, edges, color=color, fill=True, alpha=0.18)
    axes.set_xlabel(_shorten(name, 60))
    axes.set_ylabel("share of rows")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    _add_legend(axes, labels)
    return _to_svg(figure)


def _range_of(values: Numbers) -> tuple[float, float]:
    """What a histogram spans: of numbers that are one but for rounding, room for bins around it."""
    low, high = float(values.min()), float(values.max())
    size = max(abs(low), abs(high))
    around = 0.0 if high - low > 1e-9 * size else max(0.5, 1e-3 * size)
    return low - around, high + around


def draw_bars(names: Sequence[str], values: Sequence[float], unit: str, series: Sequence[int] = ()) -> Any:
    """A bar for each of ``names``, the first on top, its value written beside it."""
    figure, axes = _new_chart(height=0.55 + 0.3 * max(len(names), 1))
    colors = [_color(series[place] if series else 0) for place in range(len(names))]
    bars = axes.barh(range(len(names)), values, color=colors, height=0.62)
    axes.bar_label(bars, [f"{value:,.4g}" for value in values], padding=3, fontsize=8, color=_FAINT)
    axes.set_yticks(range(len(names)), [_shorten(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.margins(x=0.16)
    axes.set_xlabel(unit)
    return _to_svg(figure)


def draw_scatter(x: Numbers, y: Numbers, names: tuple[str, str], *, diagonal: bool = False, series: int = 0) -> Any:
    """``y`` over ``x``; ``names`` are those of the axes. ``diagonal``: with the line where they are equal.

    Of more than some hundred points, how many there are in each of a grid of cells.
    """
    figure, axes = _new_chart(height=3.4)
    _draw_cloud(axes, x, y, _color(series))
    if diagonal and len(x):
        low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
        axes.plot([low, high], [low, high], color=_FAINT, linewidth=1, linestyle=(0, (3, 3)))
    axes.set_xlabel(_shorten(names[0], 60))
    axes.set_ylabel(_shorten(names[1], 44))
    return _to_svg(figure)


def draw_mapping(x: Numbers, y: Numbers, mapped: Numbers, names: tuple[str, str], *, series: int = 0) -> Any:
    """``y`` over ``x`` as points or cells, and what ``x`` is mapped to as a line through them."""
    figure, axes = _new_chart(height=3.0)
    _draw_cloud(axes, x, y, _color(series))
    order = np.argsort(x)
    order = order[np.unique(np.linspace(0, len(order) - 1, 200).astype(int))] if len(order) else order
    axes.plot(x[order], mapped[order], color=_INK, linewidth=1.5)
    axes.set_xlabel(_shorten(names[0], 60))
    axes.set_ylabel(_shorten(names[1], 44))
    return _to_svg(figure)


def draw_intervals(estimates: Sequence[Estimate], name: str, *, zero: bool = True) -> Any:
    """A line for each estimate, the first on top: a dot, and its interval as a bar. ``zero``: with a line at 0."""
    figure, axes = _new_chart(height=0.75 + 0.4 * max(len(estimates), 1))
    if zero:
        axes.axvline(0, color=_FAINT, linewidth=1)
    for place, one in enumerate(estimates):
        color = _color(one.series)
        axes.plot([one.low, one.high], [place, place], color=color, linewidth=2.5, alpha=0.45, solid_capstyle="round")
        axes.plot(one.value, place, "o", color=color, markersize=5)
    axes.set_yticks(range(len(estimates)), ["\n".join(map(_shorten, one.label)) for one in estimates])
    axes.set_ylim(len(estimates) - 0.4, -0.6)
    axes.set_xlabel(_shorten(name, 60))
    axes.xaxis.grid(visible=True, color=_LINE)
    axes.set_axisbelow(True)
    return _to_svg(figure)


def _new_chart(height: float = _SIZE[1]) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure  # noqa: PLC0415  half a second that only pages need

    figure = Figure((_SIZE[0], height), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_LINE)
    axes.tick_params(colors=_FAINT, labelsize=8, length=3)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set(color=_FAINT, fontsize=9)
    return figure, axes


def _draw_cloud(axes: Axes, x: Numbers, y: Numbers, color: str) -> None:
    """Points, or cells where there are too many."""
    from matplotlib.colors import to_rgba  # noqa: PLC0415

    if len(x) <= _MOST_POINTS:
        axes.scatter(x, y, s=max(9, min(36, 2000 / max(len(x), 1))), color=color, alpha=0.5, linewidths=0)
        return
    cells = axes.hexbin(x, y, gridsize=36, mincnt=1, linewidths=0)
    filled = np.asarray(cells.get_array(), np.float64)
    cells.set_array(None)
    shades = 0.15 + 0.85 * np.log1p(filled) / np.log1p(filled.max())
    cells.set_facecolor([to_rgba(color, round(float(shade), 2)) for shade in shades])


def _add_legend(axes: Axes, labels: Sequence[str]) -> None:
    if len(labels) > 1:
        axes.legend(fontsize=8, frameon=False, labelcolor=_FAINT, handlelength=1.2)


def _round(attribute: re.Match[str]) -> str:
    """Coordinates to a hundredth of a point, which nobody sees: a third of the text is decimals."""
    return re.sub(r"(\d\.\d\d)\d+", r"\1", attribute[0])


def _color(series: int) -> str:
    return _SERIES[series % SERIES]


def _shorten(text: str, most: int = 26) -> str:
    """A label that is not too long, in which a dollar sign is one and no formula."""
    text = printable(text)
    return (text if len(text) <= most else text[: most - 1] + "…").replace("$", r"\$")


def _to_svg(figure: Figure) -> Any:
    """The figure as SVG to stand within a page: without a head, dates and names that other charts have, too."""
    from markupsafe import Markup  # noqa: PLC0415
    from matplotlib import rc_context  # noqa: PLC0415

    file = io.StringIO()
    metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "saliency-batch"}), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that its own fonts lack: the page's are used
        figure.savefig(file, format="svg", transparent=True, metadata=metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<g) id="[^"]*"', r"\1", svg)  # nothing refers to groups; what is referred to has a hash for a name
    svg = re.sub(
        r'<svg [^>]*viewBox="([^"]+)"[^>]*>',
        r'<svg viewBox="\1" role="img" xmlns:xlink="http://www.w3.org/1999/xlink">',
        svg,
    )
    svg = re.sub(r'="[^"]*"', _round, svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    return Markup(re.sub(r"\s*\n\s*", "\n", svg))
