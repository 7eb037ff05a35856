"""Every option of a run in one place: its name, default, help and check.

The command line, the TOML file and the Python API are all made from the dataclass fields below, so an option has one
name (underscores here, hyphens on the command line) and one meaning everywhere.
"""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from saliency_engine.errors import ConfigError
from saliency_engine.extras import EXTRA_ROLES, EXTRAS, extra_columns
from saliency_engine.options import check_values, describe_unknown, normalize_names, option, take_values
from saliency_engine.path_template import PathTemplate
from saliency_engine.table_job import TableJob

Auto = Literal["auto"]
AGGREGATORS = ("mean", "ema", "max", "motion-weighted", "motion-balanced")
BUILT_IN_MODEL = "saliency_open_v1"
MEMO_NAME = "saliency.memo.sqlite"  # in the folder of the output
NUMBER_ROLES = ("mean", "var", "ema_alpha", *EXTRA_ROLES)
"""Roles of the output columns that hold numbers; the others hold text."""
MAX_PIXELS = 8192 * 8192  # an 8K frame has half as many
_PRECISIONS = ("float32", "bfloat16")
_PROVIDERS = ("cpu", "openvino", "cuda", "tensorrt", "auto")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How clips are read, modelled and tagged. Raises ``ConfigError`` when an option is of the wrong type or range."""

    # model
    model: str = option("", f"Id of a registered model, or an ONNX file; default: {BUILT_IN_MODEL}, built in.")
    model_path: str = option("", "ONNX file with the saliency model, in place of --model.")
    model_id: str = option("", "Model id for the rows; default: the registered one, that inside the file, its name.")
    model_sha256: str = option("", "Refuse the model unless its bytes have this sha256 (64 hex digits).")
    require_verified: bool = option(False, "Refuse the model unless a registry entry or --model-sha256 has its hash.")
    allow_op: tuple[str, ...] = option((), "Allow this ONNX operator besides the usual ones. May be given again.")
    model_size: str = option("320x320", "Input size WIDTHxHEIGHT in pixels, for models that take any size.")
    provider: str = option("cpu", "What runs the model; auto: first of cuda, openvino, cpu that starts.", _PROVIDERS)
    precision: str = option("float32", "bfloat16 is faster; openvino and some processors have it.", _PRECISIONS)
    # sampling and aggregation
    sampling: str = option(
        "head",
        "head: frames from the clip's start; uniform: from all of it; keyframes: only keyframes, from all of it.",
        ("head", "uniform", "keyframes"),
    )
    max_frames: int = option(8, "For head sampling: decode no more frames than this.", low=1)
    frame_samples: int = option(8, "Give the model this many frames of each clip.", low=1)
    accept_short: bool = option(False, "Use the frames there are of clips that are cut off or too short.")
    color: str = option("auto", "auto: follow the stream's colour tags; bt709: ignore them.", ("auto", "bt709"))
    hdr: str = option("plain", "plain: take PQ and HLG as they are; tonemap: map them to SDR.", ("plain", "tonemap"))
    reuse: float = option(0.0, "Run the model again only once the luma has moved by this; 0: on every frame.")
    temporal_aggregator: str = option("mean", "How the frames' maps become one; ema:0.3: with alpha.", AGGREGATORS)
    ema_alpha: float = option(0.6, "For ema: weight of the newest frame, above 0 and at most 1.")
    # what rows say
    path_column: str = option("src", "Input column with the clip's path.")
    path_template: str = option(
        "", "Make the path from any columns, as in clips/{name}.mp4; in place of --path-column."
    )
    path_regex: tuple[str, ...] = option((), "COLUMN=EXPR: use what EXPR's first group matches. May be given again.")
    path_suffix: tuple[str, ...] = option((), "Append this, such as .mp4; may be given again: the first file there is.")
    width_column: str = option("width", "Input column with the width of raw video, in pixels.")
    height_column: str = option("height", "Input column with the height of raw video, in pixels.")
    pix_fmt_column: str = option("pix_fmt", "Input column with the pixel format of raw video.")
    root: str = option("", "Folder that relative paths start from; default: the current one.")
    allow_remote: bool = option(False, "Read what is named by s3://, gs:// and https:// URLs.")
    remote_cache_gb: float = option(10.0, "Let the cache of fetched clips grow to this size, in 10^9 bytes.", low=0.001)
    confine: bool = option(False, "Refuse clips outside --root, also those that a link inside it leads to.")
    default_width: int = option(0, "Width of raw video whose row gives none; 0: no default.", low=0)
    default_height: int = option(0, "Height of raw video whose row gives none; 0: no default.", low=0)
    yuv_pixel_format: str = option(
        "", "Pixel format of .yuv files whose row gives none; default: what their names say."
    )
    overwrite: bool = option(False, "Recompute rows that already have a finite mean and variance.")
    keep_others: bool = option(False, "Let rows keep numbers of other settings beside new ones, and count them.")
    # what rows gain
    extra: tuple[str, ...] = option((), "Also write these columns. May be given again.", tuple(EXTRAS))
    prefix: str = option("saliency_", "Begin the names of all output columns with this: for v1_, v1_mean and so on.")
    mean_column: str = option("saliency_mean", "Output column for the mean; empty: no such column.")
    var_column: str = option("saliency_var", "Output column for the variance; empty: no such column.")
    status_column: str = option("saliency_status", "Output column for the status; empty: no such column.")
    model_id_column: str = option("saliency_model_id", "Output column for the model id; empty: no such column.")
    aggregator_column: str = option("saliency_aggregator", "Output column for the aggregator; empty: no such column.")
    ema_alpha_column: str = option("saliency_ema_alpha", "Output column for --ema-alpha; empty: no such column.")
    sampling_column: str = option("saliency_sampling", "Output column for frames, size and the like; empty: none.")
    error_column: str = option("saliency_error", "Output column for why a row failed; empty: no such column.")
    # machine
    batch_size: int = option(8, "Hand this many frames to the model at a time, from one clip or several.", low=1)
    decode_workers: int | Auto = option("auto", "Processes that decode clips; auto: one per core.", low=1)
    threads: int | Auto = option("auto", "Threads of the model on the CPU; auto: one per core.", low=1)
    max_pixels: int = option(MAX_PIXELS, "Refuse clips whose frames have more pixels than this.", low=1)
    clip_timeout: float = option(60.0, "Give a clip up after so many seconds of work, pauses not counted.", low=0.1)
    verify_clips: bool = option(False, "Recognise clips by contents (read whole), not by size and time of change.")
    memo: str = option("", f"File that remembers finished clips; default: {MEMO_NAME} beside the output; off: none.")
    # of other materializers
    ffmpeg_bin: str = option("", "Not used: no program is needed to decode. Taken because scripts may give it.")
    ffprobe_bin: str = option("", "Not used, as --ffmpeg-bin.")

    def __post_init__(self) -> None:
        take_values(self)
        check_values(self)
        if self.model and self.model_path:
            raise ConfigError("--model and --model-path are both given: give the one that is meant")
        if not 0.0 < self.ema_alpha <= 1.0:  # also refuses NaN
            raise ConfigError(f"--ema-alpha is {self.ema_alpha}: give a number above 0 and at most 1")
        if not 0.0 <= self.reuse < 1.0:
            raise ConfigError(
                f"--reuse is {self.reuse}: give a number from 0, for no reuse, to less than 1, such as 0.004"
            )
        if self.model_sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", self.model_sha256):
            raise ConfigError(f"--model-sha256 is {self.model_sha256!r}: give all 64 hex digits")
        if not re.fullmatch(r"[1-9]\d{0,4}x[1-9]\d{0,4}", self.model_size):
            raise ConfigError(f"--model-size is {self.model_size!r}: write it as WIDTHxHEIGHT, such as 320x320")
        for role, name in self.output_columns.items():
            if name == f"saliency_{role}" and role not in EXTRA_ROLES:  # not named by an option of its own
                object.__setattr__(self, f"{role}_column", self.prefix + role)
        if self.hdr == "tonemap" and self.color == "bt709":
            raise ConfigError("--hdr tonemap goes by the tags that --color bt709 ignores: give one of the two")
        self._check_columns()

    def _check_columns(self) -> None:
        if not self.path_column:
            raise ConfigError("--path-column is empty: name the input column with the clip's path")
        outputs = [name for name in self.output_columns.values() if name]
        if twice := sorted({name for name in outputs if outputs.count(name) > 1}):
            raise ConfigError(f"two output columns are named {', '.join(map(repr, twice))}: rename one")
        paths = self.clip_template.columns if self.clip_template else (self.path_column,)
        inputs = {*paths, self.width_column, self.height_column, self.pix_fmt_column}
        if taken := sorted(inputs.intersection(outputs)):
            names = ", ".join(map(repr, taken))
            raise ConfigError(f"an output column would overwrite the input column {names}: rename the output column")

    @property
    def model_name(self) -> str:
        """The id of the registered model to run; empty where ``model_path`` gives a file."""
        return "" if self.model_path else self.model or self.model_id or BUILT_IN_MODEL

    @property
    def model_width_height(self) -> tuple[int, int]:
        """``model_size`` as (width, height) in pixels."""
        width, height = self.model_size.split("x")
        return int(width), int(height)

    @property
    def clip_template(self) -> PathTemplate | None:
        """What the clips' paths are made from; ``None`` where a column holds them as they are."""
        if not (self.path_template or self.path_regex):
            return None
        return PathTemplate(self.path_template, self.path_regex, self.path_column)

    @property
    def output_columns(self) -> dict[str, str]:
        """Role to column name, in output order; an empty name leaves the column out."""
        return {
            "mean": self.mean_column,
            "var": self.var_column,
            "status": self.status_column,
            "model_id": self.model_id_column,
            "aggregator": self.aggregator_column,
            "ema_alpha": self.ema_alpha_column,
            "sampling": self.sampling_column,
            "error": self.error_column,
            **extra_columns(self.extra, self.prefix),
        }

    @property
    def confined_to(self) -> str:
        """The folder that every clip must be in, absolute and with links resolved; empty without ``--confine``."""
        return os.path.realpath(self.root) if self.confine else ""


OPTIONS = {option.name: option for kind in (TableJob, RunConfig) for option in dataclasses.fields(kind)}
"""Every option of ``saliency-batch run`` by its name, table options first."""


def load_options(path: str | Path) -> dict[str, Any]:
    """Options from a TOML file, whose keys are their long names with underscores or hyphens.

    Raises ``ConfigError`` with the file's name when it cannot be read, is not TOML, or has an unknown key.
    """
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))  # with or without a byte order mark
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"the options file {path} cannot be read: it is not UTF-8 ({error}); save it as UTF-8"
        ) from error
    except (OSError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(f"the options file {path} cannot be read: {error}") from error
    return normalize_names(table, str(path), OPTIONS)


def run_config(options: Mapping[str, Any]) -> RunConfig:
    """The configuration with these ``options``; raises ``ConfigError`` as it does, and for names that it lacks."""
    known = [field.name for field in dataclasses.fields(RunConfig)]
    for name in options:
        if name not in known:
            raise ConfigError(describe_unknown(name, known))
    return RunConfig(**options)


def split_options(options: Mapping[str, Any]) -> tuple[TableJob, RunConfig]:
    """Build both configs from one flat mapping; raises ``ConfigError`` as they do."""
    job = {option.name: options[option.name] for option in dataclasses.fields(TableJob) if option.name in options}
    run = {name: value for name, value in options.items() if name not in job}
    return TableJob(**job), RunConfig(**run)
