"""Distils a student: frames, the teacher's maps of them, training, proof, and the model with its manifest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, ModelError
from saliency_engine.inference.session import open_session
from saliency_engine.models.entry import check_id
from saliency_engine.models.load import Model, load_model
from saliency_engine.numerics.normalize import normalize
from saliency_engine.storage.atomic import write_together
from saliency_engine.storage.overwrite import Files
from saliency_exporter import manifest
from saliency_exporter.distill.encoder_weights import PACKAGE, EncoderWeights, load_encoder_weights
from saliency_exporter.distill.judge import MOST_FRAMES, judge, time_models
from saliency_exporter.distill.network import MULTIPLE
from saliency_exporter.distill.onnx_file import OPSET, write_model
from saliency_exporter.distill.pictures import Corpus, Pictures, collect
from saliency_exporter.distill.sheet import draw_sheet
from saliency_exporter.distill.teacher import TaughtMaps
from saliency_exporter.distill.training import Lesson, Progress, Training
from saliency_exporter.graphs import MODEL_ID_KEY, compute_maps
from saliency_exporter.sample_frames import Frames

SCHEMA = "saliency-student-manifest-v1"


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
    seed: int = 0
    from_scratch: bool = False
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
    def sheet(self) -> Path:
        """The pictures of held-out frames."""
        return Path(f"{self.output}.sheet.png")


@dataclass(frozen=True)
class Watcher:
    """Whom the command tells how far it is."""

    say: Callable[[str], None]
    teach: Callable[[int, int], None]
    """How many of how many frames the teacher has seen."""
    learn: Callable[[Progress], None]


@dataclass(frozen=True)
class _Taught:
    """The corpus and the teacher's maps of it."""

    corpus: Corpus
    maps: NDArray[np.float16]
    map_of: NDArray[np.int64]

    def of(self, indices: list[int]) -> NDArray[np.float32]:
        return self.maps[self.map_of[indices]].astype(np.float32)


def distill(options: DistillOptions, watcher: Watcher) -> dict[str, Any]:
    """Make the student, prove it, and write it with its manifest and a sheet of pictures; returns the manifest.

    Raises ``ModelError`` when the teacher cannot be used or the student misses a gate, ``InputError``, ``ConfigError``
    and ``OutputError``; no model is left then, but the work that an interrupted command goes on from.
    """
    if (options.minutes is None) == (options.steps is None):
        raise ConfigError("how long to train: give either --minutes or --steps")
    model_id = check_id(options.model_id or options.output.stem)
    files = _list_files(options)
    encoder = None if options.from_scratch else load_encoder_weights()
    config = RunConfig(model_path=str(options.teacher), provider=options.provider, precision=options.precision)
    teacher = load_model(config)
    taught = _teach(options, teacher, config, files, watcher)
    training = _train(options, teacher, encoder, taught, watcher)
    content, parity = write_model(training.student, taught.corpus.size, _compose_metadata(model_id, teacher, encoder))
    figures, sheet = _judge(options, teacher, taught, content)
    document = {
        "schema": SCHEMA,
        "model_id": model_id,
        "teacher": {"path": str(options.teacher), "model_id": teacher.model_id, "sha256": teacher.sha256},
        "encoder": {"package": PACKAGE, "sha256": encoder.sha256} if encoder else None,
        "training": training.describe(),
        "export": {"opset": OPSET, "input_shape": [1, *taught.corpus.frames.shape[1:]]},
        "parity": asdict(parity),
        "held_out": figures,
        "gate": {"correlation": options.gate_r},
        "frames": [_describe_source(source) for source in taught.corpus.sources],
        "outputs": manifest.describe_output(options.output, content),
        "run_provenance": manifest.describe_run({"teacher": options.teacher}, options.output, content, asdict(options)),
    }
    path = manifest.default_path(options.output)
    write_together({options.output: content, path: manifest.serialize(document), options.sheet: sheet})
    return document


def _list_files(options: DistillOptions) -> Files:
    """The files of the command; raises ``ConfigError`` where one would be written over another."""
    files = Files()
    files.reads("--teacher", options.teacher)
    files.reads("--frames", *(path for path in options.frames if not Path(path).is_dir()))
    files.writes("--output", options.output, holds=".onnx")
    files.writes("--output", manifest.default_path(options.output), holds=".json")
    files.writes("--output", options.sheet, holds=".png")
    return files


def _teach(options: DistillOptions, teacher: Model, config: RunConfig, files: Files, watcher: Watcher) -> _Taught:
    """Read all frames, and let the teacher see those that it has not seen yet."""
    session = open_session(teacher, config)
    try:
        size = (session.height, session.width)
        if (session.map_height, session.map_width) != size or any(side % MULTIPLE for side in size):
            raise ModelError(
                f"{options.teacher} takes {size[1]}x{size[0]} and gives {session.map_width}x{session.map_height}: a "
                f"student needs a teacher whose maps have the frames' size, in multiples of {MULTIPLE} pixels"
            )
        folder = options.work_folder
        folder.mkdir(parents=True, exist_ok=True)
        corpus = collect(options.frames, size, folder / "frames.raw", files, options.seed)
        for reason in corpus.left_out:
            watcher.say(f"left out: {reason}")
        store = TaughtMaps(folder / f"maps-{teacher.sha256[:16]}-{session.provider}-{options.precision}.raw", *size)
        watcher.say(f"{teacher.model_id} teaches on {session.provider}: {len(corpus.frames)} frames")
        store.add(session, corpus.frames, watcher.teach)
        return _Taught(corpus, *store.of(corpus.frames))
    finally:
        session.close()


def _train(
    options: DistillOptions, teacher: Model, encoder: EncoderWeights | None, taught: _Taught, watcher: Watcher
) -> Training:
    """A student that has learned for as long as was asked for; what an earlier command has taught it included."""
    learned = taught.corpus.indices(held_out=False)
    lesson = Lesson(
        taught.corpus.frames,
        taught.maps,
        taught.map_of,
        np.array(learned),
        options.seed,
        options.minutes,
        options.steps,
    )
    what = [
        teacher.sha256,
        encoder.sha256 if encoder else "",
        options.seed,
        [str(source) for source in taught.corpus.sources],
    ]
    key = hashlib.sha256(orjson.dumps(what)).hexdigest()
    state = options.work_folder / "training.pt"
    training = Training(lesson, encoder.state if encoder else None)
    if state.exists() and not training.load(state, key):
        raise ConfigError(
            f"{state} is of a student of other frames, another teacher or another seed: remove it to begin anew, or "
            "give another --work"
        )
    if training.share > 0:
        watcher.say(f"going on at {training.share:.0%} of the training")
    training.run(lambda: training.save(state, key), watcher.learn)
    return training


def _judge(options: DistillOptions, teacher: Model, taught: _Taught, content: bytes) -> tuple[dict[str, Any], bytes]:
    """Figures and a sheet of held-out frames. Raises ``ModelError`` when the gate is missed."""
    corpus = taught.corpus
    held_out = corpus.indices(held_out=True)
    chosen = [held_out[at * len(held_out) // MOST_FRAMES] for at in range(MOST_FRAMES)]
    chosen = chosen if len(held_out) > MOST_FRAMES else held_out
    frames = to_model_input(corpus.frames[chosen])
    teacher_maps, student_maps = taught.of(chosen), compute_maps(content, frames)
    figures = judge(corpus, teacher_maps, student_maps, chosen)
    if not figures["correlation"] >= options.gate_r:
        raise ModelError(
            f"the student is refused: on {len(chosen)} frames that it has not seen its maps have a mean correlation of "
            f"{figures['correlation']:.3f} with the teacher's, and --gate-r demands {options.gate_r}; train longer "
            "(the same command with more --minutes goes on), or give it more frames"
        )
    figures |= time_models(teacher.data, content, frames[:1])
    return figures, draw_sheet(corpus.frames[chosen], teacher_maps, student_maps)


def to_model_input(pictures: Pictures) -> Frames:
    """R'G'B' of 8 bits as models take it: float32, ImageNet-normalised."""
    frames = np.empty(pictures.shape, np.float32)
    normalize(pictures.astype(np.uint16) * 257, frames)
    return frames


def _compose_metadata(model_id: str, teacher: Model, encoder: EncoderWeights | None) -> dict[str, str]:
    begun = f"; its encoder began with the weights of {PACKAGE} ({encoder.sha256})" if encoder else ""
    return {
        MODEL_ID_KEY: model_id,
        "lusoris.teacher_model_id": teacher.model_id,
        "lusoris.teacher_sha256": teacher.sha256,
        "lusoris.conversion": f"saliency-export distill: a network of its own that learned the teacher's maps{begun}",
    }


def _describe_source(source: Any) -> dict[str, Any]:
    return {
        "path": source.path,
        "sha256": source.sha256,
        "frames": len(source.frames),
        "group": source.group,
        "held_out": source.is_held_out,
    }
