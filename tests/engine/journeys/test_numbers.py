"""A row's numbers are those of a plain reading of the clip, whatever its geometry and the machine's options."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray
from tests.clips import Encode, planar_frame
from tests.in_process import run
from tests.rows import read_rows, write_clips

from saliency_engine.config import AGGREGATORS
from saliency_engine.numerics import reference


def plain_reading(path: Path, session: onnxruntime.InferenceSession) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """CONTRACT-style reading of a 320×320 8-bit 4:2:0 clip: maps [K, H, W] and motion [K], in plain numpy."""
    maps, motion, before = [], [], None
    with av.open(str(path)) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index == 8:
                break
            y, u, v = (
                np.frombuffer(memoryview(plane), np.uint8)
                .reshape(plane.height, plane.line_size)[:, : plane.width]
                .astype(np.float64)
                for plane in frame.planes
            )
            motion.append(0.0 if before is None else np.abs(y - before).mean() / 255.0)
            before = y
            u, v = (np.repeat(np.repeat(chroma, 2, 0), 2, 1) for chroma in (u, v))
            luma, cb, cr = (y - 16.0) / 219.0, (u - 128.0) / 224.0, (v - 128.0) / 224.0
            rgb = np.stack([luma + 1.5748 * cr, luma - 0.18732427 * cb - 0.46812427 * cr, luma + 1.8556 * cb])
            frames = reference.normalize(np.clip(rgb, 0.0, 1.0)[None])
            maps.append(session.run(None, {"input": frames})[0][0, 0])
    return np.stack(maps), np.array(motion)


@pytest.mark.parametrize("student", ["saliency_student_v1", "saliency_student_v2"])
def test_clips_of_the_models_own_size_agree_with_the_plain_reading(
    tmp_path: Path, encode: Encode, models: Path, student: str
) -> None:
    paths = [encode(f"square-{name}.mp4", source=name, size=(320, 320)) for name in ("bikes", "carphone_pristine")]
    session = onnxruntime.InferenceSession(models / f"{student}.onnx", providers=["CPUExecutionProvider"])
    source = write_clips(tmp_path / "in.jsonl", paths)
    readings = [plain_reading(path, session) for path in paths]
    for aggregator in AGGREGATORS:
        output = tmp_path / f"{aggregator}.jsonl"
        run(
            *("--input", source, "--output", output, "--model-path", models / f"{student}.onnx"),
            *("--temporal-aggregator", aggregator, "--memo", tmp_path / "memo.sqlite"),
        )
        for row, (maps, motion) in zip(read_rows(output), readings, strict=True):
            _, mean, var = reference.aggregate(maps, motion, aggregator, 0.6)
            assert row["saliency_mean"] == pytest.approx(mean, abs=1e-4), aggregator
            assert row["saliency_var"] == pytest.approx(var, abs=1e-4), aggregator


def test_every_geometry_is_computed(tmp_path: Path, encode: Encode, models: Path) -> None:
    shapes: dict[str, dict[str, Any]] = {
        "540p.mp4": {"size": (960, 540)},
        "odd.mkv": {"size": (853, 479), "pix_fmt": "yuv444p"},
        "tiny.mp4": {"size": (64, 48)},
        "ten-bit.mp4": {"size": (640, 272), "pix_fmt": "yuv420p10le", "codec": "libx265"},
        "portrait.mp4": {"size": (640, 272), "rotation": 90},
    }
    paths = [encode(name, **options) for name, options in shapes.items()]
    source = write_clips(tmp_path / "in.jsonl", paths)
    run("--input", source, "--output", tmp_path / "out.jsonl", "--model-path", models / "saliency_student_v2.onnx")
    for row in read_rows(tmp_path / "out.jsonl"):
        assert row["saliency_status"] == "ok", row
        assert 0.01 < row["saliency_mean"] < 0.99
        assert 0.0 < row["saliency_var"] < 0.25


def test_a_rotated_clip_is_the_unrotated_one(
    tmp_path: Path, clips: dict[str, Path], encode: Encode, models: Path
) -> None:
    def lossless(name: str, turns: int) -> Path:
        with av.open(str(clips["bikes"])) as container:
            frames = [
                frame.reformat(format="yuv444p", threads=1).to_ndarray()
                for frame in islice(container.decode(video=0), 8)
            ]
        turned = [np.rot90(frame, -turns, axes=(1, 2)) for frame in frames]
        pictures = [planar_frame("yuv444p", list(frame)) for frame in turned]
        return encode(name, source=pictures, pix_fmt="yuv444p", options={"qp": "0"}, rotation=90 * turns)

    paths = [lossless(f"turned-{turns}.mp4", turns) for turns in range(4)]
    source = write_clips(tmp_path / "in.jsonl", paths)
    run("--input", source, "--output", tmp_path / "out.jsonl", "--model-path", models / "saliency_student_v2.onnx")
    upright, *rotated = read_rows(tmp_path / "out.jsonl")
    for row in rotated:
        assert row["saliency_mean"] == pytest.approx(upright["saliency_mean"], abs=1e-3)
        assert row["saliency_var"] == pytest.approx(upright["saliency_var"], abs=1e-3)


def test_the_same_clip_gives_the_same_numbers_whatever_the_machine_options(
    tmp_path: Path, clips: dict[str, Path]
) -> None:
    source = write_clips(tmp_path / "in.jsonl", clips.values())
    numbers = []
    for batch, workers, threads in ((1, 1, 1), (8, 3, 2), (5, 2, 1)):
        output = tmp_path / f"{batch}.jsonl"
        run(
            *("--input", source, "--output", output, "--model", "frequency_tuned_v1", "--memo", "off"),
            *("--batch-size", str(batch), "--decode-workers", str(workers), "--threads", str(threads)),
        )
        numbers.append([(row["saliency_mean"], row["saliency_var"]) for row in read_rows(output)])
    np.testing.assert_allclose(numbers[1], numbers[0], atol=1e-5, rtol=1e-4)
    np.testing.assert_allclose(numbers[2], numbers[0], atol=1e-5, rtol=1e-4)


@pytest.mark.skipif("bf16" not in Path("/proc/cpuinfo").read_text(), reason="no bfloat16 on this processor")
def test_rows_of_another_precision_bear_another_id(tmp_path: Path, clips: dict[str, Path], models: Path) -> None:
    source = write_clips(tmp_path / "in.jsonl", clips.values())
    model = ("--model-path", models / "saliency_student_v2.onnx", "--memo", tmp_path / "memo")
    full, short = tmp_path / "full.jsonl", tmp_path / "short.jsonl"
    run("--input", source, "--output", full, *model)
    run("--input", source, "--output", short, *model, "--provider", "openvino", "--precision", "bfloat16")
    for one, other in zip(read_rows(full), read_rows(short), strict=True):
        assert other["saliency_model_id"] == "saliency_student_v2_bf16"
        assert other["saliency_mean"] == pytest.approx(one["saliency_mean"], abs=0.02)
        assert other["saliency_mean"] != one["saliency_mean"]  # not from the memo of the other
