"""Trains a student towards the teacher's maps; what it has learned is saved now and then, and taken up again."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from saliency_engine.machine import cores
from saliency_exporter.distill.augment import LEAST_SHARE, LEAST_SHARE_TAUGHT, augment, normalize
from saliency_exporter.distill.beginning import Beginning
from saliency_exporter.distill.loss import measure_loss
from saliency_exporter.distill.network import MULTIPLE, Student
from saliency_exporter.distill.options import Progress
from saliency_exporter.distill.reading import Pictures
from saliency_exporter.distill.teacher import Maps

BATCH = 8
CARD_BATCH = 32
"""On a card, which would wait for its next orders most of the time with fewer."""
_WARM_UP = 50
"""Steps over which the rate rises from nothing: the decoder's first gradients would spoil the encoder."""
_WEIGHT_DECAY = 1e-4
_CROP = 0.8
"""Of the frame's side, that it is trained at: two thirds of the work."""
_SAVE_SECONDS = 60.0
_CHECK_SECONDS = 300.0
_REPORTED_STEPS = 50
_SETTLING_FRAMES = 1200


@dataclass(frozen=True)
class Lesson:
    """What is learned from, and for how long."""

    frames: Pictures
    """``[n, 3, H, W]``."""
    maps: Maps
    """The teacher's, ``[m, H, W]``."""
    map_of: NDArray[np.int64]
    """``[n]``: which map is each frame's."""
    teach: Callable[[NDArray[np.uint16]], Maps] | None
    """The teacher's maps ``[b, H, W]`` of changed frames, R'G'B' of 16 bits ``[b, 3, H, W]``.

    ``None``: a map is changed as its frame is.
    """
    indices: NDArray[np.int64]
    """The frames to learn from."""
    seed: int
    minutes: float | None
    """How long; ``None``: ``steps``."""
    steps: int | None


class Training:
    """A student, its optimizer and how far they are. ``beginning``: the weights that it begins with."""

    def __init__(self, lesson: Lesson, beginning: Beginning) -> None:
        torch.manual_seed(lesson.seed)
        torch.set_flush_denormal(True)  # else steps take up to ten times as long as weights fade
        self._lesson = lesson
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._batch, self._drawers = BATCH, 1
        if self._device.type == "cuda":  # the processor has nothing to do but to draw
            self._batch, self._drawers = CARD_BATCH, cores()
            torch.set_num_threads(1)
        self.student = Student()
        self._rate, self._whole_from = beginning.rate, beginning.whole_from
        self._frozen = beginning.give(self.student)
        self._first = copy.deepcopy(self.student)
        self.student.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._optimizer = self._make_optimizer(beginning.encoder_share)
        self._step, self._seconds = 0, 0.0

    def _make_optimizer(self, share: float) -> torch.optim.Optimizer:
        """AdamW, which trains the encoder at this ``share`` of the rate."""
        weights: dict[bool, list[nn.Parameter]] = {True: [], False: []}
        for name, weight in self.student.named_parameters():
            if weight.requires_grad:
                weights[name.startswith("encoder.")].append(weight)
        groups: list[dict[str, Any]] = [
            {"params": weights[True], "share": share},
            {"params": weights[False], "share": 1.0},
        ]
        return torch.optim.AdamW(groups, weight_decay=_WEIGHT_DECAY)

    @property
    def share(self) -> float:
        """How much of the training is done, 0 to 1."""
        return self._share_at(self._step)

    def _share_at(self, step: int) -> float:
        """The share when ``step`` is about to be taken; by the clock, the present one."""
        lesson = self._lesson
        if lesson.steps is not None:
            return min(step / lesson.steps, 1.0)
        return min(self._seconds / (60 * (lesson.minutes or 1)), 1.0)

    def run(
        self,
        save: Callable[[dict[str, Any]], None],
        check: Callable[[], float],
        report: Callable[[Progress], None],
    ) -> None:
        """Train to the end. ``save`` is given the state every minute and at the end, ``report`` how far each step got.

        ``check`` measures the agreement with the teacher, after the first minute and then every five.
        """
        saved, checked, agreement = time.monotonic(), -math.inf, math.nan
        losses: deque[float] = deque(maxlen=_REPORTED_STEPS)
        # The next batch is drawn meanwhile: on two cores 1.9 steps a second in place of 1.35.
        with ThreadPoolExecutor(self._drawers, thread_name_prefix="draw") as pool:
            ahead = range(self._drawers if self.share < 1 else 0)
            batches = deque(pool.submit(self._draw, self._step + at) for at in ahead)
            while self.share < 1:
                started = time.monotonic()
                drawn = batches.popleft().result()
                batches.append(pool.submit(self._draw, self._step + self._drawers))
                losses.append(self._learn(*drawn))
                self._step += 1
                self._seconds += time.monotonic() - started
                if time.monotonic() - saved > _SAVE_SECONDS:
                    save(self.state())
                    if time.monotonic() - checked > _CHECK_SECONDS:
                        agreement, checked = check(), time.monotonic()
                    saved = time.monotonic()
                report(Progress(self._step, self.share, self._seconds, statistics.fmean(losses), agreement))
        self._settle()
        save(self.state())

    def predict(self, frames: Pictures) -> NDArray[np.float32]:
        """The student's maps ``[n, H, W]`` of ``frames`` ``[n, 3, H, W]``, as it is now."""
        self.student.eval()
        maps = []
        with torch.inference_mode():
            for at in range(0, len(frames), BATCH):
                part = normalize(torch.from_numpy(frames[at : at + BATCH] / np.float32(255)).to(self._device))
                maps.append(self.student(part)[0].sigmoid()[:, 0].cpu().numpy())
        return np.concatenate(maps)

    def finish(self, keep: float) -> Student:
        """A student whose weights are the mean of those that it began with, by the share ``keep``, and of the present.

        Source: M. Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022.
        """
        finished, first = copy.deepcopy(self.student).cpu(), self._first.state_dict()
        for name, weight in finished.named_parameters():
            weight.data.lerp_(first[name], keep)
        return finished

    def describe(self) -> dict[str, Any]:
        """How long it has learned, for a manifest."""
        return {
            "steps": self._step,
            "seconds": round(self._seconds),
            "frames": len(self._lesson.indices),
            "batch": self._batch,
            "reteach": self._lesson.teach is not None,
        }

    def _learn(self, frames: Tensor, maps: Tensor) -> float:
        """One step with the batch that ``_draw`` gave for it; returns its loss."""
        self._set_learning()
        rate = self._rate * (1 + math.cos(math.pi * self.share)) / 2 * min((self._step + 1) / _WARM_UP, 1)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["share"]
        # On a processor with AMX a step takes 0.7 s of its time in float32, and 1.1 s in bfloat16.
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            logits = self.student(frames)
        loss = measure_loss([value.float() for value in logits], maps)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self._optimizer.step()
        return float(loss.detach())

    def _set_learning(self) -> None:
        self.student.train()
        for part in self._frozen:
            part.eval()

    def _settle(self) -> None:
        """Measure the batch normalisations' statistics anew, on frames as they will come: whole and undisturbed.

        Those that were kept while it learned are of disturbed crops. On 102 photographs that ``saliency_open_v1`` had
        not seen, the mean correlation of what the teacher finds rose from 0.818 to 0.822, that of clip means from 0.856
        to 0.860.
        """
        lesson = self._lesson
        frozen = {module for part in self._frozen for module in part.modules()}
        norms = [each for each in self.student.modules() if isinstance(each, nn.BatchNorm2d) and each not in frozen]
        if not norms:
            return
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
        self._set_learning()
        chosen = np.random.default_rng(lesson.seed).permutation(lesson.indices)[:_SETTLING_FRAMES]
        if len(chosen) % BATCH == 1:
            chosen = chosen[:-1]  # one frame of 32×32 has one value where it is smallest, which has no variance
        with torch.no_grad():
            for at in range(0, len(chosen), BATCH):
                part = torch.from_numpy(lesson.frames[chosen[at : at + BATCH]] / np.float32(255))
                self.student(normalize(part.to(self._device)).contiguous(memory_format=torch.channels_last))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

    def _draw(self, step: int) -> tuple[Tensor, Tensor]:
        """The batch of ``step``: frames, float32 ``[n, 3, h, w]``, and their maps, ``[n, 1, h, w]``."""
        lesson, rng = self._lesson, np.random.default_rng((self._lesson.seed, step))
        chosen = rng.choice(lesson.indices, min(self._batch, len(lesson.indices)), replace=False)
        if lesson.teach is None:
            scale = 1.0 if self._share_at(step) >= self._whole_from else _CROP
            size = tuple(round(side * scale / MULTIPLE) * MULTIPLE for side in lesson.frames.shape[2:])
            pairs = [
                augment(lesson.frames[at], lesson.maps[lesson.map_of[at]], (size[0], size[1]), LEAST_SHARE, rng)
                for at in chosen
            ]
        else:
            size = lesson.frames.shape[2:]
            pairs = [augment(lesson.frames[at], None, (size[0], size[1]), LEAST_SHARE_TAUGHT, rng) for at in chosen]
        pictures, maps = (torch.stack(list(part)) for part in zip(*pairs, strict=True))
        if lesson.teach is not None:
            taught = lesson.teach((pictures * 65535).round().numpy().astype(np.uint16))
            maps = torch.from_numpy(taught.astype(np.float32))[:, None]
        frames = normalize(pictures.to(self._device)).contiguous(memory_format=torch.channels_last)
        return frames, maps.to(self._device)

    def state(self) -> dict[str, Any]:
        """All that ``take_up`` needs to go on from here."""
        networks = {"student": self.student.state_dict(), "optimizer": self._optimizer.state_dict()}
        return {"step": self._step, "seconds": self._seconds, **networks}

    def take_up(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``; ``LookupError``, ``RuntimeError`` or ``ValueError`` where it is another network's."""
        self._step, self._seconds = state["step"], state["seconds"]
        self.student.load_state_dict(state["student"])
        self._optimizer.load_state_dict(state["optimizer"])
