"""What probing tells of a clip, and how clips are probed: what `index` asks for instead of frames."""

from __future__ import annotations

from dataclasses import dataclass


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
