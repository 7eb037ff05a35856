"""What ``saliency-export distill`` is asked for, and whom it tells how far it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from saliency_engine.storage.overwrite import Files
from saliency_exporter import manifest


@dataclass(frozen=True)
class DistillOptions:
    """The options of ``saliency-export distill``."""

    teacher: Path
    frames: tuple[str, ...]
    output: Path
    minutes: float | None = None
    steps: int | None = None
    gate_r: float = 0.9
    """The least mean correlation with the teacher's maps of held-out frames."""
    reteach: bool = False
    """The teacher sees every changed frame, in place of its map being changed with it."""
    seed: int = 0
    from_scratch: bool = False
    fine_tune: Path | None = None
    """A student that is trained further, in place of one that begins with ImageNet weights."""
    keep: float = 0.0
    """The share of that student's weights in the mean of both that is written, 0 to 1."""
    model_id: str | None = None
    """``None``: the stem of ``output``."""
    work: Path | None = None
    """Where frames, the teacher's maps and the state of training are kept; ``None``: the output with ``.work``."""
    provider: str = "auto"
    precision: str = "float32"

    @property
    def work_folder(self) -> Path:
        """Where everything is kept that an interrupted command goes on from."""
        return self.work or Path(f"{self.output}.work")

    @property
    def results(self) -> tuple[Path, Path, Path]:
        """The files that are written together: the model, its manifest, and the pictures of held-out frames."""
        return self.output, manifest.default_path(self.output), Path(f"{self.output}.sheet.png")

    def list_files(self) -> Files:
        """The files of the command; raises ``ConfigError`` where one would be written over another."""
        files = Files()
        files.reads("--teacher", self.teacher)
        if self.fine_tune:
            files.reads("--fine-tune", self.fine_tune)
        files.reads("--frames", *(path for path in self.frames if not Path(path).is_dir()))
        for path, suffix in zip(self.results, (".onnx", ".json", ".png"), strict=True):
            files.writes("--output", path, holds=suffix)
        return files


@dataclass(frozen=True)
class Progress:
    """How far the training is."""

    step: int
    share: float
    """Of the whole, 0 to 1."""
    seconds: float
    """Of training, that of earlier runs included."""
    loss: float
    """Mean over the last 50 steps."""
    agreement: float
    """Mean correlation with the teacher's maps of held-out frames, when it was last measured; NaN before."""


@dataclass(frozen=True)
class Watcher:
    """Whom the command tells how far it is."""

    say: Callable[[str], None]
    read: Callable[[int, int], None]
    """How many of how many clips and pictures have been read."""
    teach: Callable[[int, int], None]
    """How many of how many frames the teacher has seen."""
    learn: Callable[[Progress], None]
