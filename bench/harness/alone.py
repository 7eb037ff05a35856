"""A piece of work in a process of its own, so that a crash, a hang or a full card costs one line of a table."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

_LIMIT_SECONDS = 600.0  # TensorRT compiles for minutes
_EXIT_SECONDS = 20.0


def run_alone(work: Callable[..., Any], *arguments: Any, limit: float = _LIMIT_SECONDS) -> Any:
    """What ``work`` returns; ``{"failed": reason}`` where it raises anything, dies, or takes over ``limit`` seconds."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, work, arguments))
    process.start()
    sender.close()
    try:
        result = receiver.recv() if receiver.poll(limit) else {"failed": f"no result in {limit:g} s"}
    except EOFError:
        process.join(_EXIT_SECONDS)
        result = {"failed": f"its process died with exit status {process.exitcode}"}
    process.join(_EXIT_SECONDS if "failed" not in result else 1)
    if process.is_alive():
        process.kill()
        process.join()
        result.setdefault("failed", "its process did not end")
    elif process.exitcode:
        result.setdefault("failed", f"its process died with exit status {process.exitcode} after its result")
    return result


def _work(sender: Connection, work: Callable[..., Any], arguments: Sequence[Any]) -> None:
    try:
        result = work(*arguments)
    except BaseException as error:  # noqa: BLE001  whatever it is, it is a line
        result = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    sender.send(result)
