"""Arrow IPC: streams in files, streams that are cut, batches that lie."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.tables import clips_of, ipc_stream, read, run_without_clips, write_ipc

from saliency_engine.errors import InputError
from saliency_engine.tables import batches


def test_an_arrow_file_may_hold_a_stream(tmp_path: Path) -> None:
    (tmp_path / "in.arrow").write_bytes(ipc_stream(pa.table({"src": ["a", "b", "c"]})))
    assert len(clips_of(read(tmp_path / "in.arrow"))) == 3


STREAM = ipc_stream(pa.table({"src": ["a", "b", "c"]}))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (STREAM[:-8], "has no end mark: it was cut off"),
        (STREAM[: STREAM.rindex(b"\xff\xff\xff\xff", 0, -8)], "has no end mark"),
        (STREAM[:-4], "Expected to be able to read|has no end mark|metadata"),
        (STREAM[:-20], "Expected to be able to read"),
        (STREAM + STREAM, "more data follows the end of the stream"),
    ],
    ids=["unclosed", "a batch less", "half a mark", "half a batch", "two"],
)
def test_a_stream_that_was_cut_or_joined_is_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    """Arrow alone takes the first two for whole ones, and reads the first of two."""
    with pytest.raises(InputError, match=f"^stdin: .*({reason})"):
        read("-", data)
    (tmp_path / "in.arrow").write_bytes(data)
    with pytest.raises(InputError, match=rf"in\.arrow: .*({reason})"):
        read(tmp_path / "in.arrow")


def test_batches_that_point_outside_themselves_are_refused(tmp_path: Path) -> None:
    """Arrow alone reads what lies there, or crashes."""
    texts = pa.StringArray.from_buffers(2, pa.py_buffer(np.array([0, 1 << 20, 4], np.int32)), pa.py_buffer(b"abcd"))
    codes = pa.DictionaryArray.from_arrays(pa.array([0, 77], pa.int32()), pa.array(["a"]), safe=False)
    not_text = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 1], np.int32)), pa.py_buffer(b"\xff"))
    for column, reason in ((texts, "[Oo]ffset"), (codes, "out of bounds"), (not_text, "Invalid UTF8")):
        for name, make in (("in.arrow", pa.ipc.new_file), ("stream.arrow", pa.ipc.new_stream)):
            batch = pa.record_batch({"src": column})
            with make(tmp_path / name, batch.schema) as writer:
                writer.write_batch(batch)
            with pytest.raises(InputError, match=rf"{name}: .*{reason}"):
                read(tmp_path / name)


def test_views_are_written_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice of views keeps the bytes of all: 40 slices of one batch were written as 40 times its bytes."""
    monkeypatch.setattr(batches, "BATCH_ROWS", 100)
    texts = pa.array([f"clip {number:060}.mp4" for number in range(4000)], pa.string_view())
    source = write_ipc(tmp_path / "in.arrow", pa.table({"src": texts}))
    run_without_clips(source, str(tmp_path / "out.arrow"))
    assert (tmp_path / "out.arrow").stat().st_size < 3 * source.stat().st_size
    assert pa.ipc.open_file(tmp_path / "out.arrow").read_all()["src"].to_pylist() == texts.to_pylist()
