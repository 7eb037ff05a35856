"""The manifests of configs/corpora, each on a small corpus of that shape."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.clips import Encode
from tests.conftest import PROJECT
from tests.rows import write_rows

from saliency_engine.jobs.batch import BatchJob, run_batch
from saliency_engine.jobs.manifest import read_manifest

MANIFESTS = sorted((PROJECT / "configs" / "corpora").glob("*.toml"))
CORPORA = {
    *("bvi-dvc", "chug-hdr", "konvid-150k", "konvid-1k", "live-vqc", "lsvq", "netflix", "waterloo-ivc-4k"),
    "youtube-ugc",
}


def place(clip: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(clip, target)


def make_konvid_and_chug(folder: Path, bikes: Path, encode: Encode) -> None:
    at = folder / "konvid-150k"
    place(bikes, at / "k150ka_extracted" / "0012345.mp4")
    rows = [{"src": path, "width": 960, "height": 540} for path in ("k150ka_extracted/0012345.mp4", "0012345.mp4")]
    write_rows(at / "konvid_150k.jsonl", rows)

    at = folder / "konvid-1k"
    place(bikes, at / "KoNViD_1k_videos" / "3015391563.mp4")
    rows = [{"key": "3015391563", "source": "fold0", "frame": frame} for frame in range(240)]
    pq.write_table(pa.Table.from_pylist(rows), at / "konvid_1k.parquet")

    at = folder / "chug-hdr"
    clip = encode("hlg.mp4", size=(72, 128), pix_fmt="yuv420p10le", codec="libx265", color_trc=18, color_primaries=9)
    place(clip, at / "chug-hdr" / "videos" / "aa" / "x1.mp4")
    write_rows(at / "chug.jsonl", [{"chug_video_id": "x1", "src": "aa/x1.mp4"}])


def make_those_with_ids(folder: Path, bikes: Path, encode: Encode) -> None:
    at = folder / "youtube-ugc"
    place(bikes, at / "ugc" / "Gaming_1080P-223e_cbr.mp4")
    place(encode("manifest.webm", codec="libvpx-vp9"), at / "ugc" / "Sports_720P-00a1_vodlb.webm")
    write_rows(at / "ugc.jsonl", [{"source": "ugc-Gaming_1080P-223e-cbr"}, {"source": "ugc-Sports_720P-00a1-vodlb"}])

    at, key = folder / "bvi-dvc", "DTrees_96x64_25fps_10bit_420"
    place(encode(f"{key}.yuv", size=(96, 64), pix_fmt="yuv420p10le"), at / "BVI-DVC" / f"{key}.yuv")
    write_rows(at / "bvi.jsonl", [{"key": key, "src": f"bvi-dvc:{key}"}])

    at, name = folder / "netflix", "B_25_384x288_550.yuv"
    place(encode(f"manifest-{name}", size=(1920, 1080), frames=8), at / "netflix" / "dis" / name)
    pq.write_table(pa.table({"dis_basename": [name] * 160}), at / "netflix.parquet")


def make_those_of_scores(folder: Path, bikes: Path, encode: Encode) -> None:
    place(bikes, folder / "live-vqc" / "clips" / "A001.mp4")
    (folder / "live-vqc" / "manifest.csv").write_text("A001.mp4,80.232\n")

    place(
        encode("manifest-4k.yuv", size=(3840, 2160), frames=8),
        folder / "waterloo-ivc-4k" / "clips" / "HEVC_1_540p_1.yuv",
    )
    (folder / "waterloo-ivc-4k" / "manifest.csv").write_text("HEVC,1,540p,1,18.21\n")

    place(bikes, folder / "lsvq" / "clips" / "ia-batch1" / "a.mp4")
    place(bikes, folder / "lsvq" / "clips" / "yfcc-batch2" / "2001.mp4")
    (folder / "lsvq" / "manifest.csv").write_text("name,mos\nia-batch1/a,3.4\nyfcc-batch2/2001.mp4,4.1\n")


@pytest.fixture
def corpora(tmp_path: Path, clips: dict[str, Path], encode: Encode) -> Path:
    for make in (make_konvid_and_chug, make_those_with_ids, make_those_of_scores):
        make(tmp_path, clips["bikes"], encode)
    return tmp_path


def test_each_corpus_has_a_manifest_that_finds_all_of_its_clips(corpora: Path) -> None:
    """All of them in one batch, each in its folder: what is under test is their options."""
    tables = [table for path in MANIFESTS for table in move(path)]
    assert {table["id"] for table in tables} == CORPORA
    (corpora / "all.json").write_text(json.dumps({"defaults": {"model": "frequency_tuned_v1"}, "tables": tables}))
    report = run_batch(BatchJob(str(corpora / "all.json"), {"quiet": True, "decode_workers": 2}))
    rows = {"konvid-150k": 2, "konvid-1k": 240, "youtube-ugc": 2, "netflix": 160, "lsvq": 2}
    assert {table["id"]: table.get("error") or table["summary"] for table in report["tables"]} == {
        name: {"total": n, "ok": n, "skipped_existing": 0, "failed": 0} for name in CORPORA for n in [rows.get(name, 1)]
    }
    audit = json.loads((corpora / "chug-hdr" / "saliency" / "chug.audit.json").read_text())
    assert (audit["config"]["hdr"], audit["clips"]["transfer"]["hlg"]) == ("tonemap", 1)


def move(path: Path) -> Iterator[dict[str, Any]]:
    """The tables of a manifest, with their paths in a folder of the manifest's name."""
    document = tomllib.loads(path.read_text())
    assert "defaults" not in document
    for table in document["tables"]:
        paths = {name: f"{path.stem}/{table[name]}" for name in ("input", "output", "audit_json", "root")}
        yield table | paths


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_a_manifest_stands_in_its_own_words(path: Path, tmp_path: Path) -> None:
    (entry,) = read_manifest(str(path), {"model_path": "m.onnx"}, str(tmp_path))
    assert entry.id == path.stem
    assert f"saliency-batch batch configs/corpora/{path.name} --base-dir " in path.read_text()
    assert entry.job.output.startswith(f"{tmp_path}/saliency/")
