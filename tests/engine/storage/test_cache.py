"""The cache of fetched files: below its size, shared, and never without a file that is in use."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.processes import HANG

from saliency_engine.storage.cache import Cache, Claim

SIZE = 1000


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """One for three files of ``SIZE`` bytes."""
    return Cache(tmp_path / "cache", 3 * SIZE)


def fill(cache: Cache, name: str, size: int = SIZE) -> int:
    """Put a file in, as one that fetches it; the descriptor keeps it there."""
    claim = cache.claim(name, size)
    assert not claim.is_whole
    os.pwrite(claim.fd, name.encode() * size, 0)
    os.ftruncate(claim.fd, size)
    cache.publish(name, claim)
    return claim.fd


def names(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "cache").iterdir()}


def test_a_file_is_filled_once_and_read_by_all(cache: Cache) -> None:
    first = fill(cache, "a")
    claims = [cache.claim("a", SIZE) for _ in range(3)]
    assert all(claim.is_whole for claim in claims)
    assert {os.read(fd, 2 * SIZE) for fd in (first, *(claim.fd for claim in claims))} == {b"a" * SIZE}
    for fd in (first, *(claim.fd for claim in claims)):
        os.close(fd)


def test_the_file_that_was_used_longest_ago_goes_first(cache: Cache, tmp_path: Path) -> None:
    for number, name in enumerate("abc"):
        os.close(fill(cache, name))
        os.utime(tmp_path / "cache" / name, (number, number))
    os.close(cache.claim("a", SIZE).fd)  # it is used again
    os.close(fill(cache, "d"))
    assert names(tmp_path) == {"a", "c", "d"}


def test_a_file_in_use_stays_and_others_wait(cache: Cache, tmp_path: Path) -> None:
    used = [fill(cache, name) for name in "abc"]
    late: list[Claim] = []
    waiting = threading.Thread(target=lambda: late.append(cache.claim("d", SIZE)))
    waiting.start()
    time.sleep(0.2)
    assert not late
    assert names(tmp_path) == {"a", "b", "c"}
    os.close(used[1])
    waiting.join(HANG)
    assert names(tmp_path) == {"a", "c", "d.partial"}
    for fd in (used[0], used[2], late[0].fd):
        os.close(fd)


def test_what_is_being_fetched_counts_before_it_is_there(cache: Cache, tmp_path: Path) -> None:
    os.close(fill(cache, "old"))
    claim = cache.claim("large", 3 * SIZE)
    assert names(tmp_path) == {"large.partial"}
    cache.abandon("large", claim)
    assert not names(tmp_path)


def test_who_wants_what_another_fetches_waits_for_it(cache: Cache) -> None:
    claim = cache.claim("a", SIZE)
    late: list[Claim] = []
    waiting = threading.Thread(target=lambda: late.append(cache.claim("a", SIZE)))
    waiting.start()
    time.sleep(0.2)
    assert not late
    cache.publish("a", claim)
    waiting.join(HANG)
    assert late[0].is_whole
    for fd in (claim.fd, late[0].fd):
        os.close(fd)


def test_what_a_dead_process_left_is_begun_anew_or_removed(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "cache" / "a.partial").write_bytes(b"half")
    (tmp_path / "cache" / "b.partial").write_bytes(bytes(2 * SIZE))
    (tmp_path / "cache" / "b.partial").touch()
    claim = cache.claim("a", 2 * SIZE)
    assert not claim.is_whole
    assert os.read(claim.fd, 10) == bytes(10)
    assert names(tmp_path) == {"a.partial"}
    cache.abandon("a", claim)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As on a full disk, the kernel writes what fits into ``size`` bytes, and refuses the next write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_part_that_does_not_fit_is_an_error(cache: Cache) -> None:
    """What was missing of the last part was taken for zeros."""
    claim = cache.claim("a", SIZE)
    with largest_file(SIZE - 10), pytest.raises(OSError, match="File too large"):
        claim.write(b"x" * 100, SIZE - 100)
    assert os.pread(claim.fd, SIZE, SIZE - 100) == b"x" * 90 + bytes(10)
    claim.write(b"x" * 100, SIZE - 100)
    assert os.pread(claim.fd, SIZE, SIZE - 100) == b"x" * 100
    cache.abandon("a", claim)


def test_what_could_not_be_claimed_is_nobodys(cache: Cache, tmp_path: Path) -> None:
    """Its lock stayed, and who claimed it next waited for ever."""
    with largest_file(SIZE - 1), pytest.raises(OSError, match="File too large"):
        cache.claim("a", SIZE)
    assert names(tmp_path) == set()
    claims: list[Claim] = []
    late = threading.Thread(target=lambda: claims.append(cache.claim("a", SIZE)), daemon=True)
    late.start()
    late.join(HANG)
    cache.abandon("a", claims[0])


def test_the_folder_is_its_users_alone(cache: Cache, tmp_path: Path) -> None:
    os.close(fill(cache, "a"))
    assert (tmp_path / "cache").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "cache" / "a").stat().st_mode & 0o777 == 0o600
