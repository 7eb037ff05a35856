"""Leaves out, on the way to the frames that are wanted, the pictures that nothing else is built on.

Half to three quarters of the pictures between keyframes are such in clips with B-frames. That a frame left out would
have come out at its time cannot be seen from the decoder; it is shown from the pictures' own headers instead.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Set

import numpy as np
from av import Packet
from av.video.stream import VideoStream
from numpy.typing import NDArray

from saliency_engine.video.container import OpenClip
from saliency_engine.video.h264_headers import H264
from saliency_engine.video.hevc_headers import Hevc

Times = NDArray[np.int64]

_HEADERS: dict[str, type[H264 | Hevc]] = {"h264": H264, "hevc": Hevc}
_KEPT = 64  # pictures whose order is remembered; both codecs hold back 16 at most


class Spare:
    """Decides for the packets that lead to the frames at ``wanted``, from a keyframe on, which are not decoded."""

    def __init__(self, clip: OpenClip, wanted: Set[int]) -> None:
        self._left_out: set[int] = set()  # when they would have been shown, those that have not been passed over yet
        self.proven = True
        """Whether all frames that were left out would have come out, in order of their times, and changed nothing."""
        self.wanted, self._context = wanted, clip.stream.codec_context
        self._orders: list[tuple[int, int]] = []
        self._times: list[int] = []
        self._least, self._layer = (-1, 0), 0
        """What no order may be below; the temporal layer of the pictures that were left out."""
        self._some = False
        # Without B-frames there is hardly ever anything to leave out, and reading headers takes 10 µs a packet.
        headers = _HEADERS.get(clip.codec.canonical_name) if self._context.has_b_frames else None
        try:
            self._headers = headers(self._context.extradata or b"") if headers else None
        except (ValueError, LookupError):
            self._headers = None

    def takes(self, packet: Packet[VideoStream]) -> bool:
        """Whether ``packet`` is left out. Every packet must come by here, in the order of decoding."""
        if self._headers is None or not packet.size:
            return False
        try:
            if packet.pts is None or packet.has_sidedata("new_extradata"):
                raise ValueError("no time, or other headers")
            coded = self._headers.read(bytes(packet))
            if not self._fits(coded.order, packet.pts):
                raise ValueError("not in the order of the times")
            # Pictures of higher temporal layers may refer to one that those of its own may not.
            if self._some and coded.layer > self._layer:
                raise ValueError("a higher layer than that of pictures that were left out")
        except (ValueError, LookupError):
            self._headers, self.proven = None, not self._some
            return False
        if not coded.spare or packet.pts in self.wanted or packet.is_corrupt or packet.is_discard:
            return False
        self._layer, self._some = coded.layer, True
        self._left_out.add(packet.pts)
        return True

    def pass_over(self, times: Times, at: int, last: int) -> int:
        """The first place in ``times`` from ``at`` to ``last`` whose frame was not left out."""
        while at < last and times[at] in self._left_out:
            self._left_out.remove(int(times[at]))
            at += 1
        return at

    def _fits(self, order: tuple[int, int], pts: int) -> bool:
        """Whether the order of output is that of the times, and the decoder waits long enough to keep to it."""
        at = bisect_left(self._orders, order)
        before = self._times[at - 1] if at else None
        after = self._times[at] if at < len(self._times) else None
        fits = len(self._orders) - at <= self._context.reorder_depth and order >= self._least
        fits &= (before is None or before < pts) and (after is None or (pts < after and self._orders[at] != order))
        self._orders.insert(at, order)
        self._times.insert(at, pts)
        if len(self._orders) > _KEPT:
            self._least = self._orders.pop(0)
            self._times.pop(0)
        return fits
