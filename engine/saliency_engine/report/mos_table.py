"""What came of a table for MOS heads, for people, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

from saliency_engine.report.terminal import counted, printable

_MOST_NAMES = 6


def print_mos_table(manifest: Mapping[str, Any], output: str) -> None:
    """Print the counts of ``manifest``, and everything in it that a user must know before training."""
    counts, features, splits = manifest["counts"], manifest["features"], manifest["splits"]
    parts = ", ".join(f"{splits['clips'].get(name, 0)} {name}" for name in ("train", "val", "test"))
    lines = [
        ("table", output),
        (
            "clips",
            f"{counts['clips']} of {counted(counts['contents'], 'content')}: {parts} (by {_describe_rule(splits)})",
        ),
        ("saliency", _describe_saliency(manifest)),
        *(("scale", _describe_scale(table)) for table in manifest["labels"]["tables"]),
        *(("dropped", f"{count} {reason}") for reason, count in counts["dropped"].items()),
    ]
    for name, value in lines:
        print(printable(f"{name:<12}{value}"), file=sys.stderr)
    for sentence in (
        *_find_notes(manifest["counts"], features),
        *_warn_of_labels(manifest["labels"]),
        *_warn_of_gaps(manifest),
        *_find_warnings(features, splits),
    ):
        print(printable(sentence), file=sys.stderr)


def _describe_saliency(manifest: Mapping[str, Any]) -> str:
    if manifest["saliency"]:
        return "; ".join(manifest["saliency"])
    zeros = manifest["features"]["zero_filled"]
    return "none" if zeros.get("saliency_mean", {}).get("all") else "no table says how it was made"


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
            clips = counted(table["pooled_clips"], "clip")
            yield f"note: {table['path']} has several rows of {clips}: their mean is taken"
    for name, clips in features["stand_ins"].items():
        yield f"note: {name}_mean stands in for {name} in {counted(clips, 'clip')}"


def _warn_of_labels(labels: Mapping[str, Any]) -> Iterator[str]:
    for table in labels["tables"]:
        if count := table["no_numbers"]:
            what = (
                f"{count} of the labels in {table['mos_column']} {'is no number' if count == 1 else 'are no numbers'}"
            )
            yield f"warning: {table['path']}: {what}, the first of them {table['first_no_number']}"
    if labels["constant"]:
        yield "warning: all clips have the same score: nothing can be learned from it"


def _warn_of_gaps(manifest: Mapping[str, Any]) -> Iterator[str]:
    zeros = manifest["features"]["zero_filled"]
    infinite = {name: table for table in manifest["counts"]["tables"] for name in table["infinite"]}
    for name, table in infinite.items():
        yield f"warning: {table['path']}: {name} is infinite in {counted(table['infinite'][name], 'row')}"
    if absent := [name for name, zero in zeros.items() if zero["all"] and name not in infinite]:
        yield f"warning: no table has {', '.join(absent)}: 0.0 in every row, of which a head learns nothing"
    for name, zero in zeros.items():
        if name not in absent:
            lacks = "is missing or infinite" if name in infinite else "is missing"
            clips = counted(zero["clips"], "clip")
            yield f"warning: {name} {lacks} in {clips}: 0.0 there, which a head takes as measured"


def _find_warnings(features: Mapping[str, Any], splits: Mapping[str, Any]) -> Iterator[str]:
    zeros = features["zero_filled"]
    if constant := [name for name in features["constant"] if not zeros.get(name, {}).get("all")]:
        yield f"warning: the same number in every row: {_shorten(constant)}"
    for name, share in features["sparse"].items():
        yield f"warning: {name} has numbers in {share:.0%} of the rows only"
    for name, odd in features["out_of_range"].items():
        yield f"warning: {name} is out of its range in {counted(odd['clips'], 'clip')}"
    for name, correlation in features["label_copies"].items():
        yield f"warning: {name} goes with the scores as if made from them (r = {correlation:.3f}): leave it out"
    if features["duplicates"]:
        have = "clip has" if features["duplicates"] == 1 else "clips have"
        yield f"warning: {features['duplicates']} {have} the numbers of another one ({_pair(features)})"
    if features["leaking_duplicates"]:
        yield f"warning: {features['leaking_duplicates']} clips with equal numbers are in several splits"
    if leaking := splits["leaking_contents"]["count"]:
        are = "is" if leaking == 1 else "are"
        yield f"warning: {counted(leaking, 'content')} {are} in several splits: scores on val and test will be too good"
    for name in ("train", "val"):
        if not splits["clips"].get(name):
            yield f"warning: no clip is in the split {name}"


def _pair(features: Mapping[str, Any]) -> str:
    return " = ".join(features["examples"][0])


def _shorten(names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more
