"""``saliency-batch index``: from what people have to a table of clips, and from that to saliency."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.clips import Encode
from tests.in_process import run, saliency_batch
from tests.processes import HANG, TO_BE_INTERRUPTED, until
from tests.rows import read_rows, write_rows

from saliency_engine.config import RunConfig
from saliency_engine.facts import ClipFacts
from saliency_engine.pipeline.prober import Prober
from saliency_engine.storage.locate import Locator
from saliency_engine.types import ClipReference, ClipRequest, ClipResult, Status, row_batch_of

INDEX = [
    *("src", "width", "height", "frames", "frames_source", "frame_rate", "duration", "codec", "pix_fmt", "bit_depth"),
    *("transfer", "rotation", "file_bytes", "saliency_status", "saliency_error"),
]


def index(*arguments: str | Path, code: int = 0, **options: Any) -> str:
    """What the command says on stderr."""
    return str(saliency_batch("index", *arguments, code=code, text=True, **options).stderr)


@pytest.fixture
def corpus(encode: Encode, tmp_path: Path) -> Path:
    """A folder of what people have."""
    hdr = {"x265-params": "transfer=smpte2084"}
    clips = {
        "a_turned.mp4": encode("turned.mp4", size=(96, 64), rotation=90),
        "b_hdr.mp4": encode("hdr.mp4", codec="libx265", pix_fmt="yuv420p10le", options=hdr, size=(96, 64)),
        "c_96x64_10bit_420.yuv": encode("raw.yuv", size=(96, 64), pix_fmt="yuv420p10le", frames=9),
        "d_size_unknown.yuv": encode("unknown.yuv", size=(96, 64), frames=9),
        "f_counted.mkv": encode("counted.mkv", size=(96, 64)),
    }
    folder = tmp_path / "clips"
    folder.mkdir()
    for name, path in clips.items():
        shutil.copy(path, folder / name)
    (folder / "e_damaged.mp4").write_bytes(b"junk" * 99)
    return folder


def test_a_folder_becomes_a_table_and_that_an_input_of_run(corpus: Path, tmp_path: Path) -> None:
    words = index(corpus, "-o", tmp_path / "out" / "clips.parquet", code=1)
    assert "6 rows: 4 ok, 2 failed; 5 clips probed" in words
    assert "is read as 96x64 yuv420p10le, as its name says" in words
    table = pq.read_table(tmp_path / "out" / "clips.parquet")
    assert table.column_names == INDEX
    rows = table.to_pylist()
    shown = ("frames", "frames_source", "codec", "bit_depth", "transfer", "rotation", "saliency_status")
    assert [[row[name] for name in shown] for row in rows] == [
        [12, "stated", "h264", 8, "sdr", 270, "ok"],
        [12, "stated", "hevc", 10, "pq", 0, "ok"],
        [9, "counted", "rawvideo", 10, "sdr", 0, "ok"],
        [None, None, None, None, None, None, "missing-geometry"],
        [None, None, None, None, None, None, "decode-failed"],
        [12, "counted", "h264", 8, "sdr", 0, "ok"],
    ]
    assert [row["file_bytes"] for row in rows if row["saliency_status"] == "ok"] == [
        (corpus / name).stat().st_size
        for name in ("a_turned.mp4", "b_hdr.mp4", "c_96x64_10bit_420.yuv", "f_counted.mkv")
    ]
    options = ("--model", "frequency_tuned_v1", "--memo", "off")
    run(tmp_path / "out" / "clips.parquet", "-o", tmp_path / "indexed.jsonl", *options, code=1)
    run(corpus, "-o", tmp_path / "direct.jsonl", *options, code=1)
    indexed, direct = read_rows(tmp_path / "indexed.jsonl"), read_rows(tmp_path / "direct.jsonl")
    assert [row["saliency_status"] for row in direct] == [row["saliency_status"] for row in rows]
    for name in direct[0]:
        assert [row.get(name) for row in indexed] == [row.get(name) for row in direct], name


def test_rows_keep_what_is_theirs(encode: Encode, tmp_path: Path) -> None:
    """What a clip is replaces what its row says. Where it fails, the row keeps its word."""
    clip, raw = encode("some.mp4", size=(96, 64)), encode("raw.yuv", size=(96, 64), pix_fmt="yuv420p10le", frames=9)
    lines = [
        f'{{"mos":  4.20, "src": "{clip}", "width": "no size", "height": [1]}}',
        f'{{"src": "{raw}", "width": 96, "height": 64, "pix_fmt": "yuv420p10le", "key": "0012345"}}',
        f'{{"src": "{raw}", "width": 97, "height": 64, "frames": 7}}',
        '{"src": "nowhere.yuv", "width": "96", "height": 64, "pix_fmt": "gray"}',
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    words = index(tmp_path / "in.jsonl", "-o", tmp_path / "out.jsonl", code=1)
    assert "4 rows: 2 ok, 2 failed; 3 clips probed" in words
    texts, rows = (tmp_path / "out.jsonl").read_text().splitlines(), read_rows(tmp_path / "out.jsonl")
    assert texts[0].startswith(f'{{"mos":  4.20, "src": "{clip}", "width": 96, "height": 64, "frames": 12')
    assert rows[1]["key"] == "0012345"
    assert rows[1] | {"frames": 9, "bit_depth": 10, "saliency_status": "ok"} == rows[1]
    assert rows[2] | {"width": 97, "height": 64, "frames": None, "saliency_status": "decode-failed"} == rows[2]
    assert rows[3] | {"width": 96, "pix_fmt": "gray", "saliency_status": "missing-source"} == rows[3]
    assert "codec" not in rows[3]


def test_csv_and_arrow_say_what_they_replace(encode: Encode, tmp_path: Path) -> None:
    clip = encode("some.mp4", size=(96, 64))
    (tmp_path / "in.csv").write_text(f"src;width;note\n{clip};1;'a'\n")
    words = index(tmp_path / "in.csv", "-o", tmp_path / "out.csv", "--error-column", "")
    assert "note: the input has 'width' already; the output has what probing tells there instead" in words
    header, row = (tmp_path / "out.csv").read_text().splitlines()
    assert header == "src;width;note;" + ";".join(INDEX[2:-1])
    assert row.startswith(f"{clip};96;'a';64;12;stated;25.0;")
    schema = pa.schema([("codec", pa.int32()), pa.field("src", pa.string(), nullable=False), ("mos", pa.float32())])
    pq.write_table(pa.table([[1], [str(clip)], [4.5]], schema=schema), tmp_path / "table.parquet")
    index(tmp_path / "table.parquet", "-o", tmp_path / "table.parquet", "--quiet")  # in place, as run may
    table = pq.read_table(tmp_path / "table.parquet")
    assert table.column_names[:4] == ["codec", "src", "mos", "width"]
    assert table.to_pylist()[0] | {"codec": "h264", "src": str(clip), "mos": 4.5, "width": 96} == table.to_pylist()[0]


def test_rows_of_one_clip_share_one_probe(encode: Encode, tmp_path: Path) -> None:
    clip = str(encode("some.mp4", size=(96, 64)))
    rows = [{"src": clip, "frame": frame, "pad": "x" * 1000} for frame in range(600)]  # several row batches
    done = saliency_batch("index", write_rows(tmp_path / "in.jsonl", rows), "-o", "-")
    assert b"600 rows: 600 ok, 0 failed; 1 clips probed" in done.stderr
    (tmp_path / "out.jsonl").write_bytes(done.stdout)
    assert {row["frames"] for row in read_rows(tmp_path / "out.jsonl")} == {12}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("in.jsonl", "-o", "clip.mp4"), "unknown suffix"),
        (("in.jsonl", "-o", "folder.parquet"), "is not a regular file"),
        (("in.jsonl", "-o", "out.jsonl", "--rejects", "in.jsonl"), "--rejects in.jsonl would overwrite --input"),
        (("in.jsonl", "-o", "clip.jsonl"), "clip.jsonl would overwrite a video, where JSON belongs"),
        (("in.jsonl", "-o", "out.jsonl", "--path-column", "codec"), "the clips' paths are in the column 'codec'"),
        (("none.mp4", "-o", "out.jsonl"), "none.mp4: no such file or folder"),
    ],
)
def test_what_cannot_be_done_is_refused(
    encode: Encode, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "folder.parquet").mkdir()
    (tmp_path / "clip.jsonl").symlink_to(encode("some.mp4", size=(96, 64)))
    before = (tmp_path / "clip.jsonl").read_bytes()
    write_rows(tmp_path / "in.jsonl", [{"src": "clip.jsonl", "codec": "x"}])
    assert message in index(*arguments, code=2, cwd=tmp_path)
    assert (tmp_path / "clip.jsonl").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"folder.parquet", "clip.jsonl", "in.jsonl"}


def test_a_clip_that_ends_its_process_is_a_row(encode: Encode) -> None:
    """Two processes die at the second clip; the third is probed all the same, in another."""
    config = RunConfig(decode_workers=1)
    paths = [str(encode(name, size=(96, 64))) for name in ("counted.mkv", "deadly.mkv", "some.mp4")]
    with Prober(config, Locator(config), count_frames=False) as prober:
        give = prober._pool._give

        def kill_at_the_second(index: int, job: tuple[ClipRequest, int], deaths: tuple[str, ...] = ()) -> None:
            process = prober._pool._workers[index].process.pid
            is_deadly = job[0].path == paths[1]
            assert process is not None
            if is_deadly:
                os.kill(process, signal.SIGSTOP)  # so that it does not end before it is killed
            give(index, job, deaths)
            if is_deadly:
                os.kill(process, signal.SIGKILL)

        prober._pool._give = kill_at_the_second  # type: ignore[method-assign]
        [(_, outcomes)] = prober.results([row_batch_of([ClipReference(path) for path in paths])], lambda: None)
    first, deadly, third = outcomes
    assert isinstance(deadly, ClipResult)
    assert deadly.status is Status.DECODE_FAILED
    assert "two decoding processes died at this clip" in str(deadly.reason)
    assert [facts.frames for facts in (first, third) if isinstance(facts, ClipFacts)] == [12, 12]


def test_an_interrupted_index_leaves_nothing_and_promises_nothing(encode: Encode, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    clip = shutil.copy(encode("some.mp4", size=(96, 64)), tmp_path)
    for number in range(3000):
        os.link(clip, tmp_path / "clips" / f"{number}.mp4")
    process = subprocess.Popen(
        [*TO_BE_INTERRUPTED, "index", "clips", "-o", "out.parquet", "--decode-workers", "1"],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    until((tmp_path / "out.parquet.partial").exists, "it does not begin")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=HANG)
    assert process.returncode == 130
    assert stderr.decode().splitlines()[-1] == "interrupted; run the same command again"
    assert {path.name for path in tmp_path.iterdir()} == {"clips", "some.mp4"}
