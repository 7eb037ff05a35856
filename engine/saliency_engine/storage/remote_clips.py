"""The remote clips that rows name, under one run's options."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, DecodeError, MissingSourceError
from saliency_engine.facts import RemoteFile
from saliency_engine.storage.urls import check_url, is_below, is_remote, join, show, show_path

if TYPE_CHECKING:
    from saliency_engine.storage.remote import LookUps


class RemoteClips:
    """What becomes of a row's path under ``--allow-remote``. ``--root`` may be a URL, too.

    Raises ``ConfigError`` where that URL holds a secret.
    """

    def __init__(self, config: RunConfig) -> None:
        self._root = config.root if is_remote(config.root) else ""
        if show_path(self._root) != self._root:
            raise ConfigError(
                f"--root {show_path(self._root)}: a folder's URL must hold no name, password or query, because the "
                "audit would keep it"
            )
        self._confine = config.confine
        self._cache_bytes = round(config.remote_cache_gb * 10**9)
        self._look_ups: LookUps | None = None

    def urls_of(self, path: str, suffixes: Sequence[str]) -> list[str]:
        """The URLs that a row's ``path`` stands for, one for each of ``suffixes``; none for a path on this machine."""
        if is_remote(path):
            return [path + suffix for suffix in suffixes]
        if self._root and not path.startswith("/"):
            return [join(self._root, path + suffix) for suffix in suffixes]
        return []

    def foresee(self, paths: Iterable[str]) -> None:
        """Begin to ask for the files that ``paths`` stand for, as far as they are remote."""
        for path in paths:
            for url in self.urls_of(path, ("",)):
                if self._may_open(url):
                    self._asking().begin(url)

    def find(self, urls: Sequence[str]) -> tuple[str, RemoteFile]:
        """The first of ``urls`` at which there is a file: its name for people, and its state.

        Raises ``MissingSourceError``, and ``DecodeError`` for a file that is larger than the cache.
        """
        for url in urls:
            check_url(url)
            if not self._may_open(url):
                raise MissingSourceError(f"the path leads outside --root, which --confine forbids ({show(url)})")
            state = self._asking().find(url)
            if state is None:
                continue
            if state.size > self._cache_bytes:
                raise DecodeError(
                    f"the clip has {state.size / 1e9:.3g} GB, more than --remote-cache-gb {self._cache_bytes / 1e9:g} "
                    f"holds: give a larger number ({show(url)})"
                )
            return show(url), RemoteFile(url, state.size, state.etag, state.mtime_ns, self._cache_bytes)
        raise MissingSourceError(f"no such file: {', '.join(map(show, urls))}")

    def _may_open(self, url: str) -> bool:
        try:
            check_url(url)
        except MissingSourceError:
            return False
        return not self._confine or (bool(self._root) and is_below(url, self._root))

    def _asking(self) -> LookUps:
        if self._look_ups is None:
            from saliency_engine.storage.remote import LookUps  # noqa: PLC0415  not loaded where nothing is remote

            self._look_ups = LookUps()
        return self._look_ups
