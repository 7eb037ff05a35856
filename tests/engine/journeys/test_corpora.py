"""The corpora of docs/corpora.md, small and made of real clips: its commands do what it says."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.csv import write_csv
from tests import in_process
from tests.clips import Encode
from tests.conftest import PROJECT
from tests.rows import read_rows, write_rows
from tests.tables import WRITERS

PAGE = (PROJECT / "docs" / "corpora.md").read_text(encoding="utf-8")
run = partial(in_process.run, "--model", "frequency_tuned_v1")


def follow(title: str, folder: Path, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    """Run the command of the page's section ``title`` in ``folder``; gives the rows of its output, and stderr."""
    section = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    (block,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    program, command, *words = shlex.split(block.replace("\\\n", " "))
    assert (program, command) == ("saliency-batch", "run")
    done = run(*words, code=code, cwd=folder)
    output = folder / words[words.index("--output") + 1]
    rows = pq.read_table(output).to_pylist() if output.suffix == ".parquet" else read_rows(output)
    return rows, done.stderr.decode()


def statuses(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    return [row["saliency_status"] for row in rows]


def place(clip: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(clip, target)


def test_konvid_150k(tmp_path: Path, clips: dict[str, Path]) -> None:
    """Names without a folder; digits that must stay text; an id that is a number."""
    place(clips["bikes"], tmp_path / "k150ka_extracted" / "0012345.mp4")
    place(clips["bikes"], tmp_path / "k150ka_extracted" / "77.mp4")
    names: list[Any] = ["0012345", 77, None, "gone"]
    write_rows(tmp_path / "konvid_150k.jsonl", ({"clip_name": name, "mos": 3.1} for name in names))
    rows, _ = follow("KoNViD-150k", tmp_path, code=1)
    assert statuses(rows) == ["ok", "ok", "missing-source", "missing-source"]
    assert rows[0]["saliency_mean"] == rows[1]["saliency_mean"]
    assert rows[2]["saliency_error"].startswith("column 'clip_name' has no text or number in this row")
    assert rows[3]["saliency_error"] == f"no such file: {tmp_path}/k150ka_extracted/gone.mp4"


def test_konvid_1k(tmp_path: Path, clips: dict[str, Path]) -> None:
    """Many rows of a clip, whose name they have without its suffix."""
    for key in ("3015391563", "4265470174"):
        place(clips["bikes"], tmp_path / "KoNViD_1k_videos" / f"{key}.mp4")
    rows = [{"key": key, "source": "fold0", "frame": n} for key in ("3015391563", "4265470174") for n in range(240)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "konvid_1k.parquet")
    done, _ = follow("KoNViD-1k", tmp_path)
    assert statuses(done) == ["ok"] * 480
    audit = json.loads((tmp_path / "konvid_1k.audit.json").read_text())
    assert audit["clips"] == {
        **{"computed": 2, "reused": 0, "failed": 0, "frames": 16},
        **{"transfer": {"sdr": 2, "pq": 0, "hlg": 0}, "bit_depth": {"8": 2}},
    }


def test_chug_hdr(tmp_path: Path, encode: Encode) -> None:
    """Rows begin one folder deeper than the documented root; clips are portrait, and have 10 bits."""
    clip = encode("chug.mp4", size=(72, 128), pix_fmt="yuv420p10le", codec="libx265")
    place(clip, tmp_path / "chug-hdr" / "videos" / "aa" / "x1.mp4")
    write_rows(tmp_path / "chug.jsonl", [{"chug_video_id": "x1", "src": "aa/x1.mp4"}])
    rows, _ = follow("CHUG-HDR", tmp_path)
    assert statuses(rows) == ["ok"]


def test_youtube_ugc(tmp_path: Path, clips: dict[str, Path], encode: Encode) -> None:
    """An id for a name, a hyphen for an underscore, and two suffixes."""
    place(clips["bikes"], tmp_path / "ugc" / "Gaming_1080P-223e_cbr.mp4")
    place(encode("ugc.webm", codec="libvpx-vp9"), tmp_path / "ugc" / "Sports_720P-00a1_vodlb.webm")
    ids = ["ugc-Gaming_1080P-223e-cbr", "ugc-Sports_720P-00a1-vodlb", "ugc-Gaming_1080P-223e-orig", "Gaming_1080P"]
    write_rows(tmp_path / "ugc.jsonl", ({"source": name} for name in ids))
    rows, _ = follow("YouTube UGC", tmp_path, code=1)
    assert statuses(rows) == ["ok", "ok", "missing-source", "missing-source"]
    path = f"{tmp_path}/ugc/Gaming_1080P-223e_orig"
    assert rows[2]["saliency_error"] == f"no such file: {path}.mp4, {path}.webm"
    assert "column 'source' holds 'Gaming_1080P', where --path-regex" in rows[3]["saliency_error"]


def test_bvi_dvc(tmp_path: Path, encode: Encode) -> None:
    """Size, depth and chroma are in the name alone, and the row has no path but a key."""
    keys = ["DTrees_96x64_25fps_10bit_420", "DWater_64x48_30fps_10bit_420", "DFire_64x48_30fps_10bit_420"]
    for key, size in zip(keys, [(96, 64), (64, 48)], strict=False):
        place(encode(f"{key}.yuv", size=size, pix_fmt="yuv420p10le"), tmp_path / "BVI-DVC" / f"{key}.yuv")
    place(encode("8bit.yuv", size=(64, 48)), tmp_path / "BVI-DVC" / f"{keys[2]}.yuv")
    rows = [{"key": key, "src": f"bvi-dvc:{key}"} for key in keys[:2]]
    write_rows(tmp_path / "bvi.jsonl", [*rows, {**rows[1], "pix_fmt": "yuv420p"}])
    done, stderr = follow("BVI-DVC", tmp_path, code=1)
    assert statuses(done) == ["ok", "ok", "decode-failed"]
    assert stderr.count("note: ") == 1
    assert f"{keys[0]}.yuv is read as 96x64 yuv420p10le, as its name says" in stderr
    both = "the file's name says 10 bits a sample, but --pix-fmt-column says yuv420p, which has 8: correct one of them"
    assert done[2]["saliency_error"] == f"{both} ({tmp_path}/BVI-DVC/{keys[1]}.yuv)"


def test_netflix(tmp_path: Path, encode: Encode) -> None:
    """All files have one size, whatever the names say."""
    for name in ("A_25fps_20_288_375.yuv", "B_25_384x288_550.yuv"):
        place(encode(f"netflix-{name}", size=(1920, 1080), frames=8), tmp_path / "netflix" / "dis" / name)
    names = ["A_25fps_20_288_375.yuv", "B_25_384x288_550.yuv"]
    rows = [{"dis_basename": name, "frame": frame} for name in names for frame in range(160)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "netflix.parquet")
    done, stderr = follow("Netflix public", tmp_path)
    assert statuses(done) == ["ok"] * 320
    assert "note: " not in stderr


@pytest.mark.parametrize("suffix", [*WRITERS, "csv"])
def test_a_template_gives_the_same_clips_in_every_format(tmp_path: Path, clips: dict[str, Path], suffix: str) -> None:
    for name in ("0012345-12", "7-12"):
        place(clips["bikes"], tmp_path / f"{name}.mp4")
    rows = {"name": ["0012345", "7", "7", None], "take": [12, 12, 12, 1], "n": [1, 2, 3, 4]}
    {"csv": lambda path, table: write_csv(table, path), **WRITERS}[suffix](tmp_path / f"in.{suffix}", pa.table(rows))
    run(
        *("--input", f"in.{suffix}", "--output", "out.jsonl", "--path-template", "{name}-{take}.mp4"),
        *("--audit-json", "audit.json"),
        cwd=tmp_path,
        code=1,
    )
    assert statuses(read_rows(tmp_path / "out.jsonl")) == ["ok", "ok", "ok", "missing-source"]
    assert json.loads((tmp_path / "audit.json").read_text())["clips"]["computed"] == 2
    run(
        "--input", f"in.{suffix}", "--output", "out.jsonl", "--path-template", "{name}-{tale}.mp4", cwd=tmp_path, code=2
    )


def test_messages_name_the_file_that_a_row_resolved_to(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "a.yuv").write_bytes(bytes(99))
    write_rows(tmp_path / "in.jsonl", [{"key": "empty"}, {"key": "a"}, {"key": "../x"}])
    run(
        *("--input", "in.jsonl", "--output", "out.jsonl", "--path-column", "key", "--confine"),
        *("--path-suffix", ".mp4", "--path-suffix", ".yuv"),
        cwd=tmp_path,
        code=1,
    )
    reasons = [row["saliency_error"] for row in read_rows(tmp_path / "out.jsonl")]
    assert reasons[0] == f"the file is empty ({tmp_path}/empty.mp4)"
    assert reasons[1].startswith("raw video needs a width and a height")
    assert reasons[1].endswith(f"({tmp_path}/a.yuv)")
    assert reasons[2] == "the path leads outside --root, which --confine forbids (../x.mp4)"


def test_numbers_stand_in_paths_as_they_stand_in_lines(tmp_path: Path, clips: dict[str, Path]) -> None:
    names = ["12", "12.0", "7.10", "1E5", "18446744073709551617", "-3"]
    for name in names:
        place(clips["bikes"], tmp_path / f"{name}.mp4")
    (tmp_path / "in.jsonl").write_text("\n".join(f'{{"id": {name}}}' for name in [*names, "true", "[1]", "NaN"]))
    run("--input", "in.jsonl", "--output", "out.jsonl", "--path-template", "{id}.mp4", cwd=tmp_path, code=1)
    assert statuses(read_rows(tmp_path / "out.jsonl")) == ["ok"] * 6 + ["missing-source"] * 3
