"""What is known of a clip before it is decoded: what probing tells, how clips are probed, where one is fetched from."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Signal:
    """What the code values of a clip are."""

    transfer: str
    """``sdr``, ``pq`` or ``hlg``, as the first sampled frame is tagged."""
    depth: int
    """Bits of a sample."""


@dataclass(frozen=True, slots=True)
class ProbeSpec:
    """How every clip of a run is probed. The fields that ``DecodeSpec`` has too mean the same."""

    color: str
    max_pixels: int
    accept_short: bool
    confine: str
    count_frames: bool
    """Count the frames of every clip, also where its container states their number."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what a clip leaves in the ring: nothing, but memory cannot be empty."""
        return (1,)


@dataclass(frozen=True, slots=True)
class ClipFacts:
    """A clip of which at least one frame can be decoded. The fields are columns of an index, in their order."""

    width: int
    """In pixels, as ``height``: of the picture as it is stored, before it is turned or its container hides edges."""
    height: int
    frames: int
    frames_source: str
    """``stated`` by the container, or ``counted``: the packets of the video that are shown."""
    frame_rate: float | None
    """Frames a second, on average; ``None`` where nothing tells, as in raw video."""
    duration: float | None
    """In seconds."""
    codec: str
    """FFmpeg's name of it, such as ``hevc``."""
    pix_fmt: str
    """FFmpeg's name of the pixel format of the first frame."""
    bit_depth: int
    """Bits of a sample."""
    transfer: str
    """``sdr``, ``pq`` or ``hlg``."""
    rotation: int
    """How the picture is turned to be shown, in degrees clockwise: 0, 90, 180 or 270. It may be mirrored before."""
    file_bytes: int
    """Size of the file."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file in a store or on a server, as it was when that was asked."""

    url: str = field(repr=False, compare=False)
    """With all that it takes to fetch the file: neither shown nor kept."""
    size: int
    """In bytes."""
    etag: str
    """What the server calls this version of the file; empty where it has no such name."""
    mtime_ns: int
    """When it was changed, in nanoseconds since 1970; 0 where the server does not say."""
    cache_bytes: int = field(compare=False)
    """How large the cache may be that it is fetched into."""
