"""Options: one definition, and errors that name the option."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import pytest

from saliency_engine.config import OPTIONS, RunConfig, load_options, split_options
from saliency_engine.errors import ConfigError
from saliency_engine.table_job import TableJob

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))

# The fork's option names, which its users have in their scripts.
FORK = (
    "input",
    "output",
    "audit_json",
    "path_column",
    "width_column",
    "height_column",
    "root",
    "model_path",
    "model_id",
    "max_frames",
    "frame_samples",
    "temporal_aggregator",
    "ema_alpha",
    "overwrite",
    "status_column",
    "model_id_column",
    "aggregator_column",
    "ema_alpha_column",
    "default_width",
    "default_height",
    "ffmpeg_bin",
    "ffprobe_bin",
)


def test_the_forks_options_are_all_there() -> None:
    assert set(FORK) <= OPTIONS.keys()


def test_the_forks_defaults_are_ours() -> None:
    config = RunConfig()
    assert (config.max_frames, config.frame_samples, config.temporal_aggregator, config.ema_alpha) == (
        8,
        8,
        "mean",
        0.6,
    )
    assert (config.path_column, config.width_column, config.height_column) == ("src", "width", "height")
    assert config.sampling == "head"


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ({"max_frames": 0}, "--max-frames is 0: give a whole number from 1 to 2147483647"),
        ({"max_frames": "8"}, "--max-frames is '8': give a whole number"),
        ({"max_frames": True}, "--max-frames is True: give a whole number"),
        ({"max_frames": 2**31}, "--max-frames is 2147483648: give a whole number from 1 to 2147483647"),
        ({"threads": 10**30}, "--threads is 1000"),
        ({"clip_timeout": float("inf")}, "--clip-timeout is inf: give a number from 0.1 to 86400"),
        ({"model_id": "a\udcff"}, "--model-id is .*: give text in UTF-8"),
        ({"root": "a\0"}, "--root is .*without NUL"),
        ({"ema_alpha": 0.0}, "--ema-alpha"),
        ({"ema_alpha": 1.5}, "--ema-alpha"),
        ({"ema_alpha": float("nan")}, "--ema-alpha"),
        ({"reuse": 1.0}, "--reuse is 1.0: give a number from 0, for no reuse, to less than 1, such as 0.004"),
        ({"reuse": -0.1}, "--reuse is -0.1"),
        ({"reuse": float("nan")}, "--reuse is nan"),
        ({"reuse": "0.004"}, "--reuse is '0.004': give a number"),
        ({"temporal_aggregator": "median"}, "give one of mean, ema, max"),
        ({"hdr": "hable"}, "--hdr is 'hable': give one of plain, tonemap"),
        ({"hdr": "tonemap", "color": "bt709"}, "--hdr tonemap goes by the tags that --color bt709 ignores"),
        ({"model_size": "320"}, "WIDTHxHEIGHT"),
        ({"model_size": "0x320"}, "WIDTHxHEIGHT"),
        ({"path_column": ""}, "--path-column is empty"),
        ({"var_column": "saliency_mean"}, "two output columns are named 'saliency_mean': rename one"),
        ({"error_column": "src"}, "would overwrite the input column 'src'"),
        ({"threads": 0}, "--threads is 0: give a whole number from 1 to 2147483647 or auto"),
        ({"threads": "many"}, "--threads is 'many'"),
        ({"overwrite": "yes"}, "give true or false"),
        ({"model": "a", "model_path": "b"}, "--model and --model-path are both given"),
    ],
)
def test_a_bad_option_is_named(option: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        RunConfig(**{"model": "frequency_tuned_v1", **option})


def test_a_whole_number_is_a_number() -> None:
    assert RunConfig(model="m", ema_alpha=1).ema_alpha == 1


def test_input_and_output_are_needed() -> None:
    with pytest.raises(ConfigError, match="--output is missing"):
        TableJob(input="a.jsonl")


def test_hyphens_and_underscores_are_the_same_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('max-frames = 3\nmodel_path = "m.onnx"\n')
    assert load_options(tmp_path / "a.toml") == {"max_frames": 3, "model_path": "m.onnx"}


@pytest.mark.parametrize("mark", [codecs.BOM_UTF8, b""])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_what_editors_put_into_a_file_is_passed_over(tmp_path: Path, mark: bytes, end: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(mark + b"max-frames = 3" + end + "root = 'é'".encode() + end)
    assert load_options(tmp_path / "a.toml") == {"max_frames": 3, "root": "é"}


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "latin-1"])
def test_a_file_in_another_encoding_is_told(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.toml").write_text("root = 'é'\n", encoding=encoding)
    with pytest.raises(ConfigError, match=r"a\.toml cannot be read: .*(save it as UTF-8|Invalid)"):
        load_options(tmp_path / "a.toml")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("max-frame = 3", "unknown option 'max_frame'; did you mean 'max_frames'"),
        ("max-frames = ", "a.toml cannot be read: "),
        ("max-frames = 3\nmax_frames = 4", "twice"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        load_options(tmp_path / "a.toml")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match=r"no\.toml"):
        load_options("no.toml")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_examples_are_valid(path: Path) -> None:
    job, config = split_options({**load_options(path), "input": "a.jsonl", "output": "b.jsonl"})
    assert (job.input, job.output) == ("a.jsonl", "b.jsonl")
    assert config.model or config.model_path


def test_every_option_has_help() -> None:
    assert all(len(option.metadata["help"]) > 10 for option in OPTIONS.values())


def test_a_file_may_be_named_as_a_model() -> None:
    assert (RunConfig(model="a/b.ONNX").model_path, RunConfig(model="b.onnx").model) == ("a/b.ONNX", "")
    assert RunConfig(model=Path("a") / "b.onnx").model_path == "a/b.onnx"  # type: ignore[arg-type]
    config = RunConfig(temporal_aggregator="ema:0.3")
    assert (config.temporal_aggregator, config.ema_alpha) == ("ema", 0.3)
    with pytest.raises(ConfigError, match="--model and --model-path are both given"):
        RunConfig(model="b.onnx", model_path="c.onnx")
