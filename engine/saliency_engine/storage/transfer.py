"""Asking a source and fetching from it, with as many tries as may help."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO, TypeVar

from saliency_engine.errors import FetchError, MissingSourceError
from saliency_engine.storage.object_store import ObjectStore
from saliency_engine.storage.source import FileState, GoneError, Source, TransferError
from saliency_engine.storage.urls import check_url, show, without_secrets
from saliency_engine.storage.web import Web

ValueT = TypeVar("ValueT")
_SOURCES: dict[str, Source] = {"s3": ObjectStore(), "gs": ObjectStore(), "https": Web(), "http": Web()}
_PAUSES = (0.5, 2.0)
"""Seconds before the second try and before the third, which is the last."""


class ChangedError(TransferError):
    """The server has another file than before."""

    def __init__(self) -> None:
        super().__init__("the file was changed while it was being read; run the same command again", again=False)


def look_up(url: str) -> FileState:
    """The file at ``url`` as it is now. Raises ``TransferError``, and ``GoneError`` where there is none."""
    return _persist(lambda: _source_of(url).look_up(url))


def transfer(url: str, state: FileState, write: Callable[[bytes, int], object]) -> None:
    """Give all bytes of the file at ``url`` to ``write``, each part with its place in the file.

    Raises ``TransferError``, ``ChangedError`` where it is not the file that ``state`` is of, and what ``write`` raises.
    """
    have = 0

    def go_on() -> None:
        nonlocal have
        for part in _source_of(url).read(url, state.size, have):
            if have + len(part) > state.size:
                raise ChangedError
            write(part, have)
            have += len(part)
        if have < state.size:
            raise TransferError(f"it broke off after {have} of {state.size} bytes", again=True)

    try:
        _persist(go_on)
    except TransferError as error:
        now = state
        with suppress(TransferError):
            now = _source_of(url).look_up(url)
        if now != state:
            raise ChangedError from error
        raise
    if look_up(url) != state:
        raise ChangedError


def fetch(url: str, file: BinaryIO, limit: int) -> None:
    """Write the file at ``url``, which an option names, to ``file``, and go back to the start of that.

    Raises ``FetchError``, which does not name it, where it cannot or must not be had, or has more than ``limit`` bytes.
    """
    try:
        check_url(url)
        if show(url) != url:
            raise FetchError("a URL that an option names must hold no query, because the audit would keep it")
        state = look_up(url)
        if state.size > limit:
            raise FetchError(f"it has {state.size} bytes, more than the {limit} that are allowed")
        transfer(url, state, lambda part, place: (file.seek(place), file.write(part)))
    except MissingSourceError as error:
        raise FetchError(str(error)) from error
    except GoneError as error:
        raise FetchError("no such file") from error
    except TransferError as error:
        raise FetchError(without_secrets(f"it cannot be fetched: {error}")) from error
    file.seek(0)


def _source_of(url: str) -> Source:
    return _SOURCES[url.partition(":")[0]]


def _persist(action: Callable[[], ValueT]) -> ValueT:
    """What ``action`` gives, at the third try if need be."""
    for pause in _PAUSES:
        try:
            return action()
        except TransferError as error:
            if not error.again:
                raise
        time.sleep(pause)
    return action()
