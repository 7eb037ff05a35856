"""Whatever can change a number makes a clip be computed anew; what cannot, does not."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any

import onnx
import pyarrow as pa
import pytest
from onnx import helper
from tests.clips import Encode
from tests.small_models import saliency_model

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError, ProviderError
from saliency_engine.inference.session import open_session
from saliency_engine.models.entry import asset
from saliency_engine.models.load import load_model
from saliency_engine.pipeline.counts import Counts
from saliency_engine.pipeline.engine import Engine
from saliency_engine.pipeline.memo import Memo, memo_context
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, decode_spec


@pytest.fixture
def clip(tmp_path: Path, clips: dict[str, Path]) -> Path:
    return Path(shutil.copyfile(clips["bikes"], tmp_path / "clip.mp4"))


def run(folder: Path, **options: Any) -> tuple[Counts, dict[str, Any]]:
    """One row with ``clip.mp4``, under the memo that all runs of a test share."""
    options = {"model": "frequency_tuned_v1", "root": str(folder), "memo": str(folder / "memo.sqlite"), **options}
    with Engine(RunConfig(**options)) as engine:
        ((row,),) = [batch.to_pylist() for batch in engine.process([pa.record_batch({"src": ["clip.mp4"]})])]
        return engine.counts, row


def computed(folder: Path, **options: Any) -> bool:
    counts, row = run(folder, **options)
    assert row["saliency_status"] == "ok"
    assert counts.clips_computed + counts.clips_reused == 1
    return counts.clips_computed == 1


def exchange(clip: Path, other: Path) -> None:
    """Other contents of the same size, under the same name and time of change."""
    before = clip.stat()
    clip.write_bytes(other.read_bytes().ljust(before.st_size, b"\0"))
    assert clip.stat().st_size == before.st_size
    os.utime(clip, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_size_or_time_of_change_make_a_clip_another(tmp_path: Path, clip: Path) -> None:
    assert computed(tmp_path)
    assert not computed(tmp_path)
    before = clip.stat()
    clip.write_bytes(clip.read_bytes() + b"\0")
    os.utime(clip, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert computed(tmp_path)
    os.utime(clip, ns=(before.st_atime_ns, before.st_mtime_ns - 1))
    assert computed(tmp_path)


def test_only_contents_count_when_clips_are_verified(tmp_path: Path, clip: Path, clips: dict[str, Path]) -> None:
    clip.write_bytes(clip.read_bytes().ljust(1 << 20, b"\0"))
    _, first = run(tmp_path, verify_clips=True)
    os.utime(clip)
    assert not computed(tmp_path, verify_clips=True)
    assert computed(tmp_path)  # the other way to know a clip
    exchange(clip, clips["carphone_pristine"])
    assert not computed(tmp_path)  # size and time are the same: only the contents tell
    counts, second = run(tmp_path, verify_clips=True)
    assert counts.clips_computed == 1
    assert second["saliency_mean"] != first["saliency_mean"]


def test_another_model_under_the_same_name_is_another(tmp_path: Path, clip: Path) -> None:
    assert clip.exists()
    path = tmp_path / "model.onnx"
    path.write_bytes(asset("frequency_tuned_v1.onnx").read_bytes())
    status = path.stat()
    assert computed(tmp_path, model="", model_path=str(path), model_id="mine")
    model = onnx.load(path)
    model.doc_string += "."
    onnx.save(model, path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert computed(tmp_path, model="", model_path=str(path), model_id="mine")
    assert not computed(tmp_path, model="", model_path=str(path), model_id="mine")


# Options: new ones must be in the key, or be listed as changing nothing


CHANGE_NUMBERS = {
    "model_path": "other.onnx",
    "model_size": "64x48",
    "provider": "openvino",
    "precision": "bfloat16",
    "sampling": "uniform",
    "max_frames": 4,
    "frame_samples": 4,
    "color": "bt709",
    "hdr": "tonemap",
    "reuse": 0.004,
    "root": "elsewhere",
    "default_width": 48,
    "default_height": 16,
    "yuv_pixel_format": "yuv422p",
    "verify_clips": True,
    "accept_short": True,
}
CHANGE_NO_NUMBER = {
    # which model, by the bytes it has; what refuses a model or a clip
    "model",
    "model_id",
    "model_sha256",
    "require_verified",
    "allow_op",
    "max_pixels",
    "confine",
    "allow_remote",
    "remote_cache_gb",
    # computed from what the memo keeps; an entry that lacks what is asked for gains it
    "extra",
    "temporal_aggregator",
    "ema_alpha",
    # which rows and columns
    "path_column",
    "path_template",
    "path_regex",
    "path_suffix",
    "width_column",
    "height_column",
    "pix_fmt_column",
    "overwrite",
    "keep_others",
    "prefix",
    "mean_column",
    "var_column",
    "status_column",
    "model_id_column",
    "aggregator_column",
    "ema_alpha_column",
    "error_column",
    "sampling_column",
    # how fast
    "batch_size",
    "decode_workers",
    "threads",
    "clip_timeout",
    "memo",
    # not at all
    "ffmpeg_bin",
    "ffprobe_bin",
}


def test_every_option_is_known_to_change_numbers_or_not() -> None:
    options = {field.name for field in dataclasses.fields(RunConfig)}
    assert options == CHANGE_NUMBERS.keys() | CHANGE_NO_NUMBER


@pytest.mark.parametrize("name", CHANGE_NUMBERS)
def test_an_option_that_changes_numbers_changes_the_key(tmp_path: Path, encode: Encode, name: str) -> None:
    raw = encode("raw.yuv", size=(64, 32), frames=3)
    (tmp_path / "elsewhere").mkdir()
    for folder in (tmp_path, tmp_path / "elsewhere"):
        shutil.copyfile(raw, folder / "clip.yuv")
    save_model_of_any_size(tmp_path / "model.onnx", "")
    save_model_of_any_size(tmp_path / "other.onnx", "other")
    options: dict[str, Any] = {"model_path": str(tmp_path / "model.onnx"), "model_size": "64x64", "root": str(tmp_path)}
    options |= {"default_width": 64, "default_height": 32}
    other = options | {name: CHANGE_NUMBERS[name]}
    if name in {"model_path", "root"}:
        other[name] = str(tmp_path / str(CHANGE_NUMBERS[name]))
    if name == "precision":
        options["provider"] = other["provider"] = "openvino"
    assert key(options) != key(other)


def save_model_of_any_size(path: Path, doc: str) -> None:
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["gray"], axes=[1], keepdims=1),
        helper.make_node("Sigmoid", ["gray"], ["saliency_map"]),
    ]
    model = saliency_model(*nodes, frames=(1, 3, "height", "width"), maps=(1, 1, "height", "width"))
    model.doc_string = doc
    onnx.save(model, path)


def key(options: dict[str, Any]) -> bytes:
    """The memo's key of ``clip.yuv`` under these options."""
    config = RunConfig(**options)
    model = load_model(config)
    try:
        session = open_session(model, config)
    except ProviderError as error:
        pytest.skip(str(error))
    memo = Memo(None, memo_context(model.sha256, session.provider, decode_spec(config, session.width, session.height)))
    try:
        return memo.key(Locator(config).locate(ClipReference("clip.yuv")))
    except ClipError as error:
        pytest.fail(str(error))
    finally:
        memo.close()
        session.close()
