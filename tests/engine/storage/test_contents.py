"""Files of every kind are known by their first bytes; text that only resembles one is text."""

from __future__ import annotations

import gzip
import io
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from tests.clips import Encode

from saliency_engine.models.entry import asset
from saliency_engine.storage.contents import HEAD_BYTES, Content, identify

TABLE = pa.table({"src": ["a.mp4"]})


def zipped(name: str, text: str = "x") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, text)
    return file.getvalue()


def written(write: Callable[[pa.BufferOutputStream], object]) -> bytes:
    sink = pa.BufferOutputStream()
    write(sink)
    return bytes(sink.getvalue())


def as_stream(sink: pa.BufferOutputStream) -> None:
    with pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)


def database(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute("create table t (a)")
    connection.close()
    return path.read_bytes()


@pytest.mark.parametrize(
    ("data", "content"),
    [
        (zipped("[Content_Types].xml"), Content.EXCEL),
        (zipped("mimetype", "application/vnd.oasis.opendocument.spreadsheet"), Content.SPREADSHEET),
        (zipped("clips.csv"), Content.ZIP),
        (gzip.compress(b"src\n", mtime=0), Content.GZIP),
        (pa.compress(b"src\n", "zstd", asbytes=True), Content.ZSTD),
        (written(lambda sink: pq.write_table(TABLE, sink)), Content.PARQUET),
        (written(lambda sink: pq.write_table(TABLE.slice(0, 0), sink)), Content.PARQUET),
        (written(lambda sink: pyarrow.feather.write_feather(TABLE, sink)), Content.ARROW),
        (written(as_stream), Content.STREAM),
        (asset("frequency_tuned_v1.onnx").read_bytes(), Content.ONNX),
        (b"\n <!DOCTYPE html>\n<html>", Content.WEB_PAGE),
        (b"\xef\xbb\xbf<html lang=en>", Content.WEB_PAGE),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", Content.LFS_POINTER),
        (b'\n{"src": "a.mp4"}\n', Content.JSON),
        (b'[\n  {"src": "a.mp4"}]', Content.JSON_ARRAY),
        (b"src,free,skip\na,1,2\n", Content.TEXT),
        (b"PAR1,PAR2\n3,4\n", Content.TEXT),
        (b"G" * 600, Content.TEXT),
        ("Größe;Straße\n".encode("cp1252"), Content.TEXT),
        (bytes(range(256)), None),
        (b" \n", None),
        (b"", None),
    ],
)
def test_contents(data: bytes, content: Content | None) -> None:
    assert identify(data[:HEAD_BYTES]) == content


def test_a_database(tmp_path: Path) -> None:
    assert identify(database(tmp_path / "db")) == Content.SQLITE


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi", "ts", "flv", "y4m", "h264", "mpg"])
def test_videos(suffix: str, encode: Encode) -> None:
    codec = {"y4m": "wrapped_avframe", "mpg": "mpeg1video"}.get(suffix, "libx264")
    clip = encode(f"clip.{suffix}", codec=codec)
    assert identify(clip.read_bytes()[:HEAD_BYTES]) == Content.VIDEO
