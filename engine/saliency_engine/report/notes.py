"""Warnings and notes about a run, on stderr."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable

from saliency_engine.config import OPTIONS, RunConfig
from saliency_engine.models.load import Model
from saliency_engine.options import flag_of
from saliency_engine.pipeline.counts import Counts
from saliency_engine.report.terminal import printable
from saliency_engine.samplings import sampling_of
from saliency_engine.table_job import TableJob


def warn_of(model: Model) -> None:
    """Warn on stderr of a model that nobody chose or verified, and of one with which no clip can be computed."""
    lines = []
    if model.by_default:
        lines.append(
            f"no model is given, so the built-in {model.model_id} runs. Another release may have another default: name "
            "the model that you mean with --model ID or --model-path FILE.onnx"
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
    if config.ema_alpha != OPTIONS["ema_alpha"].default and config.temporal_aggregator != "ema":
        lines.append(
            f"--ema-alpha {config.ema_alpha} changes no number with --temporal-aggregator "
            f"{config.temporal_aggregator}: only ema uses it"
        )
    given = [flag_of(name) for name in ("ffmpeg_bin", "ffprobe_bin") if getattr(config, name)]
    if given:
        are = "is" if len(given) == 1 else "are"
        lines.append(f"{' and '.join(given)} {are} not used: PyAV's own FFmpeg decodes the clips")
    _warn(lines)


def warn_of_no_rows(job: TableJob, rows: int) -> None:
    """Warn on stderr where the input of ``job`` has no ``rows``."""
    if not rows:
        name = "stdin" if job.input == "-" else " ".join(job.inputs)
        _warn([f"{name} has no rows, and so the output has none"])


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


def headline(text: str) -> None:
    """Print on stderr what the lines that follow are about."""
    print(f"\n{printable(text)}", file=sys.stderr)


def note(sentence: str) -> None:
    """Print a sentence about the run's clips on stderr."""
    print(printable(f"note: {sentence}"), file=sys.stderr)


def _warn(lines: Iterable[str]) -> None:
    for line in lines:
        print(printable(f"warning: {line}"), file=sys.stderr)
