"""What the commands share: types of options, ``--frames``, lines of progress, the line on stdout."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from saliency_engine.report.terminal import printable

_EVERY_SECONDS = 30.0

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)
SIZE = click.IntRange(min=1)
frames_option = click.option(
    "--frames",
    multiple=True,
    metavar="CLIPS|TABLE",
    help="Measure on these clips as well: a clip, a folder, a pattern, a list or a table. May be given again.",
)


def find_model(_context: click.Context, _parameter: click.Parameter, model: Path | None) -> Path | None:
    """The file, or where it is none, that of the built-in or installed model of this id."""
    from saliency_engine.models.entry import MODEL_FILE, asset
    from saliency_engine.models.registry import entries

    entry = None if model is None or model.exists() else entries()[0].get(str(model))
    if entry is None or entry.state == "not installed":
        return model
    return entry.folder / MODEL_FILE if entry.folder else Path(str(asset(f"{entry.id}.onnx")))


def print_output(manifest: Mapping[str, Any]) -> None:
    """The written model's line on stdout: its sha256 and its path, as ``sha256sum`` prints them."""
    line = f"{manifest['outputs']['onnx_sha256']}  {manifest['outputs']['onnx_path']}"
    click.echo(os.fsencode(line))  # as text, stdout may refuse a path that is not UTF-8


class Lines:
    """What a long command writes on stderr: a line at once, or now and then how far it is."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._started: dict[str, float] = {}

    def say(self, text: str) -> None:
        """Write a line."""
        click.echo(printable(text), err=True)

    def show_part(self, verb: str, done: int, total: int, things: str) -> None:
        """Say of one part of the work how far it is, and how long the rest of it takes, if it is time for that.

        A part begins with ``done`` 0, or when its ``verb`` is first given.
        """
        if not done or verb not in self._started:
            self._started[verb] = time.monotonic()
        elif self.is_time():
            left = (time.monotonic() - self._started[verb]) / done * (total - done)
            self.say(f"{verb}: {done} of {total} {things}, about {format_time(left)} left")

    def is_time(self) -> bool:
        """Whether the last line of progress was long enough ago."""
        if time.monotonic() - self._last < _EVERY_SECONDS:
            return False
        self._last = time.monotonic()
        return True


def format_time(seconds: float) -> str:
    """A length of time in words, rounded."""
    return f"{seconds / 60:.0f} min" if seconds >= 60 else f"{seconds:.0f} s"
