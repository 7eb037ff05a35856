"""Contenders, each in a process of its own, and rounds in which they take turns.

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

DISTURBED = 0.1  # cores; kernel threads take a hundredth
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Contender:
    """``make(**arguments)`` gives the way to be measured; it is called in the contender's process."""

    name: str
    make: Callable[..., Any]
    arguments: dict[str, Any]


class Turn(NamedTuple):
    """One turn: number of clips, wall seconds, each clip's numbers, busy seconds by stage, CPU seconds by place.

    ``cpu``: ``workers`` (child processes: the engine's decoding), ``loop`` (the main thread), ``threads`` (the others
    of its process: the model), ``elsewhere`` (other programs: a turn they took part in is worth less).
    """

    clips: int
    seconds: float
    results: list[Result]
    stages: dict[str, float]
    cpu: dict[str, float]

    @property
    def disturbed(self) -> float:
        """How many cores other programs kept busy meanwhile."""
        return self.cpu["elsewhere"] / self.seconds


class Process:
    """A contender's process; ``turn`` has it work while the caller waits."""

    def __init__(self, contender: Contender) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(contender, theirs))
        self._process.start()
        theirs.close()
        self._receive()

    def turn(self, clips: Sequence[Path]) -> Turn:
        """Raises ``RuntimeError`` with the process's traceback."""
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
            told = (seconds, results, _since(stages, work.clock.seconds), _since(cpu, _cpu_seconds()))
            connection.send(told)
    except Exception:  # noqa: BLE001  told to the parent, whatever it is
        connection.send(f"{contender.name}: {traceback.format_exc()}")


def _since(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {name: value - before.get(name, 0.0) for name, value in now.items()}


def _cpu_seconds() -> dict[str, float]:
    """CPU seconds so far, of this process and of descendants that are alive."""
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
    # user, nice, system, irq, softirq of the whole machine
    spent["elsewhere"] = sum(int(Path("/proc/stat").read_text().split()[field]) for field in (1, 2, 3, 6, 7)) / _TICKS
    main = Path(f"/proc/self/task/{threading.main_thread().native_id}/stat")
    spent["loop"] = _seconds(main.read_text().rpartition(")")[2].split())
    spent["threads"] = time.process_time() - spent["loop"]  # those that have ended, as a closed session's, among them
    spent["elsewhere"] -= sum(seconds for where, seconds in spent.items() if where != "elsewhere")
    return spent


def _seconds(fields: list[str]) -> float:
    return (int(fields[11]) + int(fields[12])) / _TICKS


def race(
    contenders: Sequence[Contender], rounds: int, clips: Sequence[Path], spare: Path, few: Collection[str] = ()
) -> dict[str, list[Turn]]:
    """``rounds`` turns of every contender over ``clips``, by name; before them one over ``spare`` that does not count.

    Those named in ``few`` are slow and see every eighth clip, at least two.
    """
    shorter = clips[: max(2, len(clips) // 8)]
    turns: dict[str, list[Turn]] = {contender.name: [] for contender in contenders}
    with ExitStack() as stack:
        processes = {contender.name: stack.enter_context(Process(contender)) for contender in contenders}
        for process in processes.values():
            process.turn([spare])
        for index in range(rounds):
            # Each round begins with another one: whoever comes after a quiet moment, or a hot one, is no better off.
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
