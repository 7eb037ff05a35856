"""Distils a student: frames, the teacher's maps of them, training, proof, and the model with its manifest."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, ModelError
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.entry import check_id
from saliency_engine.models.load import Model, load_model
from saliency_engine.numerics.fidelity import FLAT, correlate_maps
from saliency_engine.numerics.normalize import normalize
from saliency_engine.storage.atomic import check_output, write_together
from saliency_engine.storage.overwrite import Files
from saliency_exporter import manifest
from saliency_exporter.distill.beginning import Beginning, read_beginning
from saliency_exporter.distill.judge import MOST_FRAMES, judge, time_models
from saliency_exporter.distill.network import MULTIPLE
from saliency_exporter.distill.onnx_file import write_model
from saliency_exporter.distill.options import DistillOptions, Watcher
from saliency_exporter.distill.pictures import Corpus, collect
from saliency_exporter.distill.reading import Pictures
from saliency_exporter.distill.sheet import draw_sheet
from saliency_exporter.distill.statement import compose_metadata, describe
from saliency_exporter.distill.teacher import Maps, TaughtMaps, ask
from saliency_exporter.distill.training import Lesson, Training
from saliency_exporter.distill.work_folder import WorkFolder, key_of, open_work_folder
from saliency_exporter.graphs import compute_maps, load_graph
from saliency_exporter.half_precision import halve
from saliency_exporter.sample_frames import Frames

_CHECKED_FRAMES = 32
"""Held-out frames on which progress is measured."""
_FRAMES_AT_A_TIME = 32
_NAMED_REASONS = 10


@dataclass(frozen=True)
class _Job:
    """What a command works with."""

    options: DistillOptions
    watcher: Watcher
    files: Files
    beginning: Beginning
    teacher: Model
    """As its file is, in float32."""
    session: Session
    """The teacher's, of the precision that was asked for."""


@dataclass(frozen=True)
class _Taught:
    """The corpus and the teacher's maps of it."""

    corpus: Corpus
    maps: Maps
    map_of: NDArray[np.int64]

    def of(self, indices: list[int]) -> NDArray[np.float32]:
        """The teacher's maps of these frames, ``[n, H, W]``."""
        return self.maps[self.map_of[indices]].astype(np.float32)


def distill(options: DistillOptions, watcher: Watcher) -> dict[str, Any]:
    """Make the student, prove it, and write it with its manifest and a sheet of pictures; returns the manifest.

    Raises ``ModelError`` when the teacher cannot be used or the student misses a gate, ``InputError``, ``ConfigError``
    and ``OutputError``; no model is left then, but the work that an interrupted command goes on from.
    """
    _check_length(options)
    model_id = check_id(options.model_id or options.output.stem)
    files = options.list_files()
    for path in options.results:
        check_output(str(path))  # now, and not after hours
    beginning = read_beginning(options)
    in_half = options.precision == "float16"
    precision = "float32" if in_half else options.precision
    config = RunConfig(model_path=str(options.teacher), provider=options.provider, precision=precision)
    teacher = load_model(config)
    if in_half:
        teacher = replace(teacher, model_id=f"{teacher.model_id}_fp16")  # as its variant would be called
    session = _open_teacher(_halve(teacher) if in_half else teacher, config)
    job = _Job(options, watcher, files, beginning, teacher, session)
    try:
        with open_work_folder(options.work_folder) as folder:
            corpus = _collect(job, folder)
            taught, training = _learn(job, corpus, folder)
            return _finish(job, model_id, taught, training)
    finally:
        session.close()


def _check_length(options: DistillOptions) -> None:
    """Raise ``ConfigError`` where the options do not say how long to train."""
    if (options.minutes is None) == (options.steps is None):
        raise ConfigError("how long to train: give either --minutes or --steps")
    if options.minutes is not None and not math.isfinite(options.minutes):
        raise ConfigError(f"--minutes {options.minutes} is no length of time: give a number of minutes")


def _finish(job: _Job, model_id: str, taught: _Taught, training: Training) -> dict[str, Any]:
    """Prove the student, and write it; returns the manifest."""
    corpus, results = taught.corpus, job.options.results
    metadata = compose_metadata(model_id, job.teacher, job.beginning)
    content, parity = write_model(training.finish(job.options.keep), corpus.size, metadata)
    figures, sheet = _judge(job, taught, content)
    measured = {"training": training.describe(), "parity": asdict(parity), "held_out": figures}
    document = describe(job.options, metadata, corpus, content, {**job.beginning.describe(), **measured})
    write_together(dict(zip(results, (content, manifest.serialize(document), sheet), strict=True)))
    return document


def _halve(teacher: Model) -> Model:
    """The model in half precision."""
    return replace(teacher, data=halve(load_graph(teacher.data), teacher.source))


def _open_teacher(teacher: Model, config: RunConfig) -> Session:
    """Raises ``ModelError`` where the teacher's maps are of no use."""
    session = open_session(teacher, config)
    size = session.height, session.width
    fault = session.fault
    if (session.map_height, session.map_width) != size or any(side % MULTIPLE for side in size):
        fault = (
            f"it takes {size[1]}x{size[0]} and gives {session.map_width}x{session.map_height}, and a student needs "
            f"maps that have the frames' size, in multiples of {MULTIPLE} pixels"
        )
    if fault:
        session.close()
        raise ModelError(f"{teacher.source} cannot teach: {fault}")
    return session


def _collect(job: _Job, folder: WorkFolder) -> Corpus:
    options, size = job.options, (job.session.height, job.session.width)
    corpus = collect(
        options.frames,
        size,
        folder.frames,
        files=job.files,
        seed=options.seed,
        show=job.watcher.read,
        results=options.results,
    )
    for reason in corpus.left_out[:_NAMED_REASONS]:
        job.watcher.say(f"left out: {reason}")
    if (more := len(corpus.left_out) - _NAMED_REASONS) > 0:
        job.watcher.say(f"left out: {more} more, which the manifest will name")
    return corpus


def _learn(job: _Job, corpus: Corpus, folder: WorkFolder) -> tuple[_Taught, Training]:
    """The teacher's maps, and a student that has learned for as long as was asked for, in earlier commands, too."""
    options, teacher = job.options, job.teacher
    key = key_of(corpus, teacher.sha256, job.beginning.key, options.seed, options.reteach)
    state = folder.read_training(key)  # before the teacher takes its hours
    taught = _teach(job, corpus, folder)
    learned = np.array(corpus.indices(held_out=False))
    teach = partial(ask, job.session, source=teacher.source) if options.reteach else None
    lesson = Lesson(
        corpus.frames, taught.maps, taught.map_of, teach, learned, options.seed, options.minutes, options.steps
    )
    training = Training(lesson, job.beginning)
    if state is not None:
        try:
            training.take_up(state)
        except (LookupError, RuntimeError, ValueError, TypeError) as error:
            raise ConfigError(f"{folder.training} is of another version of the student: {folder.begin_anew}") from error
    if training.share > 0:
        job.watcher.say(f"going on at {training.share:.0%} of the training")
    chosen = corpus.spread(_CHECKED_FRAMES)
    pictures, maps = corpus.frames[chosen], taught.of(chosen)
    training.run(
        lambda state: folder.save_training(key, state),
        lambda: float(correlate_maps(maps, training.predict(pictures)).mean()),
        job.watcher.learn,
    )
    return taught, training


def _teach(job: _Job, corpus: Corpus, folder: WorkFolder) -> _Taught:
    """Let the teacher see those frames that it has not seen yet: all, or those by which the student is judged."""
    teacher, session = job.teacher, job.session
    wanted = corpus.indices(held_out=True) if job.options.reteach else range(len(corpus.frames))
    job.watcher.say(f"{teacher.model_id} teaches on {session.provider}: {len(wanted)} frames")
    store = TaughtMaps(folder.maps(teacher.sha256, session.provider, job.options.precision), *corpus.size)
    taught = _Taught(corpus, *store.look_up(session, corpus.frames, wanted, teacher.source, job.watcher.teach))
    shown = taught.of(corpus.spread(_CHECKED_FRAMES))
    if (shown.std(axis=(1, 2)) < FLAT).all():
        raise ModelError(
            f"{teacher.source} cannot teach: its maps of {len(shown)} frames are all flat. Does it take its pictures "
            "in another range or order of channels? See saliency-export rewrap --help"
        )
    return taught


def _judge(job: _Job, taught: _Taught, content: bytes) -> tuple[dict[str, Any], bytes]:
    """Figures and a sheet of held-out frames. Raises ``ModelError`` when the gate is missed."""
    corpus, gate = taught.corpus, job.options.gate_r
    chosen = corpus.spread(MOST_FRAMES)
    parts = [chosen[at : at + _FRAMES_AT_A_TIME] for at in range(0, len(chosen), _FRAMES_AT_A_TIME)]
    student_maps = np.concatenate([compute_maps(content, to_model_input(corpus.frames[part])) for part in parts])
    teacher_maps = taught.of(chosen)
    figures = judge(corpus, teacher_maps, student_maps, chosen)
    if not figures["correlation"] >= gate:
        raise ModelError(
            f"the student is refused: on {len(chosen)} frames that it has not seen its maps have a mean correlation of "
            f"{figures['correlation']:.3f} with the teacher's, and --gate-r demands {gate:g}. Train longer (the same "
            "command with more --minutes or --steps goes on), or give it more frames"
        )
    figures |= time_models(job.teacher.data, content, to_model_input(corpus.frames[chosen[:1]])[0])
    return figures, draw_sheet(corpus.frames[chosen], teacher_maps, student_maps)


def to_model_input(pictures: Pictures) -> Frames:
    """R'G'B' of 8 bits as models take it: float32, ImageNet-normalised."""
    frames = np.empty(pictures.shape, np.float32)
    normalize(pictures.astype(np.uint16) * 257, frames)
    return frames
