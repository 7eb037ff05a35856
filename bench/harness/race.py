"""A race: contenders, each in a process of its own, and rounds in which they take turns.

Libraries in one process disturb each other (their threads spin beside the others' work), so each contender is made in
its own process and sleeps there while the others have their turn. A round gives every contender one turn over the same
clips; figures are medians over the rounds and ratios medians of the round-by-round ratios, so that a drifting machine
does not decide.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
import traceback
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from harness.peers import Result

DISTURBED = 0.1  # cores kept busy by other programs; kernel threads alone take 0.01
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Contender:
    """One way to be measured, and the name it has in tables."""

    name: str
    make: Callable[..., Any]
    """Called with ``arguments`` in the contender's process: one of the classes of ``peers``."""
    arguments: dict[str, Any]


class Turn(NamedTuple):
    """What one turn gave and took."""

    clips: int
    """How many there were."""
    seconds: float
    """Of the clock on the wall."""
    results: list[Result]
    """Mean and variance of each clip."""
    stages: dict[str, float]
    """Busy seconds of each stage."""
    cpu: dict[str, float]
    """CPU seconds: ``workers`` (child processes, the engine's decoding), ``loop`` (the main thread), ``threads`` (the
    other threads of its process, the model), ``elsewhere`` (other programs, which make a turn worth less)."""

    @property
    def disturbed(self) -> float:
        """How many cores other programs kept busy during the turn."""
        return self.cpu["elsewhere"] / self.seconds


class Process:
    """A contender's process: ``turn`` lets it work and waits for it."""

    def __init__(self, contender: Contender) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(contender, theirs))
        self._process.start()
        theirs.close()
        self._receive()

    def turn(self, clips: Sequence[Path]) -> Turn:
        """One turn over ``clips``; raises ``RuntimeError`` with the process's traceback when the contender fails."""
        self._ours.send(list(clips))
        return Turn(len(clips), *self._receive())

    def _receive(self) -> Any:
        answer = self._ours.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ours.close()
        self._process.join(10)
        self._process.kill()


def _serve(contender: Contender, connection: Any) -> None:
    try:
        work = contender.make(**contender.arguments)
        connection.send(())
        while True:
            try:
                clips = connection.recv()
            except EOFError:
                os._exit(0)  # its threads and workers need no ceremony
            stages, cpu, started = dict(work.clock.seconds), _cpu_seconds(), time.perf_counter()
            results = work(clips)
            seconds = time.perf_counter() - started
            cpu, stages = _since(cpu, _cpu_seconds()), _since(stages, work.clock.seconds)
            connection.send((seconds, results, stages, cpu))
    except Exception:  # noqa: BLE001  the parent raises it, whatever it is
        connection.send(f"{contender.name}: {traceback.format_exc()}")


def _since(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in now.items()}


def _cpu_seconds() -> dict[str, float]:
    """CPU seconds so far, of this process, of its living descendants and of all other programs; see ``Turn.cpu``."""
    spent = {"workers": 0.0, "loop": 0.0, "threads": 0.0}
    children: dict[int, list[tuple[int, float]]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append((int(entry.parent.name), _seconds(fields)))
    pending = [os.getpid()]
    while pending:
        for pid, seconds in children.get(pending.pop(), []):
            spent["workers"] += seconds
            pending.append(pid)
    # The user, nice, system, irq and softirq times of the whole machine.
    spent["elsewhere"] = sum(int(Path("/proc/stat").read_text().split()[field]) for field in (1, 2, 3, 6, 7)) / _TICKS
    main = Path(f"/proc/self/task/{threading.main_thread().native_id}/stat")
    spent["loop"] = _seconds(main.read_text().rpartition(")")[2].split())
    spent["threads"] = time.process_time() - spent["loop"]  # with threads that have ended, as those of a closed session
    spent["elsewhere"] -= sum(seconds for where, seconds in spent.items() if where != "elsewhere")
    return spent


def _seconds(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / _TICKS


def race(
    contenders: Sequence[Contender], rounds: int, clips: Sequence[Path], spare: Path, few: Collection[str] = ()
) -> dict[str, list[Turn]]:
    """``rounds`` turns of every contender over ``clips``, by the contender's name.

    Before them each has one turn over ``spare``, which does not count. The contenders named in ``few`` are slow: they
    get an eighth of the clips, at least two.
    """
    shorter = clips[: max(2, len(clips) // 8)]
    turns: dict[str, list[Turn]] = {contender.name: [] for contender in contenders}
    with ExitStack() as stack:
        processes = {contender.name: stack.enter_context(Process(contender)) for contender in contenders}
        for process in processes.values():
            process.turn([spare])
        for index in range(rounds):
            # Each round begins with another contender, so that none always comes after a quiet moment or a hot one.
            names = [*processes][index % len(processes) :] + [*processes][: index % len(processes)]
            for name in names:
                turns[name].append(_quiet_turn(processes[name], shorter if name in few else clips))
    return turns


def _quiet_turn(process: Process, clips: Sequence[Path]) -> Turn:
    """A turn that other programs did not disturb, or the least disturbed of three."""
    tries: list[Turn] = []
    while len(tries) < 3:
        tries.append(process.turn(clips))
        if tries[-1].disturbed < DISTURBED:
            break
    return min(tries, key=lambda turn: turn.disturbed)
