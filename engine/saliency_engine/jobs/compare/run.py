"""Tables with saliency against one another, and against labels: on the terminal, as JSON and as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from saliency_engine.errors import ConfigError
from saliency_engine.jobs.audits import find_audit
from saliency_engine.jobs.compare.document import Comparison, describe_comparison
from saliency_engine.jobs.compare.pairs import compare_sides
from saliency_engine.jobs.compare.sides import Clips, Side, check_overlap, find_sides, name_sides
from saliency_engine.jobs.compare.targets import Target, predict_target
from saliency_engine.jobs.signal_values import check_clips
from saliency_engine.jobs.thumbnails import draw_rows
from saliency_engine.machine import require_analysis
from saliency_engine.report.comparison_page import Drawn, LargeDifference, draw_comparison
from saliency_engine.report.comparison_text import print_comparison
from saliency_engine.report.contact_sheet import Tile
from saliency_engine.report.provenance import run_provenance
from saliency_engine.storage.atomic import check_output, write_json, write_together
from saliency_engine.storage.overwrite import Files

_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class CompareJob:
    """What is compared with what, and where that goes."""

    tables: tuple[str, ...]
    key: str = ""
    """The column that names the clip; empty: the first of ``KEY_COLUMNS`` that a table has."""
    key_normalize: str = "auto"
    labels: tuple[str, ...] = ()
    label_key: str = ""
    """The same column of ``labels``."""
    target: str = ""
    """The label's column; empty: none, but ``mos`` with ``labels``."""
    given: tuple[str, ...] = ()
    """Patterns of the features that partial correlations are given; empty: VMAF's own."""
    content: str = ""
    """The column that says which content a clip is of; empty: ``content``, where there is one."""
    json: str = ""
    html: str = ""
    clips: int = 6
    """So many of the largest differences are drawn on the page."""
    run_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of ``RunConfig`` that were given: where the clips are."""


def compare_tables(job: CompareJob) -> dict[str, Any]:
    """Compare the tables, print the comparison on stdout and write what was asked for; returns the JSON document.

    Raises ``SaliencyError``.
    """
    require_analysis("compare")
    _check_options(job)
    _check_files(job)
    clips = Clips(job.key, job.key_normalize)
    tables = [clips.read(path) for path in job.tables]
    labels = [clips.read_labels(path, job.label_key) for path in job.labels]
    keys = clips.keys
    check_overlap(tables, keys)
    sides = find_sides(tables, len(keys))
    target = None
    if job.target or job.labels:
        name = job.target or "mos"
        target = predict_target(sides, tables, labels, name, keys=keys, given=job.given, content=job.content)
    document = describe_comparison(
        Comparison(tables, keys, sides, name_sides(sides), compare_sides(sides), target), _LISTED
    )
    print_comparison(document)
    if job.html:
        page = draw_comparison(document, _to_draw(job, document, sides, target, keys))
        write_together({Path(job.html): page.encode("utf-8", "backslashreplace")})
    if job.json:
        write_json(job.json, document | {"run_provenance": _provenance(job)})
    return document


def _check_options(job: CompareJob) -> None:
    check_clips(job.clips)
    for flag, paths in (("the table", job.tables), ("--labels", job.labels)):
        places = [Path(path).absolute() for path in paths]
        if twice := [path for path, place in zip(paths, places, strict=True) if places.count(place) > 1]:
            raise ConfigError(f"{flag} {twice[0]} is given twice: keep one")
    if job.given and not (job.target or job.labels):
        raise ConfigError("--given is for scores: give --labels or --target, too, or leave it out")


def _check_files(job: CompareJob) -> None:
    files = Files()
    files.reads("the tables", *job.tables)
    files.reads("--labels", *job.labels)
    files.writes("--json", job.json, holds=".json")
    files.writes("--html", job.html, holds=".html")
    check_output(job.json)
    check_output(job.html)


def _provenance(job: CompareJob) -> dict[str, Any]:
    inputs = {f"table_{place}": path for place, path in enumerate(job.tables)}
    inputs |= {f"labels_{place}": path for place, path in enumerate(job.labels)}
    return run_provenance(inputs, {"html": job.html} if job.html else {}, asdict(job))


def _to_draw(
    job: CompareJob, document: Mapping[str, Any], sides: Sequence[Side], target: Target | None, keys: Sequence[str]
) -> Drawn:
    predictions = target.predictions if target else ()
    return Drawn(
        signals=[side.signals for side in sides],
        labels=target.labels if target else np.array([]),
        values=[one.values for one in predictions],
        mapped=[one.fit.values for one in predictions],
        series=[one.side for one in predictions],
        differences=_draw_differences(job, document, sides, keys) if job.clips else [],
    )


def _draw_differences(
    job: CompareJob, document: Mapping[str, Any], sides: Sequence[Side], keys: Sequence[str]
) -> list[LargeDifference]:
    """The clips of which the sides differ most, each as the lowest and the highest of them see it."""
    places = {key: place for place, key in enumerate(keys)}
    chosen = []
    for entry in document["largest_differences"][: job.clips]:
        clip = places[entry["key"]]
        means = np.array([side.signals["mean"][clip] for side in sides])
        chosen.append((entry, clip, int(np.nanargmin(means)), int(np.nanargmax(means))))
    wanted: dict[int, list[int]] = {}
    for _, clip, low, high in chosen:
        for side in (low, high):
            wanted.setdefault(side, []).append(int(sides[side].first_rows[clip]))
    tiles = {place: _draw_side(sides[place], rows, job.run_options) for place, rows in wanted.items()}
    return [
        LargeDifference(entry, [(place, tiles[place].get(int(sides[place].first_rows[clip]))) for place in (low, high)])
        for entry, clip, low, high in chosen
    ]


def _draw_side(side: Side, rows: Sequence[int], options: Mapping[str, Any]) -> dict[int, Tile]:
    model = side.tags.model_id
    why = (
        f"no overlay: the model {model!r} cannot be opened here. It is drawn where the model is installed, or an audit "
        "beside the table names its file"
    )
    return draw_rows(side.table, rows, {**options, **_find_model(side), "prefix": side.prefix}, why)


def _find_model(side: Side) -> dict[str, str]:
    """The options for the model's file that the audit of the side's table names; none where there is no such file."""
    audit = find_audit(Path(side.table)) or {}
    model = audit.get("model", {})
    if not {"id", "source", "sha256"} <= model.keys() or model["id"] != side.tags.model_id:
        return {}
    if not Path(model["source"]).is_file():
        return {}
    return {
        "model_path": model["source"],
        "model_sha256": model["sha256"],
        "model_id": audit["config"].get("model_id") or "",
    }
