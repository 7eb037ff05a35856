"""How far a run is, on stderr: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task
from rich.text import Text

from saliency_engine.pipeline.counts import Counts, together
from saliency_engine.pipeline.far_fill import FarFill
from saliency_engine.report.audit import RunsOn
from saliency_engine.report.cluster import cluster_of, describe_busy
from saliency_engine.report.terminal import printable
from saliency_engine.tables.input import Table
from saliency_engine.tables.share import Share

_LINE_SECONDS = 30.0
_REDRAW_SECONDS = 0.1
_WINDOW_SECONDS = 60.0
_NARROW = 100
"""Below this many columns the bar's words are shortened: they and the bar need 96."""


class Pace:
    """How fast rows get their results now: over the last minute, and not before the first clip is computed.

    Rows that keep their numbers and clips that the memo knows go by thousands of times as fast, mostly at the start of
    a run that goes on after a crash: counted in, they made 29 s of 70.
    """

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque()
        self._computing = False

    def add(self, seconds: float, counts: Counts) -> None:
        """Note what ``counts`` are at the time ``seconds``."""
        if not self._computing and counts.clips_computed + counts.clips_failed:
            self._computing = True
            self._points = deque(list(self._points)[-1:])
        self._points.append((seconds, counts.rows))
        while len(self._points) > 2 and self._points[1][0] < seconds - _WINDOW_SECONDS:
            self._points.popleft()

    def seconds_for(self, rows: int) -> float | None:
        """How long so many more rows will take; ``None`` while nobody can say."""
        if len(self._points) < 2 or self._points[-1][1] == self._points[0][1]:
            return None
        (first, before), (last, after) = self._points[0], self._points[-1]
        return rows * (last - first) / (after - before)


class ProgressDisplay:
    """First says what runs each model, then how far the run is. ``counts`` are its tasks', and change meanwhile.

    ``kind``: ``bar``, ``lines``, ``json`` (an object a line), ``off``, or ``auto``: a bar on a terminal, else lines.
    """

    def __init__(self, runs_on: Sequence[RunsOn], counts: Sequence[Counts], kind: str) -> None:
        self._runs_on, self._tasks, self._pace = runs_on, counts, Pace()
        self._console = Console(stderr=True)
        self._kind = ("bar" if self._console.is_terminal else "lines") if kind == "auto" else kind
        self._started = self._shown = time.monotonic()
        narrow = self._console.width < _NARROW
        columns: list[Any] = [SpinnerColumn(), BarColumn(10 if narrow else 24), _Words(narrow=narrow)]
        self._bar = Progress(*columns, console=self._console, disable=self._kind != "bar", expand=False)
        self._task = self._bar.add_task("", total=None, state=None)

    def update(self, table: Table | Share, rejected: int) -> None:
        """Show how far the run is, at most ten times a second; ``rejected`` lines of ``table`` were no rows."""
        if not self._is_due():
            return
        now, counts = self._shown, together(self._tasks)
        self._pace.add(now, counts)
        self._show(self._describe(now - self._started, counts, _estimate_rows(table, counts), rejected))

    def update_cluster(self, fill: FarFill, actors: int, fraction: float | None) -> None:
        """Show how far a cluster is with the clips, when ``fraction`` of the table has been looked through for them."""
        if not self._is_due():
            return
        seconds = self._shown - self._started
        total = max(round(fill.planned / fraction), fill.planned) if fraction else None
        rate = fill.done / max(seconds, 1e-9)
        state = {
            "seconds": round(seconds, 1),
            "clips": fill.done,
            "clips_total": total,
            "failed": fill.failed,
            "actors": actors,
            "clips_per_second": round(rate, 2),
            "seconds_left": round((total - fill.done) / rate) if total and rate else None,
        }
        self._show({**state, **cluster_of(fill.states.values())})

    def _is_due(self) -> bool:
        """Whether it is time to show something; then it is taken to be shown now."""
        now = time.monotonic()
        interval = _REDRAW_SECONDS if self._kind == "bar" else _LINE_SECONDS
        if self._kind == "off" or now - self._shown < interval:
            return False
        self._shown = now
        return True

    def _describe(self, seconds: float, counts: Counts, total: int | None, rejected: int) -> dict[str, Any]:
        left = None if total is None else self._pace.seconds_for(max(total - counts.rows, 0))
        return {
            "seconds": round(seconds, 1),
            "rows": counts.rows + rejected,
            "rows_total": total,
            "failed": counts.failed + rejected,
            "clips_computed": counts.clips_computed,
            "clips_reused": counts.clips_reused,
            "clips_per_second": round((counts.clips_computed + counts.clips_failed) / max(seconds, 1e-9), 2),
            "seconds_left": None if left is None else round(left),
        }

    def _show(self, state: dict[str, Any]) -> None:
        if self._kind == "bar":
            completed, total = (state[f"clips{end}" if "clips" in state else f"rows{end}"] for end in ("", "_total"))
            self._bar.update(self._task, completed=completed, total=total, state=state)
            return
        clock = datetime.now().astimezone().isoformat(timespec="seconds")
        text = json.dumps({"time": clock, **state}) if self._kind == "json" else f"{clock} {describe_state(state)}"
        self._console.out(text, highlight=False)

    def __enter__(self) -> Self:
        for runs_on in self._runs_on if self._kind in {"bar", "lines"} else ():
            remark = f" ({runs_on.remark})" if runs_on.remark else ""
            self._console.out(printable(f"{runs_on.model.model_id} on {runs_on.provider}{remark}"), highlight=False)
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:  # else the bar stays where the run stopped
            rows = together(self._tasks).rows
            self._bar.update(self._task, completed=rows, total=rows)
        self._bar.__exit__(kind, error, trace)


class _Words(ProgressColumn):
    """What the bar cannot show, beside it."""

    def __init__(self, *, narrow: bool) -> None:
        super().__init__()
        self._narrow = narrow

    def render(self, task: Task) -> Text:
        state = task.fields["state"]
        return Text(describe_state(state, narrow=self._narrow) if state else "", no_wrap=True, overflow="ellipsis")


def describe_state(state: dict[str, Any], *, narrow: bool = False) -> str:
    """A state of ``ProgressDisplay`` in words: at most 84 columns of them, and 44 where it is ``narrow``."""
    if "clips" in state:
        return _describe_cluster(state, narrow=narrow)
    total, failed, left = _describe_ends(state, "rows_total")
    if narrow:
        parts = [f"{state['rows']:,}/{total}", failed, left]
    else:
        reused = f"{state['clips_reused']:,} reused" if state["clips_reused"] else None
        rate = f"{state['clips_per_second']:.1f} clips/s"
        parts = [f"{state['rows']:,} of {total} rows", rate, reused, failed, left]
    return ", ".join(part for part in parts if part)


def _describe_ends(state: dict[str, Any], total: str) -> tuple[str, str | None, str | None]:
    """How many there are in all, how many have failed, and the time that is left."""
    left = None if state["seconds_left"] is None else format_time(state["seconds_left"]) + " left"
    failed = f"{state['failed']:,} failed" if state["failed"] else None
    return "?" if state[total] is None else f"{state[total]:,}", failed, left


def _describe_cluster(state: dict[str, Any], *, narrow: bool) -> str:
    total, failed, left = _describe_ends(state, "clips_total")
    if narrow:
        parts = [f"{state['clips']:,}/{total} clips", failed, left]
    else:
        rate = f"{state['clips_per_second']:.1f}/s"
        busy = f"{state['actors']} actors: {describe_busy(state)}"
        parts = [f"{state['clips']:,} of {total} clips", rate, busy.rstrip(": "), failed, left]
    return ", ".join(part for part in parts if part)


def _estimate_rows(table: Table | Share, counts: Counts) -> int | None:
    """The table's length where its format says it, else an estimate from the part of the file that has been read."""
    if table.rows_total is not None or not table.fraction:
        return table.rows_total
    return max(round(counts.rows_read / table.fraction), counts.rows_read)


def format_time(seconds: float) -> str:
    """Hours, minutes and seconds, such as ``1:02:03``."""
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"
