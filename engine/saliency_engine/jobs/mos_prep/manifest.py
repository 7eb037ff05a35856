"""What goes with a prepared table: a manifest of how it was made, and a description in Croissant, for other tools."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.jobs.mos_prep.checks import Filled
from saliency_engine.jobs.mos_prep.clips import Clips
from saliency_engine.jobs.mos_prep.divide import Division
from saliency_engine.jobs.mos_prep.gather import Gathered
from saliency_engine.jobs.mos_prep.settings import FEATURES, Settings
from saliency_engine.report.provenance import describe as describe_file
from saliency_engine.report.provenance import run_provenance
from saliency_engine.tables.formats import strip_suffix
from saliency_engine.tables.labels import Labels
from saliency_engine.tags import Tags

SCHEMA = "saliency-mos-table-v1"
_CROISSANT = "http://mlcommons.org/croissant/1.1"
_DESCRIPTIONS = {
    "key": "Names the clip",
    "content": "What the clip shows: versions of one content are in one split",
    "split": "train, val or test",
    "fold": "The fold of the clip, for cross-validation",
    "mos": "Mean opinion score, from 1 to 5",
    "mos_raw_0_100": "The same score, from 0 to 100",
    "mos_std_dev": "Standard deviation of the ratings, on the scale of mos",
    "mos_n_ratings": "Number of ratings",
    "mos_label_status": "ok for every row",
    "mos_label_source": "The table that the score is from",
    "saliency_mean": "Mean of the clip's saliency map, from 0 to 1",
    "saliency_var": "Variance of the clip's saliency map over its pixels",
    "shot_count_norm": "log10(1 + shots) / 3",
    "shot_mean_len_norm": "Mean length of a shot in seconds, divided by 30",
    "shot_cut_density": "Cuts a frame",
}


@dataclass(frozen=True)
class Prepared:
    """Everything that a manifest tells of."""

    settings: Settings
    tables: Sequence[Clips]
    labels: Labels
    gathered: Gathered
    division: Division
    filled: Filled
    columns: Mapping[str, NDArray[Any]]


def manifest_of(
    prepared: Prepared, findings: Mapping[str, Any], statistics: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """JSON values only. Reads all files once more, for their hashes."""
    division, labels, clips = prepared.division, prepared.labels, len(prepared.division.splits)
    return {
        "schema": SCHEMA,
        "columns": [
            {"name": name, "type": _type_of(values)[0], "nulls": _count_nulls(values)}
            for name, values in prepared.columns.items()
        ],
        "counts": _count(prepared),
        "labels": {
            "null": labels.nulls,
            "constant": bool(np.ptp(prepared.columns["mos"]) == 0),
            "tables": [asdict(table) | {"scale": list(table.scale)} for table in labels.tables],
        },
        "saliency": sorted({tags.kind or "unknown" for tags in prepared.gathered.tags if tags != Tags()}),
        "features": {
            "order": list(FEATURES),
            "zero_filled": {
                name: {"clips": count, "all": count == clips} for name, count in prepared.filled.zeros.items()
            },
            "stand_ins": prepared.filled.stand_ins,
            **findings,
        },
        "splits": _describe_splits(division, prepared.settings.seed),
        "statistics": {"of": "train", "columns": statistics},
        "run_provenance": _provenance(prepared.settings),
    }


def _count(prepared: Prepared) -> dict[str, Any]:
    return {
        "clips": len(prepared.division.splits),
        "contents": prepared.division.contents,
        "tables": [
            {
                "path": table.name,
                "rows": table.rows,
                "key_column": table.key_column,
                "pooled_clips": table.pooled,
                "infinite": table.infinite,
            }
            for table in prepared.tables
        ],
        "dropped": {reason: count for reason, count in prepared.gathered.dropped.items() if count},
    }


def _describe_splits(division: Division, seed: int) -> dict[str, Any]:
    return {
        "rule": division.rule,
        "folds": None if division.fold is None else int(division.fold.max()) + 1,
        "seed": seed if division.rule == "folds" else None,
        "clips": dict(Counter(division.splits.tolist())),
        "leaking_contents": {"count": len(division.leaking), "examples": list(division.leaking[:3])},
    }


def _provenance(settings: Settings) -> dict[str, Any]:
    inputs = {f"table_{place}": path for place, path in enumerate(settings.tables)}
    inputs |= {f"labels_{place}": path for place, path in enumerate(settings.labels)}
    inputs |= {f"vmaf_logs_{place}": path for place, path in enumerate(settings.vmaf_logs)}
    outputs = {"output": settings.output} | ({"npz": settings.npz} if settings.npz else {})
    return run_provenance(inputs, outputs, asdict(settings))


def croissant_of(settings: Settings, columns: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The table as JSON-LD after Croissant 1.1: its file with the sha256, and a field for each column.

    Source: https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html. Who publishes the table adds licence, URL
    and authors.
    """
    path = Path(settings.output)
    file = {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "encodingFormat": "application/vnd.apache.parquet" if path.suffix in {".parquet", ".pq"} else "text/plain",
        "sha256": describe_file(settings.output)["sha256"],
    }
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"clips/{name}",
            "name": name,
            "description": _DESCRIPTIONS.get(name, f"The column {name} of the tables that this one was made from"),
            "dataType": _type_of(values)[1],
            "source": {"fileObject": {"@id": path.name}, "extract": {"column": name}},
        }
        for name, values in columns.items()
    ]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": _CROISSANT,
        "name": strip_suffix(path.name),
        "description": "Features and mean opinion scores of video clips, a row each, made by saliency-batch mos-prep",
        "distribution": [file],
        "recordSet": [{"@type": "cr:RecordSet", "@id": "clips", "name": "clips", "field": fields}],
    }


def _type_of(values: NDArray[Any]) -> tuple[str, str]:
    """The type of a column for people, and in the vocabulary of schema.org."""
    if values.dtype == object:
        return "text", "sc:Text"
    return ("whole", "sc:Integer") if values.dtype.kind == "i" else ("number", "sc:Float")


def _count_nulls(values: NDArray[Any]) -> int:
    if values.dtype == object:
        return sum(value is None for value in values)
    return int(np.isnan(values).sum())


_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format"),
    *("includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
    *("repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS},
}
"""The context that the specification prescribes."""
