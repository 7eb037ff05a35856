"""Which clips a run decodes and measures, and which its memo or another row of the same clip spares it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pytest
from tests.in_process import run
from tests.rows import read_rows, write_clips, write_rows


def _audit(tmp_path: Path) -> dict[str, Any]:
    audit: dict[str, Any] = json.loads((tmp_path / "audit.json").read_text())
    return audit


def test_another_aggregator_decodes_and_infers_nothing(tmp_path: Path, clips: dict[str, Path]) -> None:
    source = write_clips(tmp_path / "in.jsonl", clips.values())
    common = (
        "--input",
        source,
        "--model",
        "frequency_tuned_v1",
        "--memo",
        tmp_path / "m",
        "--audit-json",
        tmp_path / "audit.json",
    )
    for number, options in enumerate((["ema"], ["ema", "--ema-alpha", "0.2"], ["max"], ["motion-balanced"])):
        run(*common, "--output", tmp_path / f"{number}.jsonl", "--temporal-aggregator", *options)
        clips_seen = _audit(tmp_path)["clips"]
        assert (clips_seen["computed"], clips_seen["reused"]) == ((4, 0) if number == 0 else (0, 4))
        assert clips_seen["frames"] == (32 if number == 0 else 0)
    fresh = tmp_path / "fresh.jsonl"
    run(
        "--input",
        source,
        "--output",
        fresh,
        "--model",
        "frequency_tuned_v1",
        "--temporal-aggregator",
        "motion-balanced",
    )
    assert fresh.read_bytes() == (tmp_path / "3.jsonl").read_bytes()


def test_a_clip_is_counted_once_however_long_the_table(tmp_path: Path, clips: dict[str, Path]) -> None:
    clip = clips["bikes"]
    schema = pa.schema({"src": pa.string()})
    with pa.ipc.new_file(tmp_path / "in.arrow", schema) as writer:
        for _ in range(12):  # more batches than may be under way together
            writer.write_batch(pa.record_batch([[str(clip)] * 3], schema=schema))
    for counted in ({"computed": 1, "reused": 0}, {"computed": 0, "reused": 1}):
        run(
            *("--input", tmp_path / "in.arrow", "--output", tmp_path / "out.arrow", "--model", "frequency_tuned_v1"),
            *("--audit-json", tmp_path / "audit.json"),
        )
        assert _audit(tmp_path)["clips"].items() >= counted.items()


def test_a_changed_clip_is_computed_again(tmp_path: Path, clips: dict[str, Path]) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(clips["bikes"].read_bytes())
    source = write_rows(tmp_path / "in.jsonl", [{"src": "clip.mp4"}])
    options = (
        "--input",
        source,
        "--output",
        tmp_path / "out.jsonl",
        "--root",
        tmp_path,
        "--model",
        "frequency_tuned_v1",
    )
    run(*options)
    (before,) = read_rows(tmp_path / "out.jsonl")
    clip.write_bytes(clips["bigbuckbunny"].read_bytes())
    run(*options)
    (after,) = read_rows(tmp_path / "out.jsonl")
    assert before["saliency_mean"] != after["saliency_mean"]


@pytest.mark.parametrize(
    "options",
    [
        ["--sampling", "uniform"],
        ["--max-frames", "4"],
        ["--frame-samples", "3"],
        ["--color", "bt709"],
        ["--model-path", "saliency_student_v1.onnx"],
    ],
)
def test_a_changed_option_is_computed_again(
    tmp_path: Path, clips: dict[str, Path], models: Path, options: list[str]
) -> None:
    source = write_clips(tmp_path / "in.jsonl", [clips["carphone_pristine"]])
    common = ("--input", source, "--output", tmp_path / "out.jsonl", "--audit-json", tmp_path / "audit.json")
    run(*common, "--model", "frequency_tuned_v1")
    if options[0] == "--model-path":
        run(*common, "--model-path", models / options[1])
    else:
        run(*common, "--model", "frequency_tuned_v1", *options)
    assert _audit(tmp_path)["clips"]["computed"] == 1


def test_rows_of_one_clip_share_one_computation(tmp_path: Path, clips: dict[str, Path]) -> None:
    rows = [{"src": str(clips["bikes"]), "frame": number} for number in range(500)]
    rows += [{"src": os.path.relpath(clips["bikes"], tmp_path), "frame": 500}]
    source = write_rows(tmp_path / "in.jsonl", rows)
    run(
        *("--input", source, "--output", tmp_path / "out.jsonl", "--root", tmp_path, "--model", "frequency_tuned_v1"),
        *("--audit-json", tmp_path / "audit.json"),
    )
    assert _audit(tmp_path)["clips"] == {
        **{"computed": 1, "reused": 0, "failed": 0, "frames": 8},
        **{"transfer": {"sdr": 1, "pq": 0, "hlg": 0}, "bit_depth": {"8": 1}},
    }
    written = read_rows(tmp_path / "out.jsonl")
    assert [row["frame"] for row in written] == list(range(501))
    assert len({row["saliency_mean"] for row in written}) == 1
