"""One clip in pictures: a frame and its saliency, with the settings that its row's numbers were made with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from saliency_engine.config import RunConfig
from saliency_engine.errors import ClipError, ConfigError, InputError, ModelError
from saliency_engine.inference.session import Session, open_session
from saliency_engine.models.load import Model, load_model
from saliency_engine.pipeline.one_clip import OneClip, model_clip
from saliency_engine.report.contact_sheet import PICTURE, Tile
from saliency_engine.report.notes import warn_of, warn_of_options
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.overwrite import Files
from saliency_engine.storage.urls import show_path
from saliency_engine.tables.row_tags import make_tags
from saliency_engine.tables.sampling_tag import parse_sampling
from saliency_engine.tables.selection import MOS_COLUMNS, ChosenRow
from saliency_engine.tags import TAG_ROLES
from saliency_engine.types import Status, decode_spec
from saliency_engine.video.poster import decode_poster

_FAILURES = frozenset(map(str, Status)) - {Status.OK, Status.SKIPPED_EXISTING}
_BF16 = "_bf16"


class Models:
    """The models of some clips, each opened once and closed with ``opened``."""

    def __init__(self, files: Files, opened: ExitStack) -> None:
        self._files, self._opened = files, opened
        self._sessions: dict[Any, tuple[Model, Session]] = {}

    def open(self, config: RunConfig) -> tuple[Model, Session]:
        """The model of ``config`` and its session. Raises ``ModelError`` and ``ProviderError``."""
        key = (config.model_name, config.model_path, config.model_id, config.precision, config.model_size)
        if key not in self._sessions:
            model = load_model(config)
            self._files.reads("--model", *model.files)
            warn_of(model)
            warn_of_options(config)
            session = self._opened.enter_context(closing(open_session(model, config)))
            self._sessions[key] = model, session
        return self._sessions[key]


def make_tile(row: ChosenRow, options: Mapping[str, Any], names: Mapping[str, str], models: Models) -> Tile:
    """The tile of a row; ``names`` are its output columns by role, ``options`` those of ``RunConfig`` that were given.

    What else moves numbers is taken from the row's tags. A clip that fails, and a row that has failed, is a tile that
    says why. Raises ``InputError`` for tags that are no settings, ``ModelError`` and ``ProviderError``.
    """
    title, mos = Path(show_path(row.clip.path)).name or f"row {row.number}", _describe_mos(row)
    status, stored = row.values.get(names["status"]), row.number_in(names["mean"])
    if stored is None and status in _FAILURES:
        return Tile(
            title, "  ·  ".join(filter(None, (str(status), mos))), reason=str(row.values.get(names["error"]) or "")
        )
    config = _config_of(row, options, names, has_numbers=stored is not None)
    model, session = _open_model(row, config, models)
    try:
        clip = model_clip(row.clip, session, config)
        spec = decode_spec(config, session.width, session.height)
        frame = decode_poster(Locator(config).locate(row.clip), spec, PICTURE)
    except ClipError as error:
        return Tile(title, "  ·  ".join(filter(None, (error.status, mos))), reason=str(error))
    aggregator, alpha = config.temporal_aggregator, config.ema_alpha
    mean, var = clip.summarize(aggregator, alpha)
    other = f" (row: {stored:.4f})" if stored is not None and abs(stored - mean) > 5e-4 else ""
    numbers = "  ·  ".join(filter(None, (f"mean {mean:.4f}{other}", f"variance {var:.4f}", mos)))
    return Tile(title, numbers, _describe_settings(model, config, clip), "", frame, clip.combine(aggregator, alpha))


def _open_model(row: ChosenRow, config: RunConfig, models: Models) -> tuple[Model, Session]:
    try:
        return models.open(config)
    except ModelError as error:
        if config.model_path or not config.model:
            raise
        raise ModelError(f"the model of row {row.number}: {error}") from error


def _config_of(row: ChosenRow, options: Mapping[str, Any], names: Mapping[str, str], *, has_numbers: bool) -> RunConfig:
    """The options that were given, and for the others what the tags of a row with numbers say."""
    if not has_numbers:
        return RunConfig(**options)
    try:
        tags = make_tags(*(row.values.get(names[role]) for role in TAG_ROLES))
        tagged = parse_sampling(tags.sampling) if tags.sampling else {}
        if tags.aggregator:
            tagged["temporal_aggregator"] = tags.aggregator
        if tags.ema_alpha is not None:
            tagged["ema_alpha"] = tags.ema_alpha
        if tags.model_id and not options.keys() & {"model", "model_path", "model_id"}:
            is_bfloat16 = tagged.get("precision") == "bfloat16"
            tagged["model"] = tags.model_id.removesuffix(_BF16) if is_bfloat16 else tags.model_id
        # Where the clip was short, the row has numbers of fewer frames.
        return RunConfig(**{**tagged, **options, "accept_short": True})
    except (ConfigError, InputError, ValueError, TypeError) as error:
        raise InputError(
            f"row {row.number} has tags that are no settings of this program: {error}. Name its columns with --prefix, "
            "or rename them"
        ) from error


def _describe_mos(row: ChosenRow) -> str:
    name = next((name for name in MOS_COLUMNS if row.number_in(name) is not None), "")
    return f"{name if name != 'mos' else 'MOS'} {row.number_in(name):.4g}" if name else ""


def _describe_settings(model: Model, config: RunConfig, clip: OneClip) -> str:
    aggregator = config.temporal_aggregator
    if aggregator == "ema":
        aggregator += f" {config.ema_alpha:g}"
    return f"{model.model_id}  ·  {aggregator} of {len(clip.frames)} frames, {config.sampling}"
