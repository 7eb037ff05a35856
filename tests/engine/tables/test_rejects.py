"""Hostile JSON lines through the command: every bad line is kept and named, every good one is processed."""

from __future__ import annotations

import base64
import gzip
import json
import random
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests import processes
from tests.in_process import run

from saliency_engine.errors import ConfigError, InputError, OutputError
from saliency_engine.table_job import TableJob
from saliency_engine.tables.columns import Columns
from saliency_engine.tables.input import open_table
from saliency_engine.tables.rejects import Rejects


def hostile(clip: str, number: int, size: int = 0) -> dict[str, bytes]:
    """A line of every kind that is no row; ``size`` is that of the one that is too long."""
    head = json.dumps({"src": clip, "n": number})[:-1].encode()
    return {
        "bad UTF-8": head + b', "t": "\xc3\x28"}',
        "lone surrogate": head + b', "t": "\\ud8ff"}',
        "lone surrogate in bytes": head + b', "t": "\xed\xb0\x80"}',
        "two objects": head + b"} " + head + b"}",
        "array": b"[" + head + b"}]",
        "20 MB": head + b', "t": "' + b"x" * size + b'"}',
        "half line": head + b', "t": "x',
        "NUL": head + b', "t": "\x00"}',
        "deep": head + b', "t": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        "key collision": head + b', "saliency_mean": {"a": 1}}',
        "key collision of text": head + b', "saliency_status": 1}',
        "no JSON": b"\x7fELF " + head,
    }


def odd(clip: str, number: int) -> list[bytes]:
    """Lines that look hostile and are rows."""
    head = json.dumps({"src": clip, "n": number})[:-1].encode()
    return [
        head + b', "src": "%s"}' % clip.encode(),  # the last one counts
        head + b', "t": "\\u0000 \\ud83d\\ude00 \\udcff"}',
        head + b', "t": ' + b"[" * 900 + b"]" * 900 + b"}",
        head + b', "t": NaN, "u": 1e999, "v": 123456789012345678901234567890}',
        head + b', "saliency_error": null}\r',
    ]


def original(record: dict[str, Any]) -> bytes:
    text: str | None = record.get("text")
    return base64.b64decode(record["base64"]) if text is None else text.encode()


def test_ten_thousand_hostile_lines_are_accounted_for_exactly(tmp_path: Path, clips: dict[str, Path]) -> None:
    generator, clip = random.Random(13), str(clips["bikes"])
    kinds = [*hostile("", 0), "odd", "odd", *["plain"] * 12]
    lines, good, bad = [], [], dict[int, str]()
    for number in range(1, 10_001):
        kind = generator.choice(kinds)
        if kind == "20 MB" and "20 MB" in bad.values():
            kind = "plain"
        if kind in {"plain", "odd"}:
            good.append(number)
            plain = b'{"src": "%s", "n": %d}' % (clip.encode(), number)
            lines.append(plain if kind == "plain" else generator.choice(odd(clip, number)))
        else:
            bad[number] = kind
            lines.append(hostile(clip, number, 20_000_000 if kind == "20 MB" else 0)[kind])
    lines.append(b'{"src": "trailing half li')
    bad[10_001] = "trailing half line"
    assert len(set(bad.values())) == 13
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    output, audit = tmp_path / "out.jsonl", tmp_path / "audit.json"
    options = ("--input", tmp_path / "in.jsonl", "--model", "frequency_tuned_v1", "--audit-json", audit)
    run(*options, "--output", output, code=1)

    written = output.read_bytes().split(b"\n")[:-1]
    for line, number in zip(written, good, strict=True):
        assert line.startswith(lines[number - 1].removesuffix(b"\r")[:-1])
        assert json.loads(line)["saliency_status"] == "ok"
    rejected = [json.loads(line) for line in (tmp_path / "out.jsonl.rejects.jsonl").read_bytes().splitlines()]
    assert [record["line"] for record in rejected] == list(bad)
    for record in rejected:
        assert original(record) == lines[record["line"] - 1], bad[record["line"]]
        assert len(record["reason"]) > 5
    report = json.loads(audit.read_text())
    counts = {"total": 10_001, "ok": len(good), "skipped_existing": 0, "failed": len(bad), "rejected": len(bad)}
    assert report["summary"] == counts
    assert report["run_provenance"]["outputs"]["rejects"]["kind"] == "file"

    # Columns hold fewer kinds of lines; a table's rows and its rejects are all its lines all the same.
    run(*options, "--output", tmp_path / "out.parquet", code=1)
    rows = pq.read_table(tmp_path / "out.parquet")["n"].to_pylist()
    rejects = (tmp_path / "out.parquet.rejects.jsonl").read_bytes().splitlines()
    numbers = [json.loads(line)["line"] for line in rejects]
    assert set(bad) < set(numbers)
    assert sorted([*rows, *numbers]) == list(range(1, 10_002))


def test_from_a_pipe_rejected_lines_need_a_file(tmp_path: Path, clips: dict[str, Path]) -> None:
    rows = b'{"src": "%s"}\n' % str(clips["bikes"]).encode()
    options = ("--input", "-", "--output", "-", "--model", "frequency_tuned_v1")
    message = processes.run(*options, input=rows + b"[]\n", code=2).stderr.decode()
    assert "InputError: stdin, line 2: an array where a JSON object is needed" in message
    assert "--rejects FILE" in message
    done = processes.run(*options, "--rejects", tmp_path / "bad.jsonl.gz", input=rows + b"[]\n" + rows, code=1)
    assert [json.loads(line)["saliency_status"] for line in done.stdout.splitlines()] == ["ok", "ok"]
    assert "(1 lines that are no rows)" in " ".join(done.stderr.decode().split())
    record = json.loads(gzip.decompress((tmp_path / "bad.jsonl.gz").read_bytes()))
    assert record == {"line": 2, "reason": "an array where a JSON object is needed", "text": "[]"}


def keep(job: TableJob, *lines: bytes) -> None:
    rejects = Rejects(job.rejects_path)
    with rejects.opened():
        for number, line in enumerate(lines):
            rejects.add(number, "reason", line)
        rejects.commit()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_an_earlier_run_rejected_goes_with_its_output(tmp_path: Path) -> None:
    job = TableJob(input="in.jsonl", output=str(tmp_path / "out.jsonl"))
    kept = tmp_path / "out.jsonl.rejects.jsonl"
    keep(job, b"a", b"\xff")
    assert kept.read_text() == '{"line":0,"reason":"reason","text":"a"}\n{"line":1,"reason":"reason","base64":"/w=="}\n'
    with suppress(KeyboardInterrupt), Rejects(job.rejects_path).opened():
        assert names(tmp_path) == [kept.name, kept.name + ".partial"]
        raise KeyboardInterrupt
    assert names(tmp_path) == [kept.name]
    assert len(kept.read_bytes().splitlines()) == 2
    keep(job, b"b")
    assert len(kept.read_bytes().splitlines()) == 1
    keep(job)
    assert names(tmp_path) == []


def test_a_line_too_long_comes_back_from_its_pieces(tmp_path: Path) -> None:
    rejects = Rejects(str(tmp_path / "out.jsonl.rejects.jsonl"))
    pieces = [bytes([number]) * (7 * number) for number in range(40)]
    with rejects.opened():
        rejects.add(1, "long", b"start", pieces)
        rejects.add(2, "whole", b"line", ())
        rejects.commit()
    first, second = map(json.loads, (tmp_path / "out.jsonl.rejects.jsonl").read_text().splitlines())
    assert original(first) == b"start" + b"".join(pieces)
    assert original(second) == b"line"


def test_the_file_for_rejected_lines_is_nothing_elses(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    with pytest.raises(ConfigError, match=r"--rejects .*bad\.parquet: rejected lines are written as JSON lines"):
        keep(TableJob(input="in.jsonl", output=str(output), rejects=str(tmp_path / "bad.parquet")))
    job = TableJob(input="in.jsonl", output=str(output))
    with Rejects(job.rejects_path).opened(), pytest.raises(OutputError, match="another run is writing it"):
        keep(job)


@pytest.mark.parametrize("lines_as_arrow", [False, True])
def test_without_a_file_the_first_line_stops_the_run(tmp_path: Path, lines_as_arrow: bool) -> None:
    path = tmp_path / "in.jsonl"
    path.write_bytes(b'{"src": "a"}\n\n[]\n')

    def read() -> None:
        with open_table(str(path), Columns(), lines_as_arrow=lines_as_arrow) as table:
            assert not lines_as_arrow  # the first reading, for the schema, has met the line already
            list(table)

    with pytest.raises(InputError, match=r"in\.jsonl, line 3: an array where .*run --rejects FILE keeps"):
        read()
