"""`mos-prep`: tables of features and tables of scores become one table that MOS heads are trained on."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.errors import InputError
from saliency_engine.jobs.mos_prep.checks import (
    Filled,
    fill_features,
    find_alike,
    find_label_copies,
    find_oddities,
    statistics_of,
)
from saliency_engine.jobs.mos_prep.clips import Clips, read_clips
from saliency_engine.jobs.mos_prep.divide import Division, divide
from saliency_engine.jobs.mos_prep.gather import Gathered, gather, label
from saliency_engine.jobs.mos_prep.logs import match_logs
from saliency_engine.jobs.mos_prep.manifest import Prepared, croissant_of, manifest_of
from saliency_engine.jobs.mos_prep.one_hot import tag_columns
from saliency_engine.jobs.mos_prep.settings import FEATURES, Settings
from saliency_engine.machine import require_analysis
from saliency_engine.report.mos_table import print_mos_table
from saliency_engine.storage.atomic import write_json, write_together
from saliency_engine.storage.overwrite import Files
from saliency_engine.tables.labels import CHUG_CONTENT, Labels, read_labels
from saliency_engine.tables.vmaf_logs import KEY, read_vmaf_logs
from saliency_engine.tables.whole import read_whole, write_whole

Columns = dict[str, NDArray[Any]]


def prepare(settings: Settings) -> dict[str, Any]:
    """Write the table, its manifest and its Croissant description; returns the manifest. Raises ``SaliencyError``."""
    require_analysis("mos-prep")
    manifest_path, croissant_path = settings.beside(".manifest.json"), settings.beside(".croissant.json")
    files = Files()
    for table in settings.tables:
        files.reads("TABLES", table)
    files.reads("--labels", *settings.labels)
    files.writes("--output", settings.output)
    files.writes("--npz", settings.npz)
    for path in (manifest_path, croissant_path):
        files.writes("--output", path)

    tables = _read_tables(settings)
    gathered = gather(tables, allow_mixed=settings.allow_mixed)
    if not len(gathered.keys):
        raise InputError(f"no clip is left: {_describe_dropped(gathered)}")
    labels = _read_labels(settings)
    gathered, places = label(gathered, labels, settings.min_match_rate)
    if not len(places):
        raise InputError(f"no clip is left with a label: {_describe_dropped(gathered)}")
    contents, division = _divide(tables, gathered, labels, places, settings)
    filled = fill_features(gathered.numbers, len(places))
    columns, numbers = _assemble(gathered, labels, places, filled, settings)
    columns |= {"content": contents, "split": division.splits}
    if division.fold is not None:
        columns["fold"] = division.fold
    write_whole(settings.output, columns)
    if settings.npz:
        _write_npz(settings.npz, columns)
    train = division.splits == "train"
    oddities = find_oddities(numbers, train)
    oddities["label_copies"] = find_label_copies(numbers, columns["mos"])
    alike = find_alike(numbers, gathered.keys, division.splits, oddities["constant"])
    prepared = Prepared(settings, tables, labels, gathered, division, filled, columns)
    manifest = manifest_of(prepared, oddities | alike, statistics_of(numbers, train))
    write_json(manifest_path, manifest)
    write_json(croissant_path, croissant_of(settings, columns))
    print_mos_table(manifest, settings.output)
    return manifest


def _read_tables(settings: Settings) -> list[Clips]:
    tables = [read_clips(read_whole(path), settings) for path in settings.tables]
    for folder in settings.vmaf_logs:
        whole = read_vmaf_logs(folder)
        tables.append(match_logs(read_clips(whole, settings, KEY), tables))
    return tables


def _read_labels(settings: Settings) -> Labels:
    own = not settings.labels
    return read_labels(
        settings.tables if own else settings.labels,
        settings.feature_key_column if own else settings.label_key_column,
        settings.label_mos_column,
        how=settings.key_normalize,
        regex=(settings.feature_key_regex if own else settings.label_key_regex) or None,
        scale=settings.label_scale,
        header=not settings.label_no_header,
        contents=settings.contents,
    )


def _divide(
    tables: list[Clips], gathered: Gathered, labels: Labels, places: NDArray[np.int64], settings: Settings
) -> tuple[NDArray[np.object_], Division]:
    """What each clip shows, and its split; the tables of features come before those of labels."""
    content = _first_of(gathered.texts.get("content"), labels.more.get("content"), places)
    if settings.content_column and content is None:
        raise InputError(f"no table has a column {settings.content_column!r} (--content)")
    contents = gathered.keys.copy()
    if content is not None:
        known = np.array([value is not None for value in content])
        contents[known] = content[known]
    given = _first_of(gathered.texts.get("split"), labels.more.get("split"), places)
    columns = {table.content_column for table in tables} | {table.content_column for table in labels.tables}
    return contents, divide(contents, given, labels.mos[places], settings, are_chug=CHUG_CONTENT in columns)


def _first_of(
    own: NDArray[np.object_] | None, of_labels: NDArray[Any] | None, places: NDArray[np.int64]
) -> NDArray[np.object_] | None:
    if own is None or of_labels is None:
        return own if own is not None else None if of_labels is None else of_labels[places]
    theirs = of_labels[places]
    return np.array([first if first is not None else other for first, other in zip(own, theirs, strict=True)], object)


def _assemble(
    gathered: Gathered, labels: Labels, places: NDArray[np.int64], filled: Filled, settings: Settings
) -> tuple[Columns, dict[str, NDArray[np.float64]]]:
    """The columns of the table, and those among them that are features."""
    others = {name: values for name, values in gathered.numbers.items() if name not in FEATURES}
    tags, one_hot = tag_columns(gathered.tags, mixed=settings.allow_mixed)
    numbers = filled.numbers | others | one_hot
    columns: Columns = {"key": gathered.keys, **numbers, **tags}
    columns["mos"], columns["mos_raw_0_100"] = labels.mos[places], labels.mos_raw_0_100[places]
    columns["mos_label_status"] = np.full(len(places), "ok", object)
    columns["mos_label_source"] = labels.source[places]
    for name in ("mos_std_dev", "mos_n_ratings"):
        if name in labels.more:
            columns[name] = labels.more[name][places]
    for name in ("corpus", "corpus_version"):
        texts = _first_of(gathered.texts.get(name), labels.more.get(name), places)
        if texts is not None:
            columns[name] = texts
    return columns, numbers


def _write_npz(path: str, columns: Columns) -> None:
    """What a training loop needs, as numpy has it: features ``[n, 11]`` float32, their names, labels, splits, keys."""
    file = io.BytesIO()
    np.savez_compressed(
        file,
        features=np.column_stack([columns[name] for name in FEATURES]).astype(np.float32),
        feature_names=np.array(FEATURES),
        mos=columns["mos"].astype(np.float32),
        split=columns["split"].astype(str),
        key=columns["key"].astype(str),
        content=columns["content"].astype(str),
    )
    write_together({Path(path): file.getvalue()})


def _describe_dropped(gathered: Gathered) -> str:
    reasons = [f"{count} {reason}" for reason, count in gathered.dropped.most_common() if count]
    return ", ".join(reasons) or "the tables have no rows"
