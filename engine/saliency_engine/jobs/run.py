"""``saliency-batch run``: one table, for one model and aggregator or for several."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from saliency_engine.config import MEMO_NAME, RunConfig
from saliency_engine.errors import ConfigError
from saliency_engine.extras import EXTRA_ROLES
from saliency_engine.jobs.points import fill, has_placeholder, name_in_files, name_of
from saliency_engine.jobs.table import Point, process_table
from saliency_engine.models.load import Model, load_model
from saliency_engine.numerics.kernels import load_numba
from saliency_engine.options import flag_of
from saliency_engine.pipeline.engine import Engine
from saliency_engine.report.notes import warn_of
from saliency_engine.storage.overwrite import OF_SQLITE, Files
from saliency_engine.table_job import TableJob
from saliency_engine.tables.share import parse_shard


def run_table(job: TableJob, config: RunConfig, config_file: str = "") -> dict[str, Any]:
    """Process one table; returns the audit (see ``audit_of``). ``config_file`` is where options were read from.

    The audit is written to ``job.audit_json`` where that is given, with the run's provenance. The output appears whole
    or not at all, and so does the file of lines that are no rows. Raises ``SaliencyError``; a clip that fails is no
    error but a row with its status.
    """
    (audit,) = run_sweep(job, [config], config_file)
    return audit


def run_sweep(job: TableJob, configs: Sequence[RunConfig], config_file: str = "") -> list[dict[str, Any]]:
    """``run_table`` for each of ``configs``, which ``expand`` gives; returns the audit of each output.

    Where ``job.output`` has a placeholder, each point has an output of its own; else there is one, with columns for
    each. A clip is decoded once for all models of one input size. With ``job.shard`` there is no output: only its share
    of the clips is computed, into the memo, and the audit is of that.
    """
    if job.shard:
        _check_shard(job, configs[0])
    files = Files()
    files.reads("--config", config_file)
    for config in configs:
        list_reads(files, job, config)
    if not has_placeholder(job.output):
        list_writes(files, job, dataclasses.replace(configs[0], memo=memo_path(job, configs[0])))
    points = list(_make_points(job, configs, files))
    if has_placeholder(job.output):
        _refuse_shared_files(job, points)
        for point in points:
            list_writes(files, point.job, point.config)
    else:
        _refuse_shared_columns(configs, points)
    models = list({point.model.sha256: point.model for point in points if point.model}.values())

    def start() -> Engine:
        load_numba()
        return Engine(points[0].config, models[0], others=models[1:])

    return process_table(points, files, start)


def _check_shard(job: TableJob, config: RunConfig) -> None:
    """Raise ``ConfigError`` where ``job.shard`` is none, where no memo is named, or where more is to be written."""
    parse_shard(job.shard)
    for name in ("output", "rejects", "series", "maps"):
        if getattr(job, name):
            raise ConfigError(
                f"{flag_of(name)} {getattr(job, name)}: --shard {job.shard} writes nothing but the memo. Leave it out "
                "here, and give it to the run after memo merge, which writes the table"
            )
    if config.memo in {"", "off"}:
        raise ConfigError(f"--shard {job.shard} writes nothing but the memo: name its file with --memo")


def _make_points(job: TableJob, configs: Sequence[RunConfig], files: Files) -> Iterator[Point]:
    """The points with their models, and with what these are called in the names of files and columns."""
    models: dict[str, Model] = {}
    memo = ""
    for config in configs:
        named = config.model or config.model_path
        if named not in models:
            model = load(config, files)
            _refuse_alike(models, named, model)
            models[named] = model
        model = models[named]
        paths: dict[str, Any] = {
            name: fill(getattr(job, name), model.model_id, config) for name in ("output", "audit_json", "rejects")
        }
        columns: dict[str, Any] = {
            f"{role}_column": fill(name, model.model_id, config)
            for role, name in config.output_columns.items()
            if role not in EXTRA_ROLES  # whose columns follow the prefix
        }
        point_job = dataclasses.replace(job, **paths)
        memo = memo or memo_path(point_job, config)
        prefix = fill(config.prefix, model.model_id, config)
        config = dataclasses.replace(config, model=config.model_name, memo=memo, prefix=prefix, **columns)  # noqa: PLW2901
        yield Point(point_job, config, model)


def _refuse_alike(models: Mapping[str, Model], named: str, model: Model) -> None:
    """Raise ``ConfigError`` where ``model`` is one of ``models``, or would be called as one in columns and files."""
    for other_named, other in models.items():
        if other.sha256 == model.sha256:
            raise ConfigError(f"--model {other_named} and {named} are the same model")
        if name_in_files(other.model_id) == name_in_files(model.model_id):
            raise ConfigError(
                f"--model {other_named} has the id {other.model_id} and {named} the id {model.model_id}, so that one "
                "would overwrite the other's numbers: rename the file where the id is its name, else run the models "
                "one by one, with --model-id and --prefix"
            )


def _refuse_shared_columns(configs: Sequence[RunConfig], points: Sequence[Point]) -> None:
    """Raise ``ConfigError`` where two ``points``, whose options are ``configs``, would write one column."""
    owners: dict[str, Point] = {}
    for config, point in zip(configs, points, strict=True):
        for role, name in point.config.output_columns.items():
            other = owners.setdefault(name, point)
            if name and other is not point:
                template = config.output_columns[role]
                given = f"--{role.replace('_', '-')}-column {template}"
                raise ConfigError(
                    f"{f'--prefix {config.prefix}' if template == config.prefix + role else given} gives one column, "
                    f"{name}, to {_describe(other)} and {_describe(point)}: name it with {{model_id}} and "
                    "{aggregator}, or leave it out"
                )


def _refuse_shared_files(job: TableJob, points: Sequence[Point]) -> None:
    """Raise ``ConfigError`` where two points would write one file."""
    for option in ("output", "audit_json"):
        template = getattr(job, option)
        owners: dict[str, Point] = {}
        for point in points if template else ():
            other = owners.setdefault(getattr(point.job, option), point)
            if other is not point:
                both = f"{_describe(other)} and {_describe(point)}"
                raise ConfigError(
                    f"--{option.replace('_', '-')} {template} is one file for {both}: "
                    "name it with {model_id} and {aggregator}"
                )


def _describe(point: Point) -> str:
    return f"{point.model.model_id if point.model else ''} {name_of(point.config)}".strip()


def load(config: RunConfig, files: Files) -> Model:
    """The model that ``config`` names, with warnings where there is something to be warned of."""
    model = load_model(config)
    files.reads("--model", *model.files)
    warn_of(model)
    return model


def list_reads(files: Files, job: TableJob, config: RunConfig, whose: str = "") -> None:
    """Note the files that a table reads. ``whose`` follows each option in messages, as in ``--input of table 'b'``."""
    files.reads(f"--input{whose}", *job.inputs)
    files.reads(f"--model-path{whose}", config.model_path)


def list_writes(files: Files, job: TableJob, config: RunConfig, whose: str = "") -> None:
    """Note the files that a table writes; raises ``ConfigError`` where one would be written over another."""
    files.writes(f"--output{whose}", job.output, may_replace=f"--input{whose}")
    files.writes(f"--audit-json{whose}", job.audit_json, holds=".json")
    files.writes(f"--rejects{whose}", job.rejects_path)
    files.writes(f"--series{whose}", job.series)
    if config.memo != "off":
        files.writes("--memo", config.memo, OF_SQLITE, holds=".sqlite")


def memo_path(job: TableJob, config: RunConfig) -> str:
    """The memo in force: the file that ``--memo`` names, else the one of the output's folder; a pipe has none.

    Where an output has one of its own, as earlier versions made, that goes on being used.
    """
    if config.memo:
        return config.memo
    if job.output == "-":
        return "off"
    own = Path(f"{job.output}.memo.sqlite")
    return str(own if own.is_file() else Path(job.output).parent / MEMO_NAME)
