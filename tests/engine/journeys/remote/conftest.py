"""An object store, and an empty folder to run in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import in_process
from tests.object_store import Store, known_store


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "saliency-batch" / "clips"


@pytest.fixture(scope="module")
def store(cache: Path) -> Iterator[Store]:
    """A store that the commands of this module know from their environment."""
    with known_store(cache.parents[1]) as server:
        in_process.start_anew()  # its workers fetch, too
        yield server
    in_process.start_anew()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> Path:
    """The current folder, an empty one. Nothing is known of earlier requests."""
    monkeypatch.chdir(tmp_path)
    store.asked.clear()
    store.faults.clear()
    return tmp_path


@pytest.fixture(scope="module")
def small(clips: dict[str, Path]) -> bytes:
    return clips["carphone_distorted"].read_bytes()
