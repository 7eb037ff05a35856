"""A lock that threads get in turns."""

from __future__ import annotations

import threading
from types import TracebackType


class Turns:
    """Who waits gets it before the thread that has just let it go; who has it may take it again.

    A plain lock goes to a thread that lets go and takes it again at once nearly every time. Of several threads with row
    batches for one engine all but one would wait for the end of that one's, and the workers would run out of clips.
    """

    def __init__(self) -> None:
        self._next, self._lock = threading.Lock(), threading.RLock()
        self._owner, self._depth = 0, 0

    def __enter__(self) -> None:
        if self._owner == threading.get_ident():
            self._lock.acquire()
        else:
            with self._next:  # as long as this thread waits for the lock, nobody else can
                self._lock.acquire()
        self._owner = threading.get_ident()
        self._depth += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if not self._depth:
            self._owner = 0
        self._lock.release()
