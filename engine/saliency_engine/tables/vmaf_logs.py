"""The logs of libvmaf, one file a clip: JSON, XML or CSV, pooled to the mean of every feature over the frames."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import orjson
import pyarrow as pa

from saliency_engine.errors import InputError
from saliency_engine.tables.whole import Whole

KEY = "key"
"""The column with the name of the log's file, without the log's own suffix."""
_PREFIXES = ("integer_", "float_")
_Frames = Iterable[Mapping[str, Any]]


def read_vmaf_logs(folder: str) -> Whole:
    """A row for each log in ``folder`` and below it: ``KEY``, and the mean of each feature.

    ``integer_adm2`` is called ``adm2``, and so on, where the log has no feature of that name. The mean is the log's own
    where it has one. Raises ``InputError`` for a folder without logs, and for a file that is none.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder}: there is no such folder of libvmaf's logs")
    paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in _READERS and path.is_file())
    if not paths:
        raise InputError(f"{folder}: there are no logs of libvmaf here; their suffixes are {', '.join(_READERS)}")
    rows = [{KEY: path.stem} | _rename(_read(path)) for path in paths]
    names = dict.fromkeys(name for row in rows for name in row)
    return Whole(folder, pa.table({name: pa.array([row.get(name) for row in rows]) for name in names}))


def _read(path: Path) -> dict[str, float]:
    try:
        means = _READERS[path.suffix.lower()](path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except KeyError as error:
        raise InputError(f"{path}: it is no log of libvmaf (it has no {error}): move it elsewhere") from error
    except (ValueError, TypeError, AttributeError, ElementTree.ParseError, csv.Error) as error:
        raise InputError(f"{path}: it is no log of libvmaf ({error}): move it elsewhere") from error
    if not means:
        raise InputError(f"{path}: this log of libvmaf has no features: run libvmaf again")
    return means


def _rename(means: Mapping[str, float]) -> dict[str, float]:
    named: dict[str, float] = {}
    for name, value in means.items():
        plain = next((name.removeprefix(prefix) for prefix in _PREFIXES if name.startswith(prefix)), name)
        named[name if plain in means or plain in named else plain] = value
    return named


def _read_json(path: Path) -> dict[str, float]:
    document = orjson.loads(path.read_bytes())
    pooled = {name: _number(values["mean"]) for name, values in document.get("pooled_metrics", {}).items()}
    return pooled or _pool(frame["metrics"] for frame in document["frames"])


def _read_xml(path: Path) -> dict[str, float]:
    root = ElementTree.parse(path).getroot()
    pooled = {each.attrib["name"]: _number(each.attrib["mean"]) for each in root.iterfind("pooled_metrics/metric")}
    return pooled or _pool(frame.attrib for frame in root.iterfind("frames/frame"))


def _read_csv(path: Path) -> dict[str, float]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if "Frame" not in (rows.fieldnames or ()):
            raise ValueError("it has no column Frame")
        return _pool(rows)


def _pool(frames: _Frames) -> dict[str, float]:
    values: dict[str, list[float]] = {}
    for name, value in _features_of(frames):
        values.setdefault(name, []).append(value)
    return {name: float(np.mean(numbers)) for name, numbers in values.items()}


def _features_of(frames: _Frames) -> Iterator[tuple[str, float]]:
    """(name, value) of every feature of every frame; frames that libvmaf passed over have none."""
    for frame in frames:
        for name, value in frame.items():
            if name and name not in ("Frame", "frameNum") and value is not None and not math.isnan(_number(value)):
                yield name, _number(value)


def _number(value: Any) -> float:
    with suppress(TypeError, ValueError):
        return float(value)
    return math.nan


_READERS = {".json": _read_json, ".xml": _read_xml, ".csv": _read_csv}
