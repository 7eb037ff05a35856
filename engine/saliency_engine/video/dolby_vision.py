"""Dolby Vision whose base layer is no picture by itself: its colours (IPT) need the metadata that goes with it.

FFmpeg decodes the base layer alone, and such a one is tagged with nothing. PyAV hands over what each frame says (HEVC
and AV1), but not what the container says of the whole stream; so that is read from the header.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from av import VideoFrame
from av.sidedata.sidedata import SideData, SideDataContainer
from av.video.stream import VideoStream

from saliency_engine.errors import DecodeError
from saliency_engine.video import color
from saliency_engine.video.headers import SAMPLE_ENTRY, contents_of, find_boxes, is_movie, read_entries, read_track

_CONFIGURATIONS = (b"dvcC", b"dvvC", b"dvwC")
_MAPPING, _MAPPING_TYPE, _MAPPING_DATA = b"\x41\xe4", b"\x41\xe7", b"\x41\xed"  # Matroska's BlockAdditionMapping
_NO_TAG = (color.IDENTITY, color.UNSPECIFIED, 3)
_IPT = 5
"""The profile of streaming services: one layer, in IPT whatever its tags say."""


def is_configured(header: bytes) -> bool:
    """Whether a file's ``header`` may say something of Dolby Vision."""
    return any(kind in header for kind in _CONFIGURATIONS)


def check_header(header: bytes, container: str, stream: VideoStream) -> None:
    """Raise ``DecodeError`` where a file's ``header`` says that ``stream``'s base layer is no picture by itself.

    ``container`` is FFmpeg's name of the format.
    """
    if not is_configured(header):
        return
    for configuration in _list_configurations(header, container, stream):
        # Versions (1 byte each), 7 bits of profile, 6 of level, 3 of layers, 4 of what the base layer is compatible
        # with (Dolby Vision Streams within the ISO Base Media File Format §3.2).
        if len(configuration) >= 5:
            profile, compatible_with = configuration[2] >> 1, configuration[4] >> 4
            untagged = stream.codec_context.colorspace in _NO_TAG
            if profile == _IPT or (compatible_with == 0 and untagged):
                raise _refusal(f"Dolby Vision profile {profile}")


def _list_configurations(header: bytes, container: str, stream: VideoStream) -> Iterator[bytes]:
    if is_movie(container):
        for _, entry, end in read_entries(header, stream.id):
            for kind in _CONFIGURATIONS:
                yield from (header[at:until] for at, until in find_boxes(header, entry + SAMPLE_ENTRY - 8, end, kind))
    else:
        for mapping in map(contents_of, read_track(header, stream).get(_MAPPING, [])):
            if mapping.get(_MAPPING_TYPE, [b""])[-1] in _CONFIGURATIONS:
                yield from mapping.get(_MAPPING_DATA, [])


def check_frame(frame: VideoFrame) -> None:
    """Raise ``DecodeError`` where a frame's own metadata says that it is no picture without them."""
    metadata = SideDataContainer(frame).get("DOVI_METADATA")  # type: ignore[call-arg]  # its stub has no __init__
    if isinstance(metadata, SideData):
        data = memoryview(metadata)
        at = struct.unpack_from("N", data)[0]  # of AVDOVIRpuDataHeader (libavutil/dovi_meta.h)
        profile_of_metadata, full_range = data[at + 4], data[at + 10]
        # How FFmpeg tells profiles 5 and 10.0 from the others, whose base layers are Y'CbCr.
        if profile_of_metadata == 0 and full_range:
            raise _refusal("Dolby Vision without a base layer for other screens (profile 5 or its like)")


def _refusal(kind: str) -> DecodeError:
    return DecodeError(
        f"it is {kind}: its colours are right only with metadata that are not applied here; convert it to HDR10 or SDR "
        "(FFmpeg's filter libplacebo can), or give --color bt709 to take the colours as they are"
    )
