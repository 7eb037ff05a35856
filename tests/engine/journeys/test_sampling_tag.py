"""The tag of a computed row says how it was sampled: a run with what it says gives the same number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper
from tests.in_process import run, stderr_of
from tests.rows import read_rows, write_clips
from tests.small_models import saliency_model

from saliency_engine.tables.sampling_tag import parse_sampling

BUILT_IN = ("--model", "frequency_tuned_v1")


def computed(folder: Path, source: Path, *options: str) -> dict[str, Any]:
    """The first row, without any memory of earlier runs."""
    run("--input", source, "--output", folder / "out.jsonl", "--memo", "off", "--quiet", *options)
    return read_rows(folder / "out.jsonl")[0]


@pytest.mark.parametrize(
    ("options", "tag"),
    [
        ((), "head:8@320x320"),
        (("--max-frames", "24"), "head:8/24@320x320"),
        (("--frame-samples", "3", "--max-frames", "3"), "head:3@320x320"),
        (("--sampling", "uniform", "--frame-samples", "4"), "uniform:4@320x320"),
        (("--sampling", "keyframes", "--frame-samples", "4"), "keyframes:4@320x320"),
        (("--color", "bt709"), "head:8@320x320;color=bt709"),
    ],
)
def test_what_the_tag_says_gives_the_number_again(
    tmp_path: Path, clips: dict[str, Path], options: tuple[str, ...], tag: str
) -> None:
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    row = computed(tmp_path, source, *BUILT_IN, *options)
    assert row["saliency_sampling"] == tag
    words = [(f"--{name.replace('_', '-')}", str(value)) for name, value in parse_sampling(tag).items()]
    assert computed(tmp_path, source, *BUILT_IN, *(word for pair in words for word in pair)) == row


def test_fewer_frames_than_were_asked_for_are_told(tmp_path: Path, clips: dict[str, Path]) -> None:
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    options = ("--input", str(source), *BUILT_IN, "--frame-samples", "16")
    words = (
        "warning: --frame-samples 16 with --max-frames 8: 8 frames of each clip are used. For more, raise "
        "--max-frames or give --sampling uniform\n"
    )
    output = ("--output", str(tmp_path / "out.jsonl"))
    assert words in stderr_of("run", *options, *output)
    assert read_rows(tmp_path / "out.jsonl")[0]["saliency_sampling"] == "head:8@320x320"
    assert words in stderr_of("preview", *options, "--output", str(tmp_path / "sheet.png"))
    for enough in (("--max-frames", "16"), ("--sampling", "uniform")):
        assert "warning" not in stderr_of("run", *options, *output, "--overwrite", *enough)


def test_the_size_is_that_of_the_model_and_failed_rows_have_no_tag(tmp_path: Path, clips: dict[str, Path]) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["gray"], axes=[1], keepdims=1),
        helper.make_node("Sigmoid", ["gray"], ["saliency_map"]),
    ]
    onnx.save(saliency_model(*nodes, frames=(1, 3, 48, 64), maps=(1, 1, 48, 64)), tmp_path / "small.onnx")
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"], "gone.mp4"])
    model = ("--model-path", tmp_path / "small.onnx", "--model-size", "128x128")
    run("--input", source, "--output", tmp_path / "out.jsonl", *model, code=1)
    first, second = read_rows(tmp_path / "out.jsonl")
    assert first["saliency_sampling"] == "head:8@64x48"
    assert "saliency_sampling" not in second


def test_an_empty_name_leaves_the_column_out(tmp_path: Path, clips: dict[str, Path]) -> None:
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    row = computed(tmp_path, source, *BUILT_IN, "--sampling-column", "")
    assert "head:8" not in json.dumps(row)


def test_a_clip_with_fewer_keyframes_says_so_in_its_tag_and_is_of_the_same_sampling(
    tmp_path: Path, clips: dict[str, Path]
) -> None:
    """bikes.mp4 has 6 keyframes, as its packets say; that it has all of them is neither failure nor mixture."""
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    keyframes = ("--output", tmp_path / "out.jsonl", *BUILT_IN, "--sampling", "keyframes", "--frame-samples")
    for _ in range(2):  # computed, then from the memo
        run("--input", source, *keyframes, "8", "--overwrite")
        (row,) = read_rows(tmp_path / "out.jsonl")
        assert row["saliency_sampling"] == "keyframes:6/8@320x320"
        assert "saliency_error" not in row
    both = write_clips(tmp_path / "both.jsonl", [clips["bikes"], clips["carphone_pristine"]])
    both.write_text(json.dumps(row) + "\n" + both.read_text().splitlines(True)[1])
    run("--input", both, *keyframes, "8")
    kept, other = read_rows(tmp_path / "out.jsonl")
    assert kept["saliency_sampling"] == row["saliency_sampling"]
    assert other["saliency_sampling"].endswith("8@320x320")
    refused = stderr_of("run", "--input", str(both), *map(str, keyframes), "6", code=2)
    assert "1 with sampling 'keyframes:8@320x320' (this run: 'keyframes:6@320x320')" in refused


def test_a_memo_of_another_sampling_is_not_taken_for_keyframes(tmp_path: Path, clips: dict[str, Path]) -> None:
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    means: dict[str, float] = {}
    for sampling in ("uniform", "keyframes", "uniform"):
        options = ("--output", tmp_path / "out.jsonl", *BUILT_IN, "--sampling", sampling, "--frame-samples", "6")
        run("--input", source, *options, "--overwrite")
        (row,) = read_rows(tmp_path / "out.jsonl")
        assert means.setdefault(sampling, row["saliency_mean"]) == row["saliency_mean"]
    assert means["uniform"] != means["keyframes"]
