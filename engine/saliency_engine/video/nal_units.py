"""What H.264 and HEVC have in common: packets of NAL units, headers of bits, and picture order counts.

The clauses are those of ITU-T H.264 (08/2021) and H.265 (09/2023).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

HEADER_BYTES = 48
"""More than a slice's header needs up to its picture order count, the bytes that keep start codes apart included."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A packet's picture."""

    order: tuple[int, int]
    """When it is put out: the number of its coded video sequence, and its picture order count in that."""
    spare: bool
    """The packet holds the slices of this picture and nothing else, and no picture of its layer refers to it."""
    layer: int
    """Its temporal layer: pictures of higher layers may refer to it even where it is spare."""


class Bits:
    """Reads bits from the highest one on."""

    def __init__(self, data: bytes) -> None:
        # The third byte of 00 00 03 only keeps start codes apart (H.264 §7.4.1, H.265 §7.4.2).
        data = data.replace(b"\0\0\3", b"\0\0")
        self._value, self._left = int.from_bytes(data), 8 * len(data)

    def take(self, count: int) -> int:
        """The next ``count`` bits. Raises ``IndexError`` where there are fewer."""
        if count > self._left:
            raise IndexError("the header ends early")
        self._left -= count
        return self._value >> self._left & (1 << count) - 1

    def number(self) -> int:
        """ue(v), H.264 §9.1."""
        zeros = self._left - (self._value & (1 << self._left) - 1).bit_length()
        self.take(zeros)
        return self.take(zeros + 1) - 1

    def signed(self) -> int:
        """se(v), H.264 §9.1.1."""
        code = self.number()
        return (code + 1) // 2 if code % 2 else -(code // 2)


def split(data: bytes, length_bytes: int) -> Iterator[bytes]:
    """The packet's NAL units; ``length_bytes`` is 0 where start codes stand between them. ``ValueError`` if unclear."""
    if not length_bytes:
        at = data.find(b"\0\0\1")
        if at < 0 or data[:at].strip(b"\0"):
            raise ValueError("no start code")
        while at >= 0:
            start, at = at + 3, data.find(b"\0\0\1", at + 3)
            yield data[start : at if at >= 0 else None].rstrip(b"\0")
        return
    at = 0
    while at < len(data):
        start = at + length_bytes
        at = start + int.from_bytes(data[at:start])
        if at > len(data):
            raise ValueError("a NAL unit ends after its packet")
        yield data[start:at]


class Order:
    """Picture order counts from their lowest bits (H.264 §8.2.1.1, H.265 §8.3.1)."""

    def __init__(self) -> None:
        self._sequence = self._high = self._low = 0

    def restart(self) -> None:
        """A new coded video sequence begins."""
        self._sequence, self._high, self._low = self._sequence + 1, 0, 0

    def place(self, low: int, bits: int, *, anchor: bool) -> tuple[int, int]:
        """The place of a picture whose count ends in ``low``; ``anchor``: later pictures count from this one."""
        span = 1 << bits
        high = self._high
        if self._low - low >= span // 2:
            high += span
        elif low - self._low > span // 2:
            high -= span
        if anchor:
            self._high, self._low = high, low
        return self._sequence, high + low
