"""Bytes damaged at random, the same way for the same seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

_NUMBERS = (0, 1, 7, 8, 255, 256, 4096, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def mutant(corpus: Sequence[bytes], tokens: Sequence[bytes], seed: int) -> bytes:
    """One of ``corpus``, damaged in one to eight ways; ``tokens`` are pieces that the format's parser knows."""
    generator = random.Random(seed)
    data = bytearray(generator.choice(corpus))
    kinds: list[Callable[[bytearray, random.Random], None]] = [_flip, _set, _number, _cut, _delete, _repeat, _blank]
    for _ in range(min(8, 1 + int(generator.expovariate(0.7)))):
        kind = generator.randrange(len(kinds) + 2)
        if kind < len(kinds):
            kinds[kind](data, generator)
        elif kind == len(kinds):
            _insert(data, generator, generator.choice(tokens))
        else:
            other = generator.choice(corpus)
            start = generator.randrange(len(other) + 1)
            _insert(data, generator, other[start : start + generator.randrange(1, 200)])
    return bytes(data)


def _place(data: bytearray, generator: random.Random) -> int:
    return generator.randrange(len(data)) if data else 0


def _insert(data: bytearray, generator: random.Random, piece: bytes) -> None:
    at = _place(data, generator)
    data[at : at + generator.choice((0, len(piece)))] = piece


def _flip(data: bytearray, generator: random.Random) -> None:
    if data:
        data[_place(data, generator)] ^= 1 << generator.randrange(8)


def _set(data: bytearray, generator: random.Random) -> None:
    if data:
        data[_place(data, generator)] = generator.randrange(256)


def _number(data: bytearray, generator: random.Random) -> None:
    size, at = generator.choice((2, 4, 8)), _place(data, generator)
    data[at : at + size] = (generator.choice(_NUMBERS) % 2 ** (8 * size)).to_bytes(size, "little")


def _cut(data: bytearray, generator: random.Random) -> None:
    if generator.random() < 0.3:  # else most mutants are short
        del data[_place(data, generator) :]


def _delete(data: bytearray, generator: random.Random) -> None:
    at = _place(data, generator)
    del data[at : at + generator.choice((1, 2, 4, 8, 64))]


def _repeat(data: bytearray, generator: random.Random) -> None:
    at = _place(data, generator)
    piece = data[at : at + generator.choice((1, 4, 8, 64, 300))]
    data[at:at] = piece * generator.choice((1, 1, 1, 40))


def _blank(data: bytearray, generator: random.Random) -> None:
    at, size = _place(data, generator), generator.choice((4, 8, 64, 512))
    data[at : at + size] = bytes(len(data[at : at + size]))
