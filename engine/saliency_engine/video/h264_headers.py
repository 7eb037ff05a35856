"""What H.264's headers say, read without decoding. The clauses are those of ITU-T H.264 (08/2021)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from saliency_engine.video.nal_units import HEADER_BYTES, Bits, Coded, Order, split

# §7.3.2.1.1: the profiles whose parameter sets say more of the samples' format.
_WITH_FORMAT = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
_SEQUENCE, _PICTURE = 7, 8  # kinds of NAL units: parameter sets
_OWN_SHAPE = 255  # the aspect ratio that is written out
_MOST_REORDERED = 16


class Sequence(NamedTuple):
    """A sequence parameter set, as far as it matters here."""

    number: int
    plane_bits: int
    """How many bits of a slice's header name its colour plane, its frame, and its picture order count."""
    number_bits: int
    order_bits: int | None
    """``None`` where pictures are ordered in another way than by counts in their slices."""
    frames_only: bool
    states_reordering: bool
    """Whether it states how many pictures a decoder holds back."""


def states_reordering(extradata: bytes, first_packet: bytes) -> bool:
    """Whether a stream states how many pictures a decoder must hold back, so that none need be decoded to find out.

    ``extradata`` is an AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1). All sequence parameter sets in it
    must say so, and the first packet may have no others.
    """
    try:
        length_bytes, units = _read_record(extradata)
        sets = [unit for unit in units if unit[0] & 31 == _SEQUENCE]
        in_band = [unit for unit in split(first_packet, length_bytes) if unit[0] & 31 == _SEQUENCE]
        stated = all(_read_sequence(unit).states_reordering for unit in sets)
        return bool(sets and first_packet) and stated and set(in_band) <= set(sets)
    except (ValueError, LookupError):
        return False


def _read_record(extradata: bytes) -> tuple[int, list[bytes]]:
    """How many bytes a NAL unit's length has, and the parameter sets."""
    if extradata[0] != 1:
        raise ValueError("no AVCDecoderConfigurationRecord")
    at, units = 5, []
    for mask in (31, 255):
        count, at = extradata[at] & mask, at + 1
        for _ in range(count):
            size, at = int.from_bytes(extradata[at : at + 2]), at + 2
            units.append(extradata[at : at + size])
            at += size
    return (extradata[4] & 3) + 1, units


class H264:
    """Reads an H.264 stream's packets one after the other, in the order of decoding.

    Raises ``ValueError`` or ``LookupError`` for a stream that is not of progressive pictures, one a packet, whose order
    of output stands in their slices.
    """

    def __init__(self, extradata: bytes) -> None:
        self._order = Order()
        self._sequences: dict[int, Sequence] = {}
        self._pictures: dict[int, tuple[int, int]] = {}
        """Of each parameter set: its sequence's, and whether slices say more of the picture order count."""
        self._length_bytes = 0
        units: Iterator[bytes] | list[bytes] = split(extradata, 0)
        if extradata[:1] == b"\1":
            self._length_bytes, units = _read_record(extradata)
        for unit in units if extradata else ():
            self._learn(unit)

    def read(self, data: bytes) -> Coded:
        """The picture in the packet ``data``."""
        order: tuple[int, int] | None = None
        spare = True
        for unit in split(data, self._length_bytes):
            kind, reference = unit[0] & 31, unit[0] >> 5 & 3
            if kind in (1, 5):
                spare &= not reference
                if unit[1] & 0x80:  # first_mb_in_slice is 0
                    if order is not None:
                        raise ValueError("two pictures in a packet")
                    order = self._place(unit, kind, reference)
                elif order is None:
                    raise ValueError("the picture's first slice is not there, or not the first")
            elif kind not in (9, 12):  # delimiter, filler
                spare = False
                self._learn(unit)
        if order is None:
            raise ValueError("no picture in the packet")
        return Coded(order, spare, 0)

    def _learn(self, unit: bytes) -> None:
        kind = unit[0] & 31
        if kind == _SEQUENCE:
            sequence = _read_sequence(unit)
            if not sequence.frames_only:
                raise ValueError("pictures may be fields")
            self._sequences[sequence.number] = sequence
        elif kind == _PICTURE:
            bits = Bits(unit[1:])
            number, of_sequence, _ = bits.number(), bits.number(), bits.take(1)
            self._pictures[number] = of_sequence, bits.take(1)
        elif kind not in (6, 10, 11, 13):  # messages; ends of sequence and stream; a parameter set for alpha
            raise ValueError("a NAL unit that is not understood")

    def _place(self, unit: bytes, kind: int, reference: int) -> tuple[int, int]:
        """§7.3.3."""
        bits = Bits(unit[1:HEADER_BYTES])
        bits.number(), bits.number()
        of_sequence, more = self._pictures[bits.number()]
        sequence = self._sequences[of_sequence]
        if sequence.order_bits is None:
            raise ValueError("another type of picture order count than 0")
        bits.take(sequence.plane_bits), bits.take(sequence.number_bits)
        if kind == 5:
            bits.number()
            self._order.restart()
        low = bits.take(sequence.order_bits)
        in_order, top = self._order.place(low, sequence.order_bits, anchor=reference > 0)
        return in_order, min(top, top + bits.signed()) if more else top


def _read_sequence(unit: bytes) -> Sequence:
    """§7.3.2.1.1. Raises ``ValueError`` for what is not read here, ``IndexError`` for one that ends early."""
    bits = Bits(unit[1:])
    profile, _ = bits.take(8), bits.take(16)
    number, plane_bits = bits.number(), 0
    if profile in _WITH_FORMAT:
        if bits.number() == 3:
            plane_bits = 2 * bits.take(1)
        bits.number(), bits.number(), bits.take(1)
        if bits.take(1):
            raise ValueError("scaling matrices")
    number_bits, order_bits = bits.number() + 4, _read_order_bits(bits)
    bits.number(), bits.take(1), bits.number(), bits.number()
    frames_only = bool(bits.take(1))
    bits.take(1 if frames_only else 2)
    if bits.take(1):
        bits.number(), bits.number(), bits.number(), bits.number()
    stated = bool(bits.take(1)) and _usability_states_reordering(bits)
    return Sequence(number, plane_bits, number_bits, order_bits, frames_only, stated)


def _read_order_bits(bits: Bits) -> int | None:
    kind = bits.number()
    if kind == 0:
        return bits.number() + 4
    if kind == 1:
        bits.take(1), bits.signed(), bits.signed()
        for _ in range(bits.number()):
            bits.signed()
    return None


def _usability_states_reordering(bits: Bits) -> bool:
    """``bitstream_restriction_flag`` (§E.1.1), where what it announces makes sense."""
    if bits.take(1) and bits.take(8) == _OWN_SHAPE:
        bits.take(32)
    if bits.take(1):
        bits.take(1)
    if bits.take(1):
        bits.take(4)
        if bits.take(1):
            bits.take(24)
    if bits.take(1):
        bits.number(), bits.number()
    if bits.take(1):
        bits.take(65)
    if any([_pass_over_buffers(bits), _pass_over_buffers(bits)]):
        bits.take(1)
    bits.take(1)
    if not bits.take(1):
        return False
    bits.take(1), bits.number(), bits.number(), bits.number(), bits.number()
    return bits.number() <= _MOST_REORDERED


def _pass_over_buffers(bits: Bits) -> bool:
    """Whether there were parameters of a buffer (§E.1.2)."""
    if not bits.take(1):
        return False
    count = bits.number() + 1
    bits.take(8)
    for _ in range(count):
        bits.number(), bits.number(), bits.take(1)
    bits.take(20)
    return True
