"""Damaged data given to a target in a process of its own, which a crash of Arrow's code would take along.

    python -m tests.torture.trial MODULE TARGET FIRST_SEED COUNT

tries the target of a module's ``TARGETS``, telling each seed before it is tried and each failure after it, a line each.
"""

from __future__ import annotations

import importlib
import json
import resource
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.conftest import PROJECT

from saliency_engine.errors import SaliencyError

SECONDS = 20  # for one mutant, which takes milliseconds
MEMORY = 8 << 30
Try = Callable[[bytes], str]
"""Takes damaged data; says what it was taken for, or raises: an error of ours is ``refused``, any other is wrong."""


@dataclass(frozen=True)
class Target:
    """``prepare`` gives what makes the data of a seed, and what tries it."""

    prepare: Callable[[], tuple[Callable[[int], bytes], Try]]


@dataclass(frozen=True)
class Trial:
    """What became of ``count`` seeds from ``first`` on, or of those up to the death of the process at ``last``.

    ``seconds`` are the processor's; ``death`` is the exit status, ``None`` for a process that came to its end.
    """

    last: int
    outcomes: Counter[str]
    wrong: dict[int, str]
    death: int | None
    seconds: float


def attempt(try_: Try, data: bytes) -> str:
    """What ``try_`` says, ``refused``, or ``wrong: `` and the traceback."""
    try:
        return try_(data)
    except SaliencyError as error:
        return "refused" if str(error) else "wrong: an error without words"
    except Exception:  # noqa: BLE001  whatever it is, it is what we look for
        return "wrong: " + traceback.format_exc()


def trial(module: str, name: str, first: int, count: int) -> Trial:
    """Try ``count`` seeds of a target in a process."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", __name__, module, name, str(first), str(count)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told, done.stderr
    return Trial(
        last=max(line["trying"] for line in told if "trying" in line),
        outcomes=Counter(line["outcome"] for line in told if "outcome" in line),
        wrong={line["seed"]: line["wrong"] for line in told if "wrong" in line},
        death=done.returncode or None,
        seconds=after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
    )


def main() -> None:
    """Try seeds; see the module."""
    module, name, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    make, try_ = importlib.import_module(module).TARGETS[name].prepare()
    for seed in range(first, first + count):
        print(json.dumps({"trying": seed}), flush=True)
        signal.alarm(SECONDS)
        outcome = attempt(try_, make(seed))
        signal.alarm(0)
        kind = outcome.partition(":")[0]
        print(json.dumps({"seed": seed, "outcome": kind} | ({"wrong": outcome} if kind == "wrong" else {})))


if __name__ == "__main__":
    main()
