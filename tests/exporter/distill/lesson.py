"""A whole ``saliency-export distill``: a small teacher, small pictures, few steps."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from click.testing import Result
from tests.exporter.upstream import saliency_export

STEPS = 12


@dataclass(frozen=True)
class Lesson:
    """A teacher, its pictures and what a command made of them."""

    teacher: Path
    frames: Path
    output: Path
    result: Result
    seen: set[str]
    """The sha256 of each frame that the student has learned from."""

    def again(self, output: Path, *options: object) -> Result:
        """The same command with another output, and with further options."""
        return run_distill(self.teacher, self.frames, output, *options)

    def begin(self, output: Path, *options: object) -> Result:
        """The same, but that it does not begin with nothing."""
        return run_distill(self.teacher, self.frames, output, *options, from_scratch=False)


def run_distill(teacher: Path, frames: Path, output: Path, *options: object, from_scratch: bool = True) -> Result:
    command = ["distill", "--teacher", teacher, "--frames", frames, "--output", output, "--model-id", "pupil"]
    settings = ["--from-scratch"] * from_scratch + ["--provider", "cpu", "--gate-r", 0]
    length = () if {"--steps", "--minutes"} & {*map(str, options)} else ("--steps", STEPS)
    return saliency_export(*command, *settings, *length, *options)
