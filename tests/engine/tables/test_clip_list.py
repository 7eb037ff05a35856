"""Clips without a table: folders, patterns, files and lists of paths; and Parquet parts that are one table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.tables import columns

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables.input import open_table
from saliency_engine.tables.output import choose_format

NAMES = ("b.mov", "a10.MP4", "a2.mp4", "deep/er/x.yuv", "deep/c.mkv", "A.webm", "é.ts")
PASSED_OVER = (".hidden.mp4", ".git/d.mp4", "notes.txt", "out.parquet", "out.parquet.memo.sqlite", "b.mov.partial")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in (*NAMES, *PASSED_OVER):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"any")
    (tmp_path / "clips" / "round.mp4").symlink_to(tmp_path / "clips")  # a folder by its link's suffix, and endless
    return tmp_path


def paths_of(*paths: str, root: str = "", output: str = "") -> list[str]:
    with open_table(paths, columns(), root=root, output=output) as table:
        payloads: list[Any] = [batch.payload for batch in table]
        named = [path for payload in payloads for path in payload.column("src").to_pylist()]
        assert table.count_rows() == len(named)
        assert choose_format("-", "auto", table.format).kind == "jsonl" or table.format.kind == "parquet"
    return named


IN_ORDER = ["A.webm", "a10.MP4", "a2.mp4", "b.mov", "é.ts", "deep/c.mkv", "deep/er/x.yuv"]


@pytest.mark.parametrize("name", ["clips", "clips/", "./clips"])
def test_a_folder_gives_its_clips_in_order_and_nothing_else(folder: Path, name: str) -> None:
    base = name.rstrip("/")
    assert paths_of(name) == [f"{base}/{path}" for path in IN_ORDER]
    assert paths_of(str(folder / "clips")) == [str(folder / "clips" / path) for path in IN_ORDER]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("clips/*.mp4", ["a2.mp4"]),
        ("clips/*", ["A.webm", "a10.MP4", "a2.mp4", "b.mov", "deep/c.mkv", "deep/er/x.yuv", "é.ts"]),
        ("clips/**", ["A.webm", "a10.MP4", "a2.mp4", "b.mov", "deep/c.mkv", "deep/er/x.yuv", "é.ts"]),
        ("clips/a[0-9].mp4", ["a2.mp4"]),
    ],
)
def test_a_pattern_gives_the_clips_that_match(folder: Path, pattern: str, names: Sequence[str]) -> None:
    (folder / "clips" / "round.mp4").unlink()
    assert paths_of(pattern) == [f"clips/{name}" for name in names]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(folder: Path) -> None:
    (folder / "a[1].mp4").write_bytes(b"any")
    assert paths_of("a[1].mp4", "clips/b.mov") == ["a[1].mp4", "clips/b.mov"]


def test_a_text_file_has_a_path_on_each_line(folder: Path) -> None:
    (folder / "list.txt").write_bytes("\ufeffx/a b.mp4\r\n\r\né.mp4\nno suffix".encode())
    assert paths_of("list.txt", "clips/deep", root="clips") == [
        *("x/a b.mp4", "é.mp4", "no suffix"),
        *("deep/c.mkv", "deep/er/x.yuv"),
    ]


def test_paths_become_relative_to_the_root_that_they_are_below(folder: Path) -> None:
    assert paths_of("clips/deep", root=str(folder / "clips")) == ["deep/c.mkv", "deep/er/x.yuv"]
    assert paths_of("clips/b.mov", root="clips/deep") == [str(folder / "clips/b.mov")]


@pytest.mark.parametrize(
    ("paths", "error", "message"),
    [
        (["gone"], InputError, r"^gone: no such file or folder"),
        (["gone/*.mp4"], InputError, r"^gone/\*\.mp4: there are no files here"),
        (
            ["docs"],
            InputError,
            r"^docs: there are no clips here, .* have the suffixes \.md \(2\), no suffix \(1\), clips",
        ),
        (["clips", "docs"], InputError, r"^docs: there are no clips here"),
        (["docs/README"], ConfigError, r"--input docs/README: unknown suffix; known are \.jsonl .* \.txt .* \.mp4"),
        (["a.jsonl", "b.jsonl"], InputError, r"tables are run one by one"),
        (["a.parquet", "clips"], InputError, r"tables are run one by one"),
        (["latin.txt"], InputError, r"the list latin\.txt is not UTF-8: .*iconv"),
    ],
)
def test_what_is_no_clip_is_an_error_that_says_what_is_there(
    folder: Path, paths: Sequence[str], error: type[Exception], message: str
) -> None:
    (folder / "docs").mkdir()
    for name in ("a.md", "b.md", "README"):
        (folder / "docs" / name).touch()
    (folder / "latin.txt").write_bytes("é.mp4".encode("latin-1"))
    with pytest.raises(error, match=message):
        paths_of(*paths)


def test_a_name_that_a_table_cannot_hold_is_named(folder: Path) -> None:
    (folder / os.fsdecode(b"clips/caf\xe9.mp4")).touch()
    with pytest.raises(InputError, match=r"'clips/caf\\udce9\.mp4' is not a name in UTF-8"):
        paths_of("clips")


def test_many_clips_come_in_batches(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("".join(f"{i}.mp4\n" for i in range(40_000)))
    with open_table([str(tmp_path / "list.txt")], columns()) as table:
        assert [batch.rows for batch in table] == [16384, 16384, 40_000 - 2 * 16384]


def write_part(path: Path, names: Sequence[str], **more: pa.Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"src": names, **more}), path)


@pytest.mark.parametrize("named", [["parts"], ["parts/*.parquet"], ["parts/1.parquet", "parts/2.parquet"]])
def test_parquet_parts_are_one_table(folder: Path, named: Sequence[str]) -> None:
    for number in (2, 1):
        write_part(folder / "parts" / f"{number}.parquet", [f"{number}.mp4", "x.mp4"])
    (folder / "parts" / "_SUCCESS").touch()
    write_part(folder / "parts" / "3.parquet", ["old.mp4"], saliency_mean=pa.array([0.5]))
    assert paths_of(*named, output="parts/3.parquet") == ["1.mp4", "x.mp4", "2.mp4", "x.mp4"]
    with open_table(named, columns(), output="parts/3.parquet") as table:
        assert table.rows_total == 4
        assert [batch.first_row for batch in table] == [0, 2]
        assert table.fraction == 1.0


@pytest.mark.parametrize("damaged", ["start", "1-9.mp4", "end"])
def test_the_part_that_is_damaged_is_named(folder: Path, damaged: str) -> None:
    """In a folder of hundreds nobody could tell which one it was: the first rows are read at once, the others later."""
    (folder / "parts").mkdir()
    table = pa.table({"src": [f"{group}-{row}.mp4" for group in range(2) for row in range(10)]})
    for number in (1, 2):
        path = folder / "parts" / f"{number}.parquet"
        pq.write_table(table, path, row_group_size=10, use_dictionary=False, write_statistics=False, compression="none")
    data = path.read_bytes()
    wrong = {"start": data[:4] + b"\xff" * 20 + data[24:], "end": data[:-8]}
    path.write_bytes(wrong.get(damaged, data.replace(damaged.encode(), b"\xff" * 7)))
    with pytest.raises(InputError, match=r"^parts: parts/2\.parquet: \S"):
        paths_of("parts")


def test_parts_that_are_not_of_one_table_stop_the_run(folder: Path) -> None:
    write_part(folder / "parts" / "1.parquet", ["a"], mos=pa.array([1]))
    write_part(folder / "parts" / "2.parquet", ["a"], mos=pa.array([1.5]))
    with pytest.raises(InputError, match=r"parts/2\.parquet is no part of .*parts/1\.parquet: column 'mos' differs"):
        paths_of("parts")
    write_part(folder / "split" / "fold=1" / "a.parquet", ["a"])
    with pytest.raises(InputError, match=r"^split: the names of its folders hold columns"):
        paths_of("split")
    (folder / "broken").mkdir()
    (folder / "broken" / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=r"broken/a\.parquet: "):
        paths_of("broken")
