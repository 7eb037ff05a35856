"""libvmaf's logs in its three formats, whose names are those of clips more or less."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from saliency_engine.errors import InputError
from saliency_engine.jobs.mos_prep.run import prepare
from saliency_engine.jobs.mos_prep.settings import Settings

JSON = {
    "version": "3.0.0",
    "frames": [
        {"frameNum": 0, "metrics": {"integer_adm2": 0.9, "integer_motion2": 0.0, "vmaf": 80.0}},
        {"frameNum": 1, "metrics": {"integer_adm2": 0.7, "integer_motion2": 4.0, "vmaf": 90.0}},
    ],
    "pooled_metrics": {
        "integer_adm2": {"min": 0.7, "max": 0.9, "mean": 0.8, "harmonic_mean": 0.79},
        "integer_motion2": {"min": 0.0, "max": 4.0, "mean": 2.0, "harmonic_mean": 0.7},
        "vmaf": {"min": 80.0, "max": 90.0, "mean": 85.0, "harmonic_mean": 84.9},
    },
    "aggregate_metrics": {},
}
XML = """<VMAF version="3.0.0">
  <params qualityWidth="1920" qualityHeight="1080" />
  <frames>
    <frame frameNum="0" integer_adm2="0.9" integer_motion2="0" vmaf="80" />
    <frame frameNum="1" integer_adm2="0.7" integer_motion2="4" vmaf="90" />
  </frames>
  <pooled_metrics>{pooled}</pooled_metrics>
</VMAF>"""
METRIC = '<metric name="integer_adm2" min="0.7" max="0.9" mean="0.8" /><metric name="integer_motion2" mean="2" />'
CSV = "Frame,integer_adm2,integer_motion2,vmaf,\n0,0.9,0,80,\n1,0.7,4,90,\n"


def prepare_with(tmp_path: Path, logs: dict[str, str]) -> list[dict[str, object]]:
    (tmp_path / "logs" / "more").mkdir(parents=True)
    for name, text in logs.items():
        (tmp_path / "logs" / name).write_text(text)
    names = [f"c{number}" for number in range(12)]
    (tmp_path / "f.csv").write_text("src,brightness\n" + "".join(f"x/{name}.mp4,{name[1:]}\n" for name in names))
    (tmp_path / "l.csv").write_text("name,mos\n" + "".join(f"{name}.mp4,{1 + int(name[1:]) % 5}\n" for name in names))
    output = str(tmp_path / "train.parquet")
    tables, labels, logs_folder = [str(tmp_path / "f.csv")], [str(tmp_path / "l.csv")], [str(tmp_path / "logs")]
    prepare(Settings(tables=tables, labels=labels, vmaf_logs=logs_folder, output=output, folds=3))
    return list(pq.read_table(output).to_pylist())


def test_all_formats_give_the_same_means(tmp_path: Path) -> None:
    unpooled = json.dumps(JSON | {"pooled_metrics": {}})
    logs = {
        "c0.json": json.dumps(JSON),
        "c1.mp4.xml": XML.format(pooled=METRIC),
        "c2.csv": CSV,
        "c3.json": unpooled,
        "more/c4.mp4.vmaf.xml": XML.format(pooled=""),
        "nobody.csv": CSV,
    }
    rows = prepare_with(tmp_path, logs)
    assert [(round(float(str(row["adm2"])), 9), row["motion2"]) for row in rows] == [(0.8, 2.0)] * 5 + [(0.0, 0.0)] * 7
    assert [row["vmaf"] for row in rows[2:6]] == [85.0] * 3 + [None]


@pytest.mark.parametrize(
    ("name", "text"),
    [("c0.json", "[]"), ("c0.xml", "<VMAF"), ("c0.csv", "a,b\n1,2\n"), ("c0.json", '{"frames": 3}')],
)
def test_other_files_are_told(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(InputError, match=rf"{name}: it is no log of libvmaf"):
        prepare_with(tmp_path, {name: text})


def test_what_a_log_lacks_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"c0\.json: it is no log of libvmaf \(it has no 'frames'\)"):
        prepare_with(tmp_path, {"c0.json": "{}"})


def test_logs_without_numbers_and_folders_without_logs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this log of libvmaf has no features"):
        prepare_with(tmp_path, {"c0.csv": "Frame,\n0,\n"})
    for folder, message in (("none", "there is no such folder"), ("empty", "there are no logs of libvmaf here")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(InputError, match=message):
            prepare(Settings(tables=[], vmaf_logs=[str(tmp_path / folder)], output=str(tmp_path / "t.parquet")))


def test_two_logs_of_one_clip(tmp_path: Path) -> None:
    logs = {f"c{number}.json": json.dumps(JSON) for number in range(12)} | {"c3.mp4.json": json.dumps(JSON)}
    with pytest.raises(InputError, match=r"the logs 'c3' and 'c3.mp4' are both of the clip 'c3.mp4': move one"):
        prepare_with(tmp_path, logs)
