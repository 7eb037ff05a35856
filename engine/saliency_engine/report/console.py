"""Progress and the closing summary, on stderr."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid
from rich.text import Text

from saliency_engine.config import RunConfig
from saliency_engine.models.load import Model
from saliency_engine.options import flag_of
from saliency_engine.pipeline.counts import Counts
from saliency_engine.report.audit import RunsOn
from saliency_engine.report.terminal import printable
from saliency_engine.tables.input import Table
from saliency_engine.types import sampling_of

# Without a terminal (a log file, a batch system) one line in this many seconds.
_LOG_SECONDS = 30.0
_REDRAW_SECONDS = 0.1


class ProgressLine:
    """First says what runs the model, then how far the run is: a bar on a terminal, elsewhere a line now and then.

    ``counts`` are the engine's, which change while it runs. ``runs_on`` is ``None`` where no model runs. ``quiet``:
    nothing is printed.
    """

    def __init__(self, runs_on: RunsOn | None, counts: Counts, *, quiet: bool) -> None:
        self._runs_on, self._counts, self._quiet = runs_on, counts, quiet
        self._console = Console(stderr=True)
        self._started = self._shown = time.monotonic()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows"),
            TextColumn("[cyan]{task.fields[clips]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or not self._console.is_terminal,
        )
        self._task = self._bar.add_task("saliency" if runs_on else "index", total=None, clips="")

    def update(self, table: Table, rejected: int) -> None:
        """Show how far the run is, at most ten times a second; ``rejected`` lines of ``table`` were no rows."""
        now = time.monotonic()
        if self._quiet or now - self._shown < (_REDRAW_SECONDS if self._console.is_terminal else _LOG_SECONDS):
            return
        self._shown = now
        counts, seconds = self._counts, max(now - self._started, 1e-9)
        total = _estimate_rows(table, counts)
        failed = counts.failed + rejected
        clips = f"{counts.clips_computed} clips, {counts.clips_computed / seconds:.2f}/s, {failed} rows failed"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=counts.rows, total=total, clips=clips)
        else:
            left = f", {_format_time(seconds * (total / counts.rows - 1))} left" if total and counts.rows else ""
            self._console.print(f"{counts.rows}/{total or '?'} rows, {clips}{left}", soft_wrap=True)

    def __enter__(self) -> Self:
        if self._runs_on and not self._quiet:
            remark = f" ({self._runs_on.remark})" if self._runs_on.remark else ""
            first_line = f"{self._runs_on.model.model_id} on {self._runs_on.provider}{remark}"
            self._console.out(printable(first_line), highlight=False)
        self._bar.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.update(self._task, completed=self._counts.rows, total=self._counts.rows)
        self._bar.__exit__(kind, error, trace)


def warn_of(model: Model) -> None:
    """Warn on stderr of a model that nobody chose or verified, and of one with which no clip can be computed."""
    lines = []
    if model.by_default:
        lines.append(
            f"no model is given, so the built-in {model.model_id} runs: a baseline without trained weights. Give "
            "another with --model ID or --model-path FILE.onnx"
        )
    if model.evidence is None:
        lines.append(
            f"the model {model.source} is not verified: no registry entry and no --model-sha256 confirms its bytes. If "
            f"you trust this file, say so with --model-sha256 {model.sha256}"
        )
    if model.fault:
        lines.append(f"no clip can be computed with {model.source}: {model.fault}")
    _warn(lines)


def warn_of_options(config: RunConfig) -> None:
    """Warn on stderr of options that do nothing, or less than they seem to."""
    lines = []
    frames = sampling_of(config).frames_per_clip
    if frames < config.frame_samples:
        lines.append(
            f"--frame-samples {config.frame_samples} with --max-frames {config.max_frames}: {frames} frames of each "
            "clip are used. For more, raise --max-frames or give --sampling uniform"
        )
    given = [flag_of(name) for name in ("ffmpeg_bin", "ffprobe_bin") if getattr(config, name)]
    if given:
        are = "is" if len(given) == 1 else "are"
        lines.append(f"{' and '.join(given)} {are} not used: PyAV's own FFmpeg decodes the clips")
    _warn(lines)


def warn_of_hdr(config: RunConfig, counts: Counts) -> None:
    """Warn on stderr of clips in PQ or HLG whose code values were taken as they are."""
    transfers = Counter[str]()
    for signal, count in counts.signals.items():
        transfers[signal.transfer if signal else "unknown"] += count
    kinds = [f"{transfers[name]} {name.upper()}" for name in ("pq", "hlg") if transfers[name]]
    if kinds and config.hdr == "plain":
        clips = transfers["pq"] + transfers["hlg"]
        _warn(
            [
                f"{clips} {'clip is' if clips == 1 else 'clips are'} HDR ({', '.join(kinds)}) and read as if SDR: "
                "flat, dark or pale. --hdr tonemap maps such clips to SDR"
            ]
        )


def note(sentence: str) -> None:
    """Print a sentence about the run's clips on stderr."""
    print(printable(f"note: {sentence}"), file=sys.stderr)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        print(printable(f"warning: {line}"), file=sys.stderr)


def _estimate_rows(table: Table, counts: Counts) -> int | None:
    """The table's length where its format says it, else an estimate from the part of the file that has been read."""
    if table.rows_total is not None or not table.fraction:
        return table.rows_total
    return max(round(counts.rows_read / table.fraction), counts.rows_read)


def print_summary(audit: dict[str, Any]) -> None:
    """Print on stderr what people need of the audit: rows by outcome, clips, and where the time went."""
    rows, clips, seconds = audit["summary"], audit["clips"], max(audit["seconds"], 1e-9)
    table = Grid(title=_as_text(f"{audit['model']['id']} on {audit['machine']['provider']}"), show_header=False)
    lines = [
        ("rows", f"{rows['total']}: {rows['ok']} ok, {rows['skipped_existing']} skipped, {rows['failed']} failed"),
        ("clips", f"{clips['computed']} computed, {clips['reused']} reused, {clips['failed']} failed"),
        *_describe_signals(clips),
        (
            "time",
            f"{seconds:.1f} s, {clips['computed'] / seconds:.1f} clips/s, {clips['frames'] / seconds:.1f} frames/s",
        ),
        *((f"  {stage}", _describe_stage(busy)) for stage, busy in audit["stages"].items()),
    ]
    if rows["rejected"]:
        lines.insert(1, ("  rejected", f"{rows['rejected']} lines: {audit['rejects']}"))
    for line in lines:
        table.add_row(*map(_as_text, line))
    Console(stderr=True).print(table)


def print_index_summary(counts: Counts, rejects: str, rejected: int) -> None:
    """Print on stderr what came of an index: rows by outcome, the clips; ``rejected`` lines are in ``rejects``."""
    rows = f"{counts.rows + rejected} rows: {counts.ok} ok, {counts.failed + rejected} failed"
    lines = f" ({rejected} lines that are no rows: {rejects})" if rejected else ""
    print(printable(f"{rows}{lines}; {counts.clips_computed + counts.clips_failed} clips probed"), file=sys.stderr)


def _describe_signals(clips: dict[str, Any]) -> list[tuple[str, str]]:
    """Two lines on the clips whose numbers are in the table; none where there is no such clip."""
    transfers = [f"{count} {name.upper()}" for name, count in clips["transfer"].items() if count]
    depths = [f"{count} of {depth} bits" for depth, count in clips["bit_depth"].items() if depth.isdigit()]
    lines = [("  transfer", ", ".join(transfers)), ("  bit depth", ", ".join(depths))]
    return [(name, text) for name, text in lines if text]


def _as_text(text: str) -> Text:
    return Text(printable(text))


def _describe_stage(stage: dict[str, Any]) -> str:
    return f"{stage['seconds']:.2f} s, {stage['share']:.0%} busy"


def _format_time(seconds: float) -> str:
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"
