"""Damaged data given to a target in a process of its own, since a crash of Arrow's code ends the process.

    python -m tests.torture.seeds MODULE TARGET FIRST_SEED COUNT

tries a target of the module's ``TARGETS``. It prints a line before each seed is tried and one with its outcome after.
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

SECONDS = 20  # for one seed, which takes milliseconds
MEMORY = 8 << 30  # bytes of address space
Try = Callable[[bytes], str]
"""Takes damaged data and returns what became of it, or raises: our own errors refuse it, any other is wrong."""


@dataclass(frozen=True)
class Target:
    """Something to give damaged data to."""

    prepare: Callable[[], tuple[Callable[[int], bytes], Try]]
    """Returns a function that makes the data of a seed, and one that tries them."""


@dataclass(frozen=True)
class Outcomes:
    """What became of seeds that were tried in one process."""

    last: int
    """The last seed tried: the one at which the process died, if it did."""
    outcomes: Counter[str]
    wrong: dict[int, str]
    """The traceback of each seed that raised an error which is not ours."""
    death: int | None
    """The exit status of a process that died; ``None`` where it came to its end."""
    seconds: float
    """Processor time."""


def attempt(try_: Try, data: bytes) -> str:
    """What ``try_`` returns, or ``refused``, or ``wrong: `` and the traceback."""
    try:
        return try_(data)
    except SaliencyError as error:
        return "refused" if str(error) else "wrong: an error without words"
    except Exception:  # noqa: BLE001  whatever it is, it is what we are looking for
        return "wrong: " + traceback.format_exc()


def try_seeds(module: str, name: str, first: int, count: int) -> Outcomes:
    """Try ``count`` seeds from ``first`` on, of the target ``name`` of ``module``, in a process of their own."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", __name__, module, name, str(first), str(count)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert lines, done.stderr
    return Outcomes(
        last=max(line["trying"] for line in lines if "trying" in line),
        outcomes=Counter(line["outcome"] for line in lines if "outcome" in line),
        wrong={line["seed"]: line["wrong"] for line in lines if "wrong" in line},
        death=done.returncode or None,
        seconds=after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
    )


def main() -> None:
    """Try the seeds that the command line names."""
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
