"""The tags of a row: what made its numbers, so that numbers made otherwise are never taken for the same."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from saliency_engine.config import OPTIONS, RunConfig
from saliency_engine.errors import ConfigError, InputError
from saliency_engine.samplings import Head, sampling_of
from saliency_engine.tags import Tags, sampling_of_clip

_SETTINGS = ("color", "hdr", "precision", "reuse")
"""Options that move numbers and stand in a sampling tag where they are not the default, in this order."""
_TAG = re.compile(
    r"(head|uniform|keyframes):([1-9]\d{0,9})(?:/(\d{1,10}))?@(\d{1,5}x\d{1,5})((?:;\w+=[\w.-]+)*)", re.ASCII
)


def tags_of(config: RunConfig, model_id: str, width: int, height: int) -> Tags:
    """The tags of a run with a model whose input is ``width`` × ``height`` pixels."""
    return Tags(
        model_id=model_id,
        aggregator=config.temporal_aggregator,
        ema_alpha=config.ema_alpha,
        sampling=describe_sampling(config, width, height),
    )


def describe_sampling(config: RunConfig, width: int, height: int) -> str:
    """The value of the rows' sampling column, such as ``uniform:8@320x320``; its grammar is in docs/tables.md.

    ``width`` and ``height`` are the model's input size in pixels. Configurations that give the same frames have the
    same tag. Options that only let clips fail, such as ``accept_short``, are not in it.
    """
    sampling = sampling_of(config)
    frames = str(sampling.frames_per_clip)
    if isinstance(sampling, Head) and sampling.max_frames != sampling.frames_per_clip:
        frames += f"/{sampling.max_frames}"
    values = {name: getattr(config, name) for name in _SETTINGS}
    settings = [f";{name}={value}" for name, value in values.items() if value != OPTIONS[name].default]
    return f"{config.sampling}:{frames}@{width}x{height}{''.join(settings)}"


def parse_sampling(tag: str) -> dict[str, Any]:
    """The options of ``RunConfig`` that give rows with the sampling tag ``tag``; the others do not matter to it.

    Raises ``InputError`` for a text that no run writes.
    """
    if match := _TAG.fullmatch(tag):
        kind, frames, most, size, rest = match.groups()
        options: dict[str, Any] = {"sampling": kind, "frame_samples": int(frames), "model_size": size}
        if kind == "keyframes":
            options["frame_samples"] = int(most or frames)
        if kind == "head":
            options["max_frames"] = int(most or frames)
        options |= dict(setting.split("=") for setting in rest.split(";")[1:])
        with suppress(ConfigError, TypeError, ValueError):  # a number or value out of range; no such option; no number
            if "reuse" in options:
                options["reuse"] = float(options["reuse"])
            config = RunConfig(**options)
            if sampling_of_clip(describe_sampling(config, *config.model_width_height), int(frames)) == tag:
                return options
    raise InputError(
        f"{tag!r} is not a sampling tag: those of this program are like head:8@320x320 or uniform:8@320x320"
    )
