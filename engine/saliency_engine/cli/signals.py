"""Ctrl-C, SIGTERM and SIGHUP: a run stops in good order, and in any case soon."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from types import FrameType

GRACE_SECONDS = 8.0
"""After this long the process ends where it stands: a model may be in the middle of a call that takes minutes."""

_received: list[int] = []


class Interrupted(BaseException):
    """A signal asked the process to stop. Not an ``Exception``, so that nothing takes it for a failure."""


def listen() -> None:
    """Raise ``Interrupted`` in the main thread at the first signal; end the process at a second one, or in 8 seconds.

    For the command line's start, in the main thread. Signals that the parent had ignored (nohup) stay ignored.
    """
    heard, said = os.pipe()
    os.set_blocking(said, False)
    # Through a pipe to a thread, because Python runs handlers only when the main thread comes back from C.
    signal.set_wakeup_fd(said, warn_on_full_buffer=False)
    threading.Thread(target=_insist, args=(heard,), name="signals", daemon=True).start()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def exit_status() -> int:
    """128 + the number of the first signal received, 0 without one."""
    return 128 + _received[0] if _received else 0


def _interrupt(number: int, _: FrameType | None) -> None:
    _received.append(number)
    if len(_received) == 1:  # later ones must not disturb the clearing up
        raise Interrupted


def _insist(heard: int) -> None:
    number = os.read(heard, 1)[0]
    for _ in range(10):  # one second: `timeout` sends its signal twice at once, only a later second one is impatience
        time.sleep(0.1)
        if not _received:
            # It came just before the main thread went to sleep in a system call: this wakes it up.
            signal.pthread_kill(threading.main_thread().ident or 0, number)
    while select.select([heard], [], [], 0.0)[0]:
        os.read(heard, 64)
    select.select([heard], [], [], GRACE_SECONDS - 1.0)
    os._exit(128 + number)
