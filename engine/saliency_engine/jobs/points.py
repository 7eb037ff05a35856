"""The points of a sweep: every model with every aggregator that the options name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from saliency_engine.config import RunConfig, split_options
from saliency_engine.errors import ConfigError
from saliency_engine.options import flag_of
from saliency_engine.table_job import TableJob

_PLACEHOLDERS = ("{model_id}", "{aggregator}")
_OF_ONE_MODEL = ("model_path", "model_id", "model_sha256")


def expand(options: Mapping[str, Any]) -> tuple[TableJob, list[RunConfig]]:
    """The table of a run, and the options of each of its points; there is one where nothing is given again.

    ``options["model"]`` and ``options["temporal_aggregator"]`` may be tuples. Raises ``ConfigError`` as
    ``split_options`` does.
    """
    models = list(_several(options, "model")) or [""]
    if twice := [model for model in models if models.count(model) > 1]:
        raise ConfigError(f"--model {twice[0]} is given twice: keep one")
    _check_placeholders(options)
    aggregators = list(_several(options, "temporal_aggregator")) or [RunConfig.temporal_aggregator]
    given = [f"--{name.replace('_', '-')}" for name in _OF_ONE_MODEL if options.get(name)]
    if len(models) > 1 and given:
        raise ConfigError(f"{given[0]} speaks of one model, but --model is given {len(models)} times: leave it out")
    common = {name: value for name, value in options.items() if name not in {"model", "temporal_aggregator"}}
    if len(models) * len(aggregators) > 1 and not has_placeholder(str(options.get("output", ""))):
        common["prefix"] = _prefix_of_points(str(common.get("prefix", RunConfig.prefix)), models, aggregators)
    points: list[RunConfig] = []
    for model in models:
        for aggregator in aggregators:
            job, config = split_options({**common, "model": model, "temporal_aggregator": aggregator})
            others = (point for point in points if (point.model, point.model_path) == (config.model, config.model_path))
            if name_of(config) in map(name_of, others):
                raise ConfigError(f"{name_of(config)} is given twice, by --model or --temporal-aggregator: keep one")
            points.append(config)
    return job, points


def _check_placeholders(options: Mapping[str, Any]) -> None:
    for option in ("output", "audit_json", "prefix"):
        for name in re.findall(r"\{[a-z_]+\}", str(options.get(option, ""))):
            if name not in _PLACEHOLDERS:
                raise ConfigError(
                    f"{flag_of(option)} {options[option]}: {name} stands for nothing; what is filled in are "
                    "{model_id} and {aggregator}"
                )


def name_of(config: RunConfig) -> str:
    """What a point's aggregator is called in names of files and columns: with its alpha where that moves a number."""
    alpha = f"{config.ema_alpha:g}" if config.temporal_aggregator == "ema" else ""
    return config.temporal_aggregator + alpha


def has_placeholder(text: str) -> bool:
    """Whether ``text`` is different for each point, by the model's id or the aggregator."""
    return any(placeholder in text for placeholder in _PLACEHOLDERS)


def fill(template: str, model_id: str, config: RunConfig) -> str:
    """``template`` with a point's model id and aggregator in their places."""
    return template.replace("{model_id}", name_in_files(model_id)).replace("{aggregator}", name_of(config))


def name_in_files(model_id: str) -> str:
    """What a model is called in names of files and columns: an id makes no folders."""
    return model_id.replace("/", "_")


def _prefix_of_points(prefix: str, models: Sequence[Any], aggregators: Sequence[Any]) -> str:
    """The prefix of a table in which each point has columns of its own."""
    if has_placeholder(prefix):
        return prefix
    return prefix + "{model_id}_" * (len(models) > 1) + "{aggregator}_" * (len(aggregators) > 1)


def _several(options: Mapping[str, Any], name: str) -> Iterator[Any]:
    values = options.get(name, ())
    yield from values if isinstance(values, tuple | list) else [values]
