"""The transfer and depth of real streams, and of every pixel format there is."""

from __future__ import annotations

import av
import pytest
from tests.clips import Encode

from saliency_engine.video.transfer import TRANSFERS, depth_of_format, transfer_of


@pytest.mark.parametrize(
    ("tag", "transfer"), [("smpte2084", "pq"), ("arib-std-b67", "hlg"), ("bt709", "sdr"), ("", "sdr")]
)
def test_stream_and_frame_say_the_same(encode: Encode, tag: str, transfer: str) -> None:
    options = {"x265-params": f"transfer={tag}"} if tag else {}
    path = encode(f"{transfer}-{tag}.mp4", codec="libx265", pix_fmt="yuv420p10le", frames=2, options=options)
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        assert transfer_of(frame) == transfer_of(container.streams.video[0].codec_context) == transfer
    assert transfer in TRANSFERS


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("yuv420p", 8),
        ("nv12", 8),
        ("gray9le", 9),
        ("p010le", 10),
        ("yuv422p10le", 10),
        ("yuva444p12be", 12),
        ("xyz12le", 12),
        ("rgb48le", 16),
        ("bayer_rggb8", 8),
        ("bayer_gbrg16le", 16),
        ("rgb565le", 6),
        ("gbrpf32le", 32),
        ("pal8", 8),
        ("monow", 1),
    ],
)
def test_bits_of_a_sample(name: str, bits: int) -> None:
    assert depth_of_format(av.VideoFormat(name, 16, 16)) == bits
