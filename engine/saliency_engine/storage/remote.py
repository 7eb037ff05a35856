"""Clips in object stores and on web servers: what they are now, and their bytes in the local cache.

Nothing else opens a connection for a clip, and this only for requests that a ``Locator`` made under ``--allow-remote``.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict, deque
from concurrent.futures import Future

from saliency_engine.errors import DecodeError, MissingSourceError
from saliency_engine.facts import RemoteFile
from saliency_engine.storage.cache import Cache, Claim, cache_home
from saliency_engine.storage.object_store import forget_connections
from saliency_engine.storage.source import FileState, GoneError, TransferError
from saliency_engine.storage.transfer import ChangedError, look_up, transfer
from saliency_engine.storage.urls import show, without_secrets
from saliency_engine.types import ClipRequest

_AT_ONCE = 16  # look-ups: at 50 ms each they find 300 files a second
_KNOWN = 1 << 16
"""Files whose state is kept for rows further on, some 30 MB: their servers are not asked again."""


class LookUps:
    """What files are now, asked in the background, many at a time. Each is asked for once."""

    def __init__(self) -> None:
        forget_connections()
        self._lock, self._threads = threading.Lock(), 0
        self._todo: deque[tuple[str, Future[FileState]]] = deque()
        self._known: OrderedDict[str, Future[FileState]] = OrderedDict()

    def begin(self, url: str) -> Future[FileState]:
        """The state of the file at ``url`` when it is known: a ``FileState``, or a ``TransferError``."""
        with self._lock:
            if url in self._known:
                return self._known[url]
            future = self._known[url] = Future[FileState]()
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
            self._todo.append((url, future))
            if self._threads < _AT_ONCE:
                self._threads += 1
                threading.Thread(target=self._work, daemon=True).start()  # which holds up no end of the program
            return future

    def find(self, url: str) -> FileState | None:
        """The file at ``url`` as it was when it was first asked for; ``None`` where there is none.

        Raises ``MissingSourceError`` when nobody can tell.
        """
        try:
            state = self.begin(url).result()
        except GoneError:
            return None
        except TransferError as error:
            raise MissingSourceError(without_secrets(f"the clip cannot be reached: {error} ({show(url)})")) from error
        if not state.etag and not state.mtime_ns:
            raise MissingSourceError(
                "the server says neither an ETag nor when the file was changed, so that another file in its place "
                f"would not be seen: download {show(url)} first"
            )
        return state

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._todo:
                    self._threads -= 1
                    return
                url, future = self._todo.popleft()
            try:
                future.set_result(look_up(url))
            except BaseException as error:  # noqa: BLE001  whoever waits for it has to know
                future.set_exception(error)


def open_remote(request: ClipRequest) -> int:
    """A descriptor of a local copy of a ``remote`` clip, which stays in the cache until it is closed.

    The clip is fetched if need be. Raises ``DecodeError`` where its bytes cannot be had as they were.
    """
    path, remote = request.path, request.remote
    if remote is None:
        raise TypeError("a clip of this machine, where a remote one belongs")
    home = cache_home()
    if home is None:
        raise DecodeError("there is no home folder to keep fetched clips in: set XDG_CACHE_HOME")
    version = remote.etag or remote.mtime_ns
    name = hashlib.sha256(f"{path}\n{remote.size}\n{version}".encode("utf-8", "surrogatepass")).hexdigest()
    try:
        cache = Cache(home / "clips", remote.cache_bytes)
        claim = cache.claim(name, remote.size)
        if not claim.is_whole:
            try:
                _fill(claim, path, remote)
                cache.publish(name, claim)
            except BaseException:
                cache.abandon(name, claim)
                raise
    except OSError as error:
        raise DecodeError(f"the clip cannot be kept in {home / 'clips'}: {error.strerror or error}") from error
    return claim.fd


def _fill(claim: Claim, path: str, remote: RemoteFile) -> None:
    state = FileState(remote.size, remote.etag, remote.mtime_ns)
    try:
        transfer(remote.url, state, claim.write)
    except ChangedError as error:
        raise DecodeError(str(error)) from error
    except TransferError as error:
        raise DecodeError(without_secrets(f"the clip cannot be fetched: {error} ({path})")) from error
