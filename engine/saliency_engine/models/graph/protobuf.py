"""Protocol Buffers' wire format, written, and read strictly: the fields of one message, nothing interpreted.

The format: https://protobuf.dev/programming-guides/encoding. A reader that is lax would see another model than the
runtime does, so whatever is not plainly well-formed is an error here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class WireError(ValueError):
    """The bytes are not a well-formed message."""


class Field(NamedTuple):
    """One field: ``value`` is an unsigned integer below 2^64, or the bytes of a string, message or fixed number.

    ``raw`` is the whole field as it stands in its message.
    """

    number: int
    value: int | memoryview
    raw: memoryview

    def message(self) -> memoryview:
        """The field as an embedded message. Raises ``WireError`` when it is a number."""
        if isinstance(self.value, int):
            raise WireError(f"field {self.number} is a number where a message belongs")
        return self.value

    def text(self) -> str:
        """The field as UTF-8. Raises ``WireError`` when it is not."""
        try:
            return str(self.message(), "utf-8")
        except UnicodeDecodeError as error:
            raise WireError(f"field {self.number} is not text") from error


def fields(message: memoryview) -> Iterator[Field]:
    """The fields of ``message`` in order. Raises ``WireError`` where it is not well-formed or uses groups."""
    at = 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise WireError(f"field number {number}")
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield Field(number, value, message[start:at])
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        elif kind in {_FIXED32, _FIXED64}:
            size = 4 if kind == _FIXED32 else 8
        else:  # 3 and 4 are groups, which ONNX never had; 6 and 7 are nothing
            raise WireError(f"field {number} has wire type {kind}")
        if size > len(message) - at:
            raise WireError(f"field {number} goes on after its message ends")
        yield Field(number, message[at : at + size], message[start : at + size])
        at += size


def varints(packed: memoryview) -> Iterator[int]:
    """The integers of a packed field. Raises ``WireError`` where the last one does not end."""
    at = 0
    while at < len(packed):
        value, at = _varint(packed, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The integer that begins at ``at``, and where it ends."""
    value = 0
    for count, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            if value >> 64:
                raise WireError("an integer has more than 64 bits")
            return value, at + count + 1
    raise WireError("an integer does not end")


def integer(number: int, value: int) -> bytes:
    """Field ``number`` as a non-negative integer."""
    return _encoded(number << 3 | _VARINT) + _encoded(value)


def block(number: int, *parts: bytes | str) -> bytes:
    """Field ``number`` as a string or message made of ``parts``."""
    payload = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return _encoded(number << 3 | _BYTES) + _encoded(len(payload)) + payload


def _encoded(value: int) -> bytes:
    groups = []
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*groups, value])
