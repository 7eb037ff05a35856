"""What is tried with any bytes, and what must hold: no crash, no error but ours, no lost row."""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from saliency_engine.config import RunConfig, load_options, split_options
from saliency_engine.errors import SaliencyError
from saliency_engine.models import install, registry
from saliency_engine.tables import input
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.join import Joiner, OutputColumns
from saliency_engine.tables.jsonl_lines import LineReader
from saliency_engine.tables.line_rows import LineRows
from saliency_engine.tables.output import choose_format, open_output
from saliency_engine.tables.rejects import Rejects
from saliency_engine.tables.sampling_tag import tags_of
from saliency_engine.types import ClipReference, ClipResult, Status

CONFIG = RunConfig(model="frequency_tuned_v1")
OTHER = RunConfig(model="frequency_tuned_v1", mean_column="é", var_column="k", status_column='"', overwrite=True)
BOM = b"\xef\xbb\xbf"


def result_of(clip: ClipReference) -> ClipResult:
    """Some clips fail, for a reason that holds every character that could break a line."""
    if len(clip.path) % 3:
        return ClipResult(Status.OK, 0.1, 0.30000000000000004)
    return ClipResult(Status.DECODE_FAILED, reason='a "reason"\\\n\udcff}')


# JSON lines


def lines(data: bytes) -> str:
    """Every line comes out with its new fields and otherwise unchanged, or is rejected unchanged."""
    for config in (CONFIG, OTHER):
        _lines(data, config)
    return "read"


def _lines(data: bytes, config: RunConfig) -> None:
    rejected: dict[int, bytes] = {}

    def reject(number: int, reason: str, line: bytes, rest: Any = None) -> None:
        assert reason
        assert number not in rejected
        rejected[number] = line + b"".join(rest or ())

    columns, joiner = columns_of(config), Joiner(OutputColumns(config, None), tags_of(config, "m", 320, 320))
    reader, line_rows = LineReader(io.BytesIO(data), columns.written, reject), LineRows(columns)
    kept, count = b"", 0
    for chunk in reader:
        batch = line_rows.find_clips(chunk, count)
        results = [result_of(clip) for clip in batch.clips]
        joined = joiner.join(batch, results)
        for before, after, code in zip(chunk.texts, joined.texts, batch.codes, strict=True):
            _check_edit(before, after, None if code < 0 else results[code], config)
        kept += b"".join(chunk.texts) + chunk.trailer
        count += batch.rows
    assert reader.rows == count + len(rejected)
    everything = io.BytesIO(data).readlines()
    assert reader.rows == sum(1 for line in io.BytesIO(data.removeprefix(BOM)) if line.strip(b" \t\r\n"))
    for number, line in rejected.items():
        before = everything[number - 1]
        mark = BOM if number == 1 and before.startswith(BOM) else b""
        assert before.removeprefix(mark).removesuffix(b"\n") == line
        everything[number - 1] = mark
    assert b"".join(everything) == kept


def _check_edit(before: bytes, after: bytes, result: ClipResult | None, config: RunConfig) -> None:
    """Compare with an edit made by the standard library's scanner, which finds members without our patterns."""
    head = before[: before.index(b"{")]
    text = before[len(head) :].decode()
    members, end = _members(text)
    changed: list[tuple[int, int, str]] = []
    added = ""
    for name, value in _fields(result, config):
        if name in members:
            changed.append((*members[name], json.dumps(value, ensure_ascii=False)))
        elif value is not None or (name in (config.mean_column, config.var_column) and result is not None):
            added += f", {json.dumps(name, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}"
    expected = text[:end] + (added if members else added[2:]) + text[end:]
    for start, stop, value in sorted(changed, reverse=True):
        expected = expected[:start] + value + expected[stop:]
    assert after == head + expected.encode()


def _fields(result: ClipResult | None, config: RunConfig) -> Iterator[tuple[str, Any]]:
    """The columns that a row gains according to docs/tables.md."""
    columns = config.output_columns
    gained: dict[str, Any]
    if result is None:
        gained = {"status": "skipped-existing"}
    elif result.status is Status.OK:
        gained = {"mean": result.mean, "var": result.var, "status": "ok", "model_id": "m", "aggregator": "mean"}
        gained |= {"ema_alpha": 0.6, "sampling": "head:8@320x320", "error": None}
    else:
        reason = (result.reason or "").encode("utf-8", "backslashreplace").decode()
        gained = dict.fromkeys(columns) | {"status": str(result.status), "error": reason}
    return ((columns[role], gained[role]) for role in columns if role in gained and columns[role])


def _members(text: str) -> tuple[dict[str, tuple[int, int]], int]:
    """Where the values of a line's top-level keys lie, and where its closing brace is."""
    decoder, members = json.JSONDecoder(), dict[str, tuple[int, int]]()
    at = _skip(text, 1)
    while text[at] != "}":
        key, at = json.decoder.scanstring(text, _skip(text, at + (text[at] == ",")) + 1)  # type: ignore[attr-defined]
        start = _skip(text, _skip(text, at) + 1)
        _, at = decoder.raw_decode(text, start)
        members[key] = start, at
        at = _skip(text, at)
    return members, at


def _skip(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def lines_to_arrow(data: bytes) -> str:
    """Every line becomes a row of the same values, or is rejected; or the table is refused, as two lines disagree."""
    originals = io.BytesIO(data).readlines()
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        source, kept = Path(folder) / "in.jsonl", Path(folder) / "rejects.jsonl"
        source.write_bytes(data)
        rejects = Rejects(str(kept))
        after: list[dict[str, Any]] = []
        with (
            input.open_table(str(source), columns_of(CONFIG), lines_as_arrow=True, reject=rejects.add) as table,
            rejects.opened(),
        ):
            for batch in table:
                payload: Any = batch.payload
                payload.validate(full=True)
                after += payload.to_pylist()
            assert table.count_rows() == len(after) + rejects.count
            rejects.commit()
        numbers = [json.loads(line)["line"] for line in kept.read_bytes().splitlines()] if rejects.count else []
    assert len(set(numbers)) == len(numbers)
    parsed = [line.removeprefix(BOM if i == 0 else b"") for i, line in enumerate(originals) if i + 1 not in numbers]
    expected = [json.loads(line.decode()) for line in parsed if line.strip(b" \t\r\n")]
    assert len(expected) == len(after)
    for value, row in zip(expected, after, strict=True):
        assert _same(value, row), (value, row)
    return "read"


def _same(before: Any, after: Any) -> bool:
    """Whether a value kept its meaning and type; a whole number may become one in a column of fractions."""
    if isinstance(before, dict):
        keys = before.keys() | after.keys() if isinstance(after, dict) else set()
        return isinstance(after, dict) and all(_same(before.get(key), after.get(key)) for key in keys)
    if isinstance(before, list):
        same = isinstance(after, list) and len(before) == len(after)
        return same and all(map(_same, before, after))
    if isinstance(before, float) and math.isnan(before):
        return isinstance(after, float) and math.isnan(after)
    number = isinstance(before, int) and not isinstance(before, bool) and isinstance(after, float)
    return before == after and (type(before) is type(after) or number)


# Packed and columnar tables


def packed(data: bytes) -> str:
    return _table(data, "jsonl.gz" if data[:1] == b"\x1f" else "jsonl.zst")


def parquet(data: bytes) -> str:
    return _table(data, "parquet")


def arrow(data: bytes) -> str:
    return _table(data, "arrow")


def stream(data: bytes) -> str:
    return _table(data, "")


def _table(data: bytes, suffix: str) -> str:
    """An error of ours, or a whole table: the rows are counted, and what is written can be read again."""
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        source, stdout = Path(folder) / f"in.{suffix}", io.BytesIO()
        if suffix:
            source.write_bytes(data)
        path, rejects, pipe = str(source) if suffix else "-", Rejects(f"{folder}/bad.jsonl"), io.BytesIO(data)
        with (
            input.open_table(path, columns_of(CONFIG), lines_as_arrow=True, reject=rejects.add, stdin=pipe) as table,
            rejects.opened(),
        ):
            gained, format = OutputColumns(CONFIG, table.schema), choose_format("-", "arrow", table.format)
            joiner = Joiner(gained, tags_of(CONFIG, "m", 320, 320))
            with open_output("-", format, gained.schema, stdout) as output:
                for batch in table:
                    output.write(joiner.join(batch, [result_of(clip) for clip in batch.clips]))
                output.commit(table.count_rows() - rejects.count)
    pa.ipc.open_stream(stdout.getvalue()).read_all().validate(full=True)
    return "read"


# Options and manifests


def config(data: bytes) -> str:
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        path = Path(folder) / "options.toml"
        path.write_bytes(data)
        split_options({"input": "in.jsonl", "output": "out.jsonl", **load_options(path)})
    return "read"


def entry(data: bytes) -> str:
    """A model folder with this entry: a problem names it, and the other models are there."""
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        os.environ["SALIENCY_BATCH_HOME"] = folder
        path = Path(folder) / "models" / "mine_v1" / "entry.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
        entries, problems = registry.entries()
        assert "frequency_tuned_v1" in entries
        assert bool(problems) == ("mine_v1" not in entries)
        if not problems:
            json.dumps(entries["mine_v1"].as_json())
    return "refused" if problems else "read"


def manifest(data: bytes) -> str:
    from saliency_exporter import manifest as exported

    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        path = Path(folder) / "manifest.json"
        path.write_bytes(data)
        for read in (lambda: install._read_manifest(path, "a" * 64), lambda: exported.read(path, "x")):
            try:
                read()
            except SaliencyError:
                continue
    return "read"


def scratch() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
