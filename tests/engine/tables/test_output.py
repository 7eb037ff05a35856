"""Output tables: all or nothing, one writer at a time, the same bytes for the same rows."""

from __future__ import annotations

import io
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tables import CONFIG, run_without_clips, write_table

from saliency_engine.errors import OutputError
from saliency_engine.tables import formats, input
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.formats import Format
from saliency_engine.tables.jsonl_lines import Lines
from saliency_engine.tables.output import open_output

BATCH = pa.record_batch({"src": ["a", "b"], "x": [1.5, None]})
SUFFIXES = ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "arrow"]


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_run_that_stops_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out.{suffix}"
    target.write_text("before")
    with suppress(KeyboardInterrupt), open_output(str(target), _format(target), BATCH.schema) as output:
        output.write(BATCH)
        assert sorted(names(tmp_path)) == [target.name, target.name + ".partial"]
        raise KeyboardInterrupt
    assert names(tmp_path) == [target.name]
    assert target.read_text() == "before"


def _format(path: Path) -> Format:
    return formats.of_path(str(path), "output")


def test_rows_that_are_missing_stop_the_commit(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with open_output(str(target), _format(target), BATCH.schema) as output:
        output.write(BATCH)
        with pytest.raises(
            OutputError, match="2 rows were written, but the input says that it has 3: it may be damaged"
        ):
            output.commit(3)
    assert names(tmp_path) == []


def test_a_second_writer_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    with open_output(str(target), _format(target), None) as first:
        first.write(Lines([b"{}\n"], [frozenset()]))
        with (
            pytest.raises(OutputError, match="another run is writing it"),
            open_output(str(target), _format(target), None),
        ):
            pass
        first.commit(1)
        write_table(target, [BATCH])  # after the rename the lock is on a file that has another name
    assert target.read_bytes().count(b"\n") == 2


def test_a_partial_file_left_by_a_killed_run_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl.partial").write_text("half a row of something much longer than the table" * 9)
    write_table(tmp_path / "out.jsonl", [BATCH])
    assert (tmp_path / "out.jsonl").read_text() == '{"src": "a", "x": 1.5}\n{"src": "b", "x": null}\n'
    assert names(tmp_path) == ["out.jsonl"]


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "no").touch()
    with pytest.raises(OutputError, match=r"no/out\.jsonl: its folder .*/no cannot be made: File exists"):
        write_table(tmp_path / "no" / "out.jsonl", [BATCH])
    (tmp_path / "dir.jsonl").mkdir()
    with pytest.raises(OutputError, match=r"dir\.jsonl: it is there already and is not a regular file"):
        write_table(tmp_path / "dir.jsonl", [BATCH])
    with pytest.raises(OutputError, match="File name too long"):
        write_table(tmp_path / ("x" * 250 + ".jsonl"), [BATCH])


def test_the_umask_decides_the_mode_and_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real" / "out.jsonl")
    before = os.umask(0o027)
    try:
        write_table(tmp_path / "link.jsonl", [BATCH])
    finally:
        os.umask(before)
    assert (tmp_path / "link.jsonl").is_symlink()
    assert (tmp_path / "real" / "out.jsonl").stat().st_mode & 0o777 == 0o640


@pytest.fixture
def small_files() -> Iterator[None]:
    """Files cannot grow beyond 64 KiB: what a full disk does, without one."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.usefixtures("small_files")
def test_a_full_disk_is_an_error_with_the_cause_and_the_target_stays(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"out.{suffix}"
    target.write_text("before")
    noise = pa.record_batch({"x": pa.array(range(0, 50_000 * 7919, 7919)), "y": [os.urandom(8) for _ in range(50_000)]})
    with pytest.raises(OutputError, match=f"{target}: File too large"):
        write_table(target, [noise] * 3)
    assert names(tmp_path) == [target.name]
    assert target.read_text() == "before"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_rows_are_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"src": [f"{i % 50}.mp4" for i in range(70_000)], "n": range(70_000)}), source)
    outputs = [tmp_path / f"{name}.{suffix}" for name in ("first", "second")]
    for output in outputs:
        run_without_clips(source, output)
    assert outputs[0].read_bytes() == outputs[1].read_bytes()


@pytest.mark.parametrize("name", ["table.jsonl", "table.jsonl.gz", "table.parquet", "table.arrow"])
def test_a_table_may_be_replaced_by_itself(tmp_path: Path, name: str) -> None:
    write_table(tmp_path / name, [BATCH] * 3)
    run_without_clips(tmp_path / name, tmp_path / name)
    with input.open_table(str(tmp_path / name), columns_of(CONFIG), lines_as_arrow=True) as table:
        batches: list[Any] = [batch.payload for batch in table]
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [(row["src"], row["saliency_status"]) for row in rows] == [("a", "ok"), ("b", "ok")] * 3


@pytest.mark.parametrize("kind", ["jsonl", "stream"])
def test_stdout_gets_the_rows_and_stays_open(kind: Any) -> None:
    stdout = io.BytesIO()
    with open_output("-", Format(kind), BATCH.schema, stdout) as output:
        output.write(BATCH)
        output.commit(2)
    if kind == "stream":
        assert pa.ipc.open_stream(stdout.getvalue()).read_all() == pa.Table.from_batches([BATCH])
    else:
        assert stdout.getvalue().splitlines() == [b'{"src": "a", "x": 1.5}', b'{"src": "b", "x": null}']


@pytest.mark.parametrize("kind", ["jsonl", "stream"])
def test_a_reader_that_goes_away_is_one_error_and_no_noise(kind: str) -> None:
    code = (
        "import pyarrow as pa\n"
        "from saliency_engine.tables.output import open_output, Format\n"
        "from saliency_engine.errors import OutputError\n"
        "batch = pa.record_batch({'x': range(100_000)})\n"
        "try:\n"
        f"    with open_output('-', Format({kind!r}), batch.schema) as output:\n"
        "        for _ in range(100): output.write(batch)\n"
        "except OutputError as error:\n"
        "    raise SystemExit(f'OutputError: {error}')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(100)
        process.stdout.close()
        assert process.stderr.read() == b"OutputError: stdout: the program that reads from it has ended\n"
    assert process.returncode == 1
