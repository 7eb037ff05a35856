"""What came of a table for MOS heads, for people, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from saliency_engine.report.terminal import printable

_MOST_NAMES = 6


def print_mos_table(manifest: Mapping[str, Any], output: str) -> None:
    """Print the counts of ``manifest``, and everything in it that a user must know before training."""
    counts, features, splits = manifest["counts"], manifest["features"], manifest["splits"]
    parts = ", ".join(f"{splits['clips'].get(name, 0)} {name}" for name in ("train", "val", "test"))
    lines = [
        ("table", output),
        ("clips", f"{counts['clips']} of {counts['contents']} contents: {parts} (by {_describe_rule(splits)})"),
        ("saliency", "; ".join(manifest["saliency"]) or "no table says how it was made"),
        *(("scale", _describe_scale(table)) for table in manifest["labels"]["tables"]),
        *(("dropped", f"{count} {reason}") for reason, count in counts["dropped"].items()),
    ]
    for name, value in lines:
        print(printable(f"{name:<12}{value}"), file=sys.stderr)
    for sentence in (*_find_notes(manifest["counts"], features), *_find_warnings(features, splits)):
        print(printable(sentence), file=sys.stderr)


def _describe_rule(splits: Mapping[str, Any]) -> str:
    rules = {
        "explicit": "the tables' own column",
        "chug": "CHUG's rule",
        "folds": f"{splits['folds']} folds, seed {splits['seed']}",
    }
    return rules[splits["rule"]]


def _describe_scale(table: Mapping[str, Any]) -> str:
    low, high = table["scale"]
    return f"{low:g} to {high:g} in {table['path']} ({table['mos_column']}): {table['scale_reason']}"


def _find_notes(counts: Mapping[str, Any], features: Mapping[str, Any]) -> Iterator[str]:
    for table in counts["tables"]:
        if table["pooled_clips"]:
            yield f"note: {table['path']} has several rows of {table['pooled_clips']} clips: their mean is taken"
    for name, clips in features["stand_ins"].items():
        yield f"note: {name}_mean stands in for {name} in {clips} clips"


def _find_warnings(features: Mapping[str, Any], splits: Mapping[str, Any]) -> Iterator[str]:
    zeros = features["zero_filled"]
    if absent := [name for name, zero in zeros.items() if zero["all"]]:
        yield f"warning: no table has {', '.join(absent)}: 0.0 in every row, of which a head learns nothing"
    for name, zero in zeros.items():
        if not zero["all"]:
            yield f"warning: {name} is missing in {zero['clips']} clips: 0.0 there, which a head takes as measured"
    if constant := [name for name in features["constant"] if not zeros.get(name, {}).get("all")]:
        yield f"warning: the same number in every row: {_shorten(constant)}"
    for name, share in features["sparse"].items():
        yield f"warning: {name} has numbers in {share:.0%} of the rows only"
    for name, odd in features["out_of_range"].items():
        yield f"warning: {name} is out of its range in {odd['clips']} clips"
    for name, correlation in features["label_copies"].items():
        yield f"warning: {name} goes with the scores as if made from them (r = {correlation:.3f}): leave it out"
    if features["duplicates"]:
        yield f"warning: {features['duplicates']} clips have the numbers of another one ({_pair(features)})"
    if features["leaking_duplicates"]:
        yield f"warning: {features['leaking_duplicates']} clips with equal numbers are in several splits"
    if leaking := splits["leaking_contents"]["count"]:
        yield f"warning: {leaking} contents are in several splits: scores on val and test will be too good"
    for name in ("train", "val"):
        if not splits["clips"].get(name):
            yield f"warning: no clip is in the split {name}"


def _pair(features: Mapping[str, Any]) -> str:
    return " = ".join(features["examples"][0])


def _shorten(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
