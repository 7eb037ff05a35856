"""``show`` and ``preview`` convert nothing that they do not print."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.arrow_types import COLUMNS
from tests.engine.conftest import command
from tests.tables import write_ipc

FAR = pa.array([2**62] * 3, pa.int64()).cast(pa.timestamp("s"))
"""Times that neither Python nor text has a form for."""


def test_columns_that_are_not_shown_are_not_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    others = {f"other {name}": column for name, column in COLUMNS.items()}
    nested = pa.StructArray.from_arrays([FAR], ["far"])
    table = pa.table({"src": ["a", "b", "c"], "saliency_mean": [0.5, None, 0.25], "far": FAR, "in": nested, **others})
    command("show", write_ipc(tmp_path / "in.arrow", table), "--rows", "2")
    shown = capsys.readouterr().out
    assert [word for word in ("0.500000", "0.250000", "far", "other") if word in shown] == ["0.500000"]


def test_columns_of_every_type_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, column in COLUMNS.items():
        table = pa.table({"src": ["a", "b", "c"], f"saliency_{name}": column})
        command("show", write_ipc(tmp_path / "in.arrow", table))
    assert "2024-02-29" in capsys.readouterr().out


def test_saliency_of_every_prefix_is_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    row = {"src": "a.mp4", "open_mean": 0.125, "open_var": 0.0625, "open_model_id": "m", "saliency_mean": 0.5}
    pq.write_table(pa.Table.from_pylist([row | {"mos": 4.75}]), tmp_path / "in.parquet")
    command("show", tmp_path / "in.parquet")
    shown = capsys.readouterr().out
    assert [word for word in ("a.mp4", "0.125000", "0.062500", "0.500000", "4.75") if word not in shown] == ["4.75"]


def test_an_index_is_shown(tmp_path: Path, clips: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    size = str(clips["bikes"].stat().st_size)
    for suffix in ("jsonl", "parquet"):
        with pytest.raises(SystemExit, match="0"):
            command("index", clips["bikes"], "-o", tmp_path / f"index.{suffix}")
        command("show", tmp_path / f"index.{suffix}")
        shown = capsys.readouterr().out
        assert [word for word in ("bikes", "h264", "width", size) if word not in shown] == []


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_a_preview_converts_the_clips_alone(tmp_path: Path, clips: dict[str, Path], suffix: str) -> None:
    near: Any = pa.array([1], pa.int64()).cast(pa.timestamp("ns"))
    blobs = pa.array([[b"\0" * 1000] * 100])
    clip = shutil.copy(clips["bikes"], tmp_path / "clip.mp4")
    table = pa.table({"src": [str(clip)], "far": FAR.slice(0, 1).cast(pa.int64()), "near": near, "blobs": blobs})
    path = tmp_path / f"in.{suffix}"
    pq.write_table(table, path) if suffix == "parquet" else write_ipc(path, table)
    command("preview", "--input", path, "--output", tmp_path / "sheet.png", "--model", "frequency_tuned_v1")
    assert (tmp_path / "sheet.png").stat().st_size
