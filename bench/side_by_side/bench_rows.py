"""What happens to rows, beside the plain ways: orjson, Python objects, a query."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest

from saliency_engine.config import RunConfig
from saliency_engine.numerics.aggregate import measure, summarize
from saliency_engine.pipeline.memo import Memo
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.join import Joiner, OutputColumns
from saliency_engine.tables.jsonl_lines import LineReader, refuse_line
from saliency_engine.tables.line_rows import LineRows
from saliency_engine.tables.rows import ArrowRows
from saliency_engine.tables.sampling_tag import tags_of
from saliency_engine.types import ClipRequest, ClipResult, ClipStatistics, Status

CONFIG = RunConfig(model="frequency_tuned_v1")
COLUMNS = columns_of(CONFIG)
TAGS = tags_of(CONFIG, "m", 320, 320)
RESULT = ClipResult(Status.OK, 0.25, 0.0625)
GAINED = {
    "saliency_mean": 0.25,
    "saliency_var": 0.0625,
    "saliency_status": "ok",
    "saliency_model_id": "m",
    "saliency_aggregator": "mean",
    "saliency_ema_alpha": 0.6,
    "saliency_sampling": "head:8@320x320",
}
ROW = {"src": "a.mp4", **{f"f{index:02}": round(index + 0.12345, 5) for index in range(58)}}
DONE = {**ROW, "saliency_mean": 0.5, "saliency_var": 0.1}
ROWS = 4000


@pytest.mark.parametrize("case", ["computed", "skipped"])
@pytest.mark.parametrize("way", ["engine", "orjson", "json"])
def test_json_lines(benchmark: Any, way: str, case: str) -> None:
    """Lines of 1 KB and 60 fields read and given their columns: bytes spliced, or objects written anew."""
    row, gained = (ROW, GAINED) if case == "computed" else (DONE, {"saliency_status": "skipped-existing"})
    text = b"".join(json.dumps({"key": key, **row}).encode() + b"\n" for key in range(ROWS))

    def engine() -> bytes:
        rows, joiner = LineRows(COLUMNS), Joiner(OutputColumns(CONFIG, None), TAGS)
        batches = (rows.find_clips(chunk, 0) for chunk in LineReader(io.BytesIO(text), COLUMNS.written, refuse_line))
        joined = [joiner.join(batch, [RESULT] * len(batch.clips)) for batch in batches]
        return b"".join(line for lines in joined for line in lines.texts)

    def with_orjson() -> bytes:
        return b"".join(orjson.dumps(orjson.loads(line) | gained) + b"\n" for line in io.BytesIO(text))

    def with_json() -> bytes:
        return b"".join(json.dumps(json.loads(line) | gained).encode() + b"\n" for line in io.BytesIO(text))

    ways: dict[str, Callable[[], bytes]] = {"engine": engine, "orjson": with_orjson, "json": with_json}
    assert [orjson.loads(line) for line in engine().splitlines()] == [
        orjson.loads(line) for line in with_orjson().splitlines()
    ]
    benchmark.group = f"{ROWS} JSON lines of 1 KB, {case}"
    benchmark(ways[way])


@pytest.mark.parametrize("way", ["engine", "Python objects"])
def test_arrow_join(benchmark: Any, way: str) -> None:
    """Rows of 60 columns that name 50 clips, given their columns."""
    fields = {name: [value] * ROWS for name, value in ROW.items() if name != "src"}
    batch = pa.record_batch({"src": [f"{key * 50 // ROWS}.mp4" for key in range(ROWS)], **fields})

    def engine() -> pa.RecordBatch:
        rows, joiner = ArrowRows(batch.schema, COLUMNS), Joiner(OutputColumns(CONFIG, batch.schema), TAGS)
        row_batch = rows.find_clips(batch, 0)
        joined: pa.RecordBatch = joiner.join(row_batch, [RESULT] * len(row_batch.clips))
        return joined

    def plain() -> pa.RecordBatch:
        results = {path: GAINED | {"saliency_error": None} for path in set(batch["src"].to_pylist())}
        rows = [row | results[row["src"]] for row in batch.to_pylist()]
        return pa.RecordBatch.from_pylist(rows, schema=engine().schema)

    assert engine().equals(plain())
    benchmark.group = f"{ROWS} Arrow rows of 60 columns joined"
    benchmark({"engine": engine, "Python objects": plain}[way])


@pytest.mark.parametrize("way", ["engine", "SQLite, two columns", "dict"])
def test_memo(benchmark: Any, way: str, tmp_path: Path) -> None:
    """A thousand known clips looked up: by a hash of all that can change a number, by their path alone."""
    maps = np.random.default_rng(0).random((8, 16, 16), dtype=np.float32)
    statistics: ClipStatistics = measure(maps, np.full(8, 0.1))
    requests = [ClipRequest(f"/clips/{number}.mp4", 10**6 + number, 10**18 + number) for number in range(1000)]
    memo, database = Memo(tmp_path / "memo.sqlite", {"model": "m"}), sqlite3.connect(tmp_path / "plain.sqlite")
    database.execute("CREATE TABLE clips (path TEXT PRIMARY KEY, mean REAL, var REAL) WITHOUT ROWID")
    known = {}
    for request in requests:
        memo.put(memo.key(request), request, statistics)
        known[request.path] = summarize(statistics, "ema", 0.6)
        database.execute("INSERT INTO clips VALUES (?, ?, ?)", (request.path, *known[request.path]))
    memo.commit()
    database.commit()

    def engine() -> list[tuple[float, float]]:
        entries = (memo.get(memo.key(request)) for request in requests)
        return [summarize(entry, "ema", 0.6) for entry in entries if isinstance(entry, ClipStatistics)]

    def query() -> list[tuple[float, float]]:
        command = "SELECT mean, var FROM clips WHERE path = ?"
        return [database.execute(command, (request.path,)).fetchone() for request in requests]

    ways: dict[str, Callable[[], list[tuple[float, float]]]] = {
        "engine": engine,
        "SQLite, two columns": query,
        "dict": lambda: [known[request.path] for request in requests],
    }
    assert engine() == query() == ways["dict"]()
    benchmark.group = "1000 known clips looked up"
    benchmark(ways[way])
    memo.close()
    database.close()
