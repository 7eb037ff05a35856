"""Every option of a run: names, defaults, help and checks, in one place.

The command line, the TOML file and the Python API are all made from the dataclass fields below, so an option
has one name (underscores here, hyphens on the command line) and one meaning everywhere.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from saliency_engine.errors import ConfigError

Auto = Literal["auto"]
AGGREGATORS = ("mean", "ema", "max", "motion-weighted", "motion-balanced")
BUILT_IN_MODEL = "frequency_tuned_v1"
NUMBER_ROLES = ("mean", "var", "ema_alpha")
"""Roles of the output columns that hold numbers; the others hold text."""
MAX_PIXELS = 8192 * 8192  # an 8K frame has half as many
_PROVIDERS = ("cpu", "openvino", "cuda", "tensorrt", "auto")


def _option(default: Any, help: str, choices: tuple[str, ...] = (), low: float | None = None) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices, "low": low})


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How clips are read, modelled and tagged. Raises ``ConfigError`` when an option is out of range."""

    # model
    model: str = _option("", f"Registered model by id, e.g. {BUILT_IN_MODEL} (built in).")
    model_path: str = _option("", "Saliency model as an ONNX file.")
    model_id: str = _option("", "Id written into the rows; empty: the registered id, or the ONNX file's stem.")
    model_sha256: str = _option("", "Refuse the model unless its bytes have this sha256 (64 hex digits).")
    require_verified: bool = _option(False, "Refuse a model that neither registry nor --model-sha256 vouches for.")
    allow_op: tuple[str, ...] = _option((), "Operator the graph may use beyond the usual ones. May be given again.")
    model_size: str = _option("320x320", "Input size WxH for graphs whose height and width are free.")
    provider: str = _option("cpu", "What runs the model; auto: cuda, openvino or cpu.", _PROVIDERS)
    precision: str = _option(
        "float32", "bfloat16: faster, on processors that have it; openvino only.", ("float32", "bfloat16")
    )
    # sampling and aggregation
    sampling: str = _option("head", "head: from the first frames; uniform: over the clip.", ("head", "uniform"))
    max_frames: int = _option(8, "Decode at most this many frames from the start (head sampling).", low=1)
    frame_samples: int = _option(8, "Frames given to the model per clip.", low=1)
    accept_short: bool = _option(False, "Take clips that are cut off or have too few frames as far as they go.")
    color: str = _option("auto", "auto: honour the stream's tags; bt709: ignore them.", ("auto", "bt709"))
    temporal_aggregator: str = _option("mean", "How the frames' maps become one.", AGGREGATORS)
    ema_alpha: float = _option(0.6, "Weight of the newest frame for ema, in (0, 1].")
    # what rows say
    path_column: str = _option("src", "Input column with the clip's path.")
    width_column: str = _option("width", "Input column with the coded width (raw video).")
    height_column: str = _option("height", "Input column with the coded height (raw video).")
    pix_fmt_column: str = _option("pix_fmt", "Input column with the pixel format (raw video).")
    root: str = _option("", "Folder that relative paths start from; empty: the current one.")
    confine: bool = _option(False, "Refuse clips outside --root, also those that links inside lead to.")
    default_width: int = _option(0, "Width of raw video where the row has none; 0: none.", low=0)
    default_height: int = _option(0, "Height of raw video where the row has none; 0: none.", low=0)
    yuv_pixel_format: str = _option("yuv420p", "Pixel format of raw .yuv where the row has none.")
    overwrite: bool = _option(False, "Recompute rows that already have a finite mean and variance.")
    # what rows gain
    mean_column: str = _option("saliency_mean", "Output column for the mean; empty leaves it out.")
    var_column: str = _option("saliency_var", "Output column for the variance; empty leaves it out.")
    status_column: str = _option("saliency_status", "Output column for the status; empty leaves it out.")
    model_id_column: str = _option("saliency_model_id", "Output column for the model id; empty leaves it out.")
    aggregator_column: str = _option("saliency_aggregator", "Output column for the aggregator; empty: none.")
    ema_alpha_column: str = _option("saliency_ema_alpha", "Output column for the alpha; empty leaves it out.")
    error_column: str = _option("saliency_error", "Output column for a failure's reason; empty leaves it out.")
    sampling_column: str = _option("", "Output column for the sampling, e.g. saliency_sampling; off by default.")
    # machine
    batch_size: int = _option(8, "Frames per model run, filled across clips.", low=1)
    decode_workers: int | Auto = _option("auto", "Decoding processes.", low=1)
    threads: int | Auto = _option("auto", "Threads of the model on the CPU.", low=1)
    max_pixels: int = _option(MAX_PIXELS, "Refuse clips whose frames have more pixels than this.", low=1)
    clip_timeout: float = _option(60.0, "Seconds a clip may take to decode before its worker is killed.", low=0.1)
    verify_clips: bool = _option(False, "Know a clip by its contents, not its time of change; reads every clip whole.")
    memo: str = _option("", "File that keeps finished clips; empty: OUTPUT.memo.sqlite; off: none.")

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            _check(option, getattr(self, option.name))
        if bool(self.model) == bool(self.model_path):
            raise ConfigError(
                f"give exactly one of --model and --model-path (to try the tool: --model {BUILT_IN_MODEL})"
            )
        if not 0.0 < self.ema_alpha <= 1.0:  # also refuses NaN
            raise ConfigError(f"--ema-alpha {self.ema_alpha}: must be greater than 0 and at most 1")
        if not self.path_column:
            raise ConfigError("--path-column is empty: without it no row names a clip")
        if self.model_sha256 and not re.fullmatch(r"[0-9a-fA-F]{64}", self.model_sha256):
            raise ConfigError(f"--model-sha256 {self.model_sha256!r}: a sha256 has 64 hex digits")
        self.model_width_height  # noqa: B018  checked here so that a bad size fails before any work
        names = [name for name in self.output_columns.values() if name]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigError(f"two output columns are both named {', '.join(map(repr, twice))}")
        inputs = {self.path_column, self.width_column, self.height_column, self.pix_fmt_column}
        if taken := sorted(inputs.intersection(names)):
            raise ConfigError(f"an output column would overwrite the input column {', '.join(map(repr, taken))}")

    @property
    def model_width_height(self) -> tuple[int, int]:
        """``--model-size`` as (width, height) in pixels."""
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.model_size)
        if match is None:
            raise ConfigError(f"--model-size {self.model_size!r}: write it as WIDTHxHEIGHT, e.g. 320x320")
        return int(match[1]), int(match[2])

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
            "error": self.error_column,
            "sampling": self.sampling_column,
        }

    @property
    def confined_to(self) -> str:
        """The folder that every clip must be in, absolute and with links resolved; empty without ``--confine``."""
        return os.path.realpath(self.root) if self.confine else ""


@dataclass(frozen=True, kw_only=True)
class TableJob:
    """One table of a run: where it comes from and where it goes. ``-`` is stdin or stdout."""

    input: str = _option("", "Table to read: .jsonl .ndjson (.gz .zst) .parquet .pq .arrow .feather, or -.")
    output: str = _option("", "Table to write, same suffixes, or -.")
    output_format: str = _option("auto", "Format of --output -; auto: as the input.", ("auto", "jsonl", "arrow"))
    audit_json: str = _option("", "Write the audit (options, counts, provenance) to this file.")
    rejects: str = _option("", "File for JSON lines that are no rows; empty: OUTPUT.rejects.jsonl.")
    quiet: bool = _option(False, "No progress and no summary on stderr.")

    def __post_init__(self) -> None:
        for option in dataclasses.fields(self):
            _check(option, getattr(self, option.name))
        for name in ("input", "output"):
            if not getattr(self, name):
                raise ConfigError(f"--{name} is missing")
        for name in ("input", "output", "audit_json"):
            path = getattr(self, name)
            if path and self.rejects_path and os.path.realpath(path) == os.path.realpath(self.rejects_path):
                flag = "--" + name.replace("_", "-")
                raise ConfigError(f"{flag} {path} is the file for rejected lines: give --rejects another one")

    @property
    def rejects_path(self) -> str:
        """Where JSON lines go that are no rows; empty (a pipe without ``--rejects``): the first one stops the run."""
        return self.rejects or ("" if self.output == "-" else f"{self.output}.rejects.jsonl")


def _check(option: dataclasses.Field[Any], value: Any) -> None:
    flag = "--" + option.name.replace("_", "-")
    choices, low = option.metadata["choices"], option.metadata["low"]
    if option.default == "auto" and not choices and value == "auto":
        return
    if isinstance(option.default, tuple):
        if not isinstance(value, tuple | list) or not all(isinstance(item, str) for item in value):
            raise ConfigError(f"{flag} {value!r}: must be a list of texts")
        return
    kind = int if option.default == "auto" and not choices else type(option.default)
    number = kind is float and isinstance(value, int)
    if not (isinstance(value, kind) or number) or (kind is not bool and isinstance(value, bool)):
        raise ConfigError(f"{flag} {value!r}: must be {_KINDS[kind]}")
    if kind is str and not _is_text(value, is_path=option.name in _PATHS):
        raise ConfigError(f"{flag} {value!r}: must be text in UTF-8, without NUL")
    if choices and value not in choices:
        raise ConfigError(f"{flag} {value!r}: must be one of {', '.join(choices)}")
    if low is not None and not value >= low:
        raise ConfigError(f"{flag} {value!r}: must be at least {low:g}")
    high = _MOST if kind is int else _MOST_SECONDS
    if kind in (int, float) and value > high:
        raise ConfigError(f"{flag} {value!r}: must be at most {high}")


def _is_text(value: str, *, is_path: bool) -> bool:
    """File names need not be UTF-8; Python has their other bytes as lone surrogates."""
    try:
        value.encode("utf-8", "surrogateescape" if is_path else "strict")
    except UnicodeEncodeError:
        return False
    return "\0" not in value


_PATHS = frozenset({"input", "output", "audit_json", "rejects", "model_path", "root", "memo"})
_MOST = 2**31 - 1  # what the libraries below take
_MOST_SECONDS = 24 * 60 * 60
_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def load_options(path: str | Path) -> dict[str, Any]:
    """Options from a TOML file, by their long names with underscores or hyphens.

    Raises ``ConfigError`` naming the file when it is unreadable, is not TOML, or has an unknown key.
    """
    try:
        with Path(path).open("rb") as file:
            table = tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from error
    options: dict[str, Any] = {}
    for key, value in table.items():
        value = tuple(value) if isinstance(value, list) else value  # noqa: PLW2901
        if options.setdefault(key.replace("-", "_"), value) is not value:
            raise ConfigError(f"{path}: {key!r} is given twice, with hyphens and with underscores")
    known = option_names()
    for key in options:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"{path}: unknown option {key!r}{hint}")
    return options


def option_names() -> tuple[str, ...]:
    """Every option of ``saliency-batch run``, table options first."""
    return tuple(option.name for kind in (TableJob, RunConfig) for option in dataclasses.fields(kind))


def split_options(options: Mapping[str, Any]) -> tuple[TableJob, RunConfig]:
    """Build both configs from one flat mapping; raises ``ConfigError`` as they do."""
    job_names = {option.name for option in dataclasses.fields(TableJob)}
    job = {key: value for key, value in options.items() if key in job_names}
    run = {key: value for key, value in options.items() if key not in job_names}
    return TableJob(**job), RunConfig(**run)
