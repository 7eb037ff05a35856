"""A decoded frame as planes of code values, and from there to the model's pixels.

libswscale is used only for what it does exactly: resizing planes. It never converts between matrices or ranges, because
its own conversion to RGB is two levels off on flat patches.
"""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from av import VideoFrame
from av.sidedata.sidedata import SideData, SideDataContainer, Type
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from saliency_engine.errors import DecodeError
from saliency_engine.video import color, dolby_vision
from saliency_engine.video.cropping import WHOLE, Crop
from saliency_engine.video.samples import Layout, format_name, layout_of, planes_of, unpack
from saliency_engine.video.tone_map import ToneMap

# Triangle filter, widened when shrinking: antialiased linear interpolation. Its mean distance from Pillow's in float
# is the rounding alone (docs/decoding.md). Without the two flags the mean drifts by up to 0.06 of a level.
_RESIZE = Interpolation.BILINEAR | Interpolation.ACCURATE_RND | Interpolation.BITEXACT
RESIZED_DEPTH = 16
"""Resized samples keep the fractions that rounding to the clip's depth would lose; 0.1 ms a frame at 720p."""


def _name_unknown(kind: type[Type], number: int) -> Type:
    member = object.__new__(kind)
    member._name_ = f"UNKNOWN_{number}"
    member._value_ = number  # type: ignore[assignment]  # the stub has the members' type here
    return member


# PyAV looks at all side data of a frame at once, and raises ValueError for kinds that its list lacks (EXIF, LCEVC, the
# views of stereo pictures). So they get a name; the display matrix is all that is asked for.
Type._missing_ = classmethod(_name_unknown)  # type: ignore[method-assign, assignment]


class Scaler:
    """libswscale for one clip. Its context is rebuilt only when the clip's size or format changes."""

    def __init__(self) -> None:
        self._resize = VideoReformatter()

    def resize(self, frame: VideoFrame, layout: Layout, width: int, height: int) -> VideoFrame:
        """Planar ``frame`` at another size, every plane of that size (4:4:4), its codes shifted up to 16 bits."""
        target = format_name("gray" if layout.kind == "gray" else "yuv444p", RESIZED_DEPTH)
        if frame.interlaced_frame or frame.format.name.startswith("gbr"):
            # libswscale would resize the two fields one by one. The copy is not flagged as interlaced.
            frame = _copy(frame, layout)
        return _convert(self._resize, frame, width, height, target)


def _convert(reformatter: VideoReformatter, frame: VideoFrame, width: int, height: int, name: str) -> VideoFrame:
    # Equal matrix and range on both sides, so that samples are moved but not converted. threads=1, because clips run in
    # parallel, and libswscale's own threads now and then (1 conversion in 6000) leave stale samples behind.
    both = ColorRange.JPEG if frame.format.name.startswith("yuvj") else ColorRange.MPEG
    return reformatter.reformat(
        frame,
        width,
        height,
        name,
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=both,
        dst_color_range=both,
        interpolation=_RESIZE,
        threads=1,
    )


def _copy(frame: VideoFrame, layout: Layout, crop: Crop = WHOLE) -> VideoFrame:
    """Planar ``frame`` as it is resized, cropped. Chroma begins with the sample that covers the first pixel."""
    copy = VideoFrame(*crop.leaves(frame.width, frame.height), layout.scaled_name)
    chroma = crop.top >> layout.shifts[1], crop.left >> layout.shifts[0]
    for index, (old, new, plane) in enumerate(zip(planes_of(frame), planes_of(copy), copy.planes, strict=True)):
        top, left = chroma if index else (crop.top, crop.left)
        new[:, : plane.width] = old[top : top + plane.height, left : left + plane.width]
    return copy


@dataclass(frozen=True)
class Picture:
    """A frame ready to be measured and painted: planar samples and how they become R'G'B'."""

    frame: VideoFrame
    layout: Layout
    affine: color.Affine
    """From the planes' code values to R'G'B'."""
    orientation: tuple[bool, bool, bool]
    """How to turn it upright, as ``orientation_of`` has it."""
    tone_map: ToneMap | None
    """What makes SDR of it; ``None`` where that is not wanted, or it is SDR."""

    @staticmethod
    def of(frame: VideoFrame, mode: str, crop: Crop = WHOLE, hdr: str = "plain") -> Picture:
        """Take ``frame`` apart, without the edges that ``crop`` hides.

        ``mode`` is ``auto`` (honour its tags) or ``bt709`` (ignore them), ``hdr`` is ``plain`` or ``tonemap``.

        Raises ``DecodeError`` for a pixel format, colours, or a Dolby Vision that cannot be read.
        """
        if mode == "auto":
            dolby_vision.check_frame(frame)
        try:
            layout = layout_of(frame)
            planar = unpack(frame, layout)
        except (KeyError, ValueError, av.FFmpegError) as error:
            raise DecodeError(f"pixel format {frame.format.name} is not supported") from error
        if crop.leaves(planar.width, planar.height) != (planar.width, planar.height):
            planar = _copy(planar, layout, crop)
        tone_map = ToneMap.of(frame) if hdr == "tonemap" else None
        return Picture(planar, layout, _find_affine(frame, layout, mode), orientation_of(frame), tone_map)

    def luma(self) -> color.Plane:
        """Luma at the clip's own size, in code values: the Y plane, or BT.709 luma of RGB (full range)."""
        planes = planes_of(self.frame)
        if self.layout.kind != "gbr":
            return planes[0]
        out = np.empty((self.frame.height, self.frame.width), planes[0].dtype)
        color.luma_of_gbr(planes[0], planes[1], planes[2], out)
        return out

    def paint(self, scaler: Scaler, out: NDArray[np.uint16]) -> None:
        """Write the upright picture into ``out`` ``[3, height, width]`` uint16 as 16-bit R'G'B'.

        Where the picture already has that size its chroma samples are repeated; otherwise it is resized as
        Y'CbCr, aspect not kept.
        """
        swap, flip_rows, flip_columns = self.orientation
        height, width = out.shape[:0:-1] if swap else out.shape[1:]
        frame, shifts, affine = self.frame, self.layout.shifts, self.affine
        if (frame.width, frame.height) != (width, height):
            frame = scaler.resize(frame, self.layout, width, height)
            shifts = shifts if self.layout.kind == "gray" else (0, 0)
            affine = affine / np.array([*3 * [1 << RESIZED_DEPTH - self.layout.depth], 1])
        planes = planes_of(frame)
        if self.layout.kind == "gray":
            planes += 2 * [np.zeros((1, 1), planes[0].dtype)]  # the affine ignores the chroma
        upright = not any(self.orientation)
        target = out if upright else np.empty((3, height, width), np.uint16)
        color.paint((planes[0], planes[1], planes[2]), shifts, affine, target)
        if self.tone_map is not None:
            self.tone_map.apply(target)
        if not upright:
            turned = target.transpose(0, 2, 1) if swap else target
            out[...] = turned[:, :: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


def _find_affine(frame: VideoFrame, layout: Layout, mode: str) -> color.Affine:
    if layout.kind == "gbr":
        return color.gbr_affine(layout.depth)
    tagged = mode == "auto"
    full = tagged and (frame.color_range == color.FULL_RANGE or frame.format.name.startswith("yuvj"))
    if layout.kind == "gray":
        return color.gray_affine(full, layout.depth)
    matrix = frame.colorspace if tagged else 1
    if matrix == color.IDENTITY and layout.shifts != (0, 0):
        matrix = color.UNSPECIFIED  # RGB is not subsampled: what muxers write who know no matrix (FFmpeg's, AV1 in FLV)
    return color.ycbcr_affine(matrix, full, layout.depth)


def orientation_of(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """The display matrix as (swap rows and columns, then flip rows, flip columns): the nearest of its eight.

    FFmpeg's matrix (libavutil/display.h) maps a point by x' = m0·x + m3·y, y' = m1·x + m4·y.
    """
    # Not ``frame.side_data``: that and the frame hold each other, so frames of dozens of clips stayed in memory until
    # Python's garbage collector ran (a worker came to 893 MB over 120 clips of 1080p instead of 184).
    matrix = SideDataContainer(frame).get("DISPLAYMATRIX")  # type: ignore[call-arg]  # its stub has no __init__
    if not isinstance(matrix, SideData):
        return False, False, False
    m0, m1, _, m3, m4 = np.frombuffer(memoryview(matrix), np.int32, 5).tolist()
    if abs(m1) + abs(m3) > abs(m0) + abs(m4):
        return True, m1 < 0, m3 < 0
    return False, m4 < 0, m0 < 0
