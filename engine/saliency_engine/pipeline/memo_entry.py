"""A clip's numbers as bytes: what a memo keeps of it."""

from __future__ import annotations

import hashlib
import math
import re
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from saliency_engine.extras import Measured
from saliency_engine.facts import Signal
from saliency_engine.types import ClipStatistics

_CHECKSUM = 8  # bytes


def pack(key: bytes, statistics: ClipStatistics) -> bytes:
    """``statistics`` for the entry of ``key``, with a checksum of both."""
    entry = encode(statistics)
    return _checksum(key, entry) + entry


def unpack(key: bytes, stored: Any) -> ClipStatistics | None:
    """What ``pack`` was given; ``None`` where ``stored`` is damaged, or belongs to another key."""
    # Where the bits that give its type are damaged, it may be of any SQLite type.
    if not isinstance(stored, bytes) or not isinstance(key, bytes):
        return None
    checksum, entry = stored[:_CHECKSUM], stored[_CHECKSUM:]
    return _decode(entry) if checksum == _checksum(key, entry) else None


@lru_cache(maxsize=8)
def _lower_triangle(frames: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where it lies in a matrix of so many rows. Kept, because making it took most of an entry's time."""
    return np.tril_indices(frames)


def _checksum(key: bytes, entry: bytes) -> bytes:
    return hashlib.blake2b(key + entry, digest_size=_CHECKSUM).digest()


def encode(statistics: ClipStatistics) -> bytes:
    """float64, little-endian: means [K], motion [K], maximum [2], the Gram matrix's lower triangle.

    Behind them a text such as ``hlg10``, the signal: shorter than a float64, which shows where it begins. Where that
    ends in ``t``, the times of the frames [K] stand before it. Last, if anything was measured for ``--extra``, a JSON
    object of numbers: no other entry ends with a brace.
    """
    triangle = statistics.gram[_lower_triangle(len(statistics.means))]
    parts = [statistics.means, statistics.motion, np.array(statistics.maximum), triangle]
    signal = statistics.signal
    text = f"{signal.transfer}{signal.depth}" if signal else ""
    if signal and statistics.times is not None:
        parts, text = [*parts, statistics.times], f"{text}t"
    extras = orjson.dumps(dict(statistics.extras.values)) if statistics.extras.values else b""
    return np.concatenate(parts).astype("<f8").tobytes() + text.encode() + extras


def _decode(entry: bytes) -> ClipStatistics:
    extras = Measured()
    if entry.endswith(b"}"):  # the last byte of a float64 in [0, 1] is no more than 0x3f, and a signal ends in a digit
        entry, _, measured = entry.rpartition(b"{")
        extras = Measured(orjson.loads(b"{" + measured))
    end = len(entry) // 8 * 8
    text = re.fullmatch(r"([a-z]+)(\d+)(t?)", entry[end:].decode())
    values = np.frombuffer(entry[:end], "<f8").astype(np.float64)
    per_frame = 3 if text and text[3] else 2
    # length = per_frame · K + 2 + K(K + 1)/2
    frames = round((math.sqrt((2 * per_frame + 1) ** 2 + 8 * (len(values) - 2)) - (2 * per_frame + 1)) / 2)
    numbers, times = (values[:-frames], values[-frames:]) if per_frame == 3 else (values, None)
    gram = np.empty((frames, frames))
    lower = _lower_triangle(frames)
    gram[lower] = numbers[2 * frames + 2 :]
    gram.T[lower] = numbers[2 * frames + 2 :]
    maximum = (float(values[2 * frames]), float(values[2 * frames + 1]))
    signal = Signal(text[1], int(text[2])) if text else None
    return ClipStatistics(values[:frames], values[frames : 2 * frames], gram, maximum, signal, times, extras)
