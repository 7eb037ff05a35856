"""What a packet of HEVC says of its picture, read without decoding it."""

from __future__ import annotations

from saliency_engine.video.nal_units import HEADER_BYTES, Bits, Coded, Order, split


class Hevc:
    """Reads an HEVC stream's packets one after the other, in the order of decoding.

    Raises ``ValueError`` or ``LookupError`` for a stream of several layers, of more than one picture a packet, or with
    pictures that are not put out.
    """

    def __init__(self, extradata: bytes) -> None:
        self._order = Order()
        self._sequences: dict[int, tuple[int, int]] = {}
        """Of each parameter set: bits for colour plane and picture order count."""
        self._pictures: dict[int, tuple[int, int, int]] = {}
        """Of each parameter set: its sequence's, whether slices say if they are put out, and bits to pass over."""
        self._length_bytes = self._highest = 0
        if extradata[:3].strip(b"\0") and extradata[:3] != b"\0\0\1":  # ISO/IEC 14496-15 §8.3.3.1
            self._length_bytes = (extradata[21] & 3) + 1
            at = 23
            for _ in range(extradata[22]):
                count, at = int.from_bytes(extradata[at + 1 : at + 3]), at + 3
                for _ in range(count):
                    size, at = int.from_bytes(extradata[at : at + 2]), at + 2
                    self._learn(extradata[at : at + size])
                    at += size
        elif extradata:
            for unit in split(extradata, 0):
                self._learn(unit)

    def read(self, data: bytes) -> Coded:
        """The picture in the packet ``data``."""
        order: tuple[int, int] | None = None
        spare, layer = True, 0
        for unit in split(data, self._length_bytes):
            kind = unit[0] >> 1 & 63
            if int.from_bytes(unit[:2]) >> 3 & 63:
                raise ValueError("another layer than the base layer")
            if kind < 32:
                spare &= _is_never_referred_to(kind)
                layer = (unit[1] & 7) - 1
                if unit[2] & 0x80:  # first_slice_segment_in_pic_flag
                    if order is not None:
                        raise ValueError("two pictures in a packet")
                    order = self._place(unit, kind, layer)
                elif order is None:
                    raise ValueError("the picture's first slice is not there, or not the first")
            elif kind not in (35, 38):  # delimiter, filler
                spare = False
                self._learn(unit)
        if order is None:
            raise ValueError("no picture in the packet")
        return Coded(order, spare and layer == self._highest, layer)

    def _learn(self, unit: bytes) -> None:
        kind = unit[0] >> 1 & 63
        if kind == 33:
            self._learn_sequence(Bits(unit[2:]))
        elif kind == 34:
            bits = Bits(unit[2:])
            number, sequence, _, may_hide = bits.number(), bits.number(), bits.take(1), bits.take(1)
            self._pictures[number] = sequence, may_hide, bits.take(3)
        elif kind not in (32, 36, 37, 39, 40):  # the parameter set of all layers; ends of sequence and stream; messages
            raise ValueError("a NAL unit that is not understood")

    def _learn_sequence(self, bits: Bits) -> None:
        """§7.3.2.2.1 and §7.3.3, as far as it matters."""
        _, layers, _ = bits.take(4), bits.take(3), bits.take(1)
        self._highest = max(self._highest, layers)
        bits.take(96)
        if layers:
            flags = [(bits.take(1), bits.take(1)) for _ in range(8)][:layers]
            for profile, level in flags:
                bits.take(88 * profile + 8 * level)
        number, plane_bits = bits.number(), 0
        if bits.number() == 3:
            plane_bits = 2 * bits.take(1)
        bits.number(), bits.number()
        if bits.take(1):
            for _ in range(4):
                bits.number()
        bits.number(), bits.number()
        self._sequences[number] = plane_bits, bits.number() + 4

    def _place(self, unit: bytes, kind: int, layer: int) -> tuple[int, int]:
        """§7.3.6.1."""
        if 16 <= kind <= 18 or kind > 21:
            raise ValueError("a kind of picture that is not understood")
        bits = Bits(unit[2:HEADER_BYTES])
        bits.take(2 if kind >= 16 else 1)
        sequence, may_hide, passed_over = self._pictures[bits.number()]
        plane_bits, order_bits = self._sequences[sequence]
        bits.take(passed_over), bits.number()
        if may_hide and not bits.take(1):
            raise ValueError("a picture that is not put out")
        bits.take(plane_bits)
        if kind in (19, 20):
            self._order.restart()
            return self._order.place(0, order_bits, anchor=True)
        anchor = layer == 0 and not _is_never_referred_to(kind) and kind not in (7, 9)
        return self._order.place(bits.take(order_bits), order_bits, anchor=anchor)


def _is_never_referred_to(kind: int) -> bool:
    """Whether no picture of the same temporal layer refers to one of this kind of NAL unit (H.265 §7.4.2.2)."""
    return kind <= 14 and kind % 2 == 0
