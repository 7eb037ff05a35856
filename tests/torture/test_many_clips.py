"""30,000 clips in one run: memory and file descriptors of all its processes, sampled all along."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.clips import Encode
from tests.processes import MAIN
from tests.rows import write_rows
from tests.small_models import miniature
from tests.torture.conftest import SCALE, Record, times

CHART = Path(__file__).resolve().parents[2] / "docs" / "many-clips.png"
_SOURCES = ("bikes", "bigbuckbunny", "carphone_pristine", "carphone_distorted")


@dataclass(frozen=True)
class Sample:
    """Sums over all processes of the run."""

    clips: int
    """How many are finished."""
    bytes: int
    """Memory, without what is mapped from files: other programs may share those libraries now and not later."""
    descriptors: int
    """Open files; a clip that is being decoded holds one."""


def _clips(folder: Path, encode: Encode, count: int) -> list[Path]:
    """``count`` files, each with a name of its own, that hold 12 different tiny clips."""
    made = [
        encode(f"tiny-{source}-{width}.mp4", source=source, size=(width, 48), frames=8)
        for source in _SOURCES
        for width in (48, 64, 80)
    ]
    paths = [folder / f"{number}.mp4" for number in range(count)]
    for number, path in enumerate(paths):
        path.hardlink_to(made[number % len(made)])
    return paths


def _family(root: int) -> list[int]:
    """Process ids of ``root`` and everything that it started: all of its session."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                if int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == root:
                    members.append(int(entry.name))
    return members


def _sample(root: int, memo: Path) -> Sample | None:
    total, descriptors = 0, 0
    try:
        for pid in _family(root):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += 1024 * sum(int(line.split()[1]) for line in rollup if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  names only, thousands of times
        with closing(sqlite3.connect(f"file:{memo}?mode=ro", uri=True)) as database:
            clips = int(database.execute("SELECT count(*) FROM clips").fetchone()[0])
    except (OSError, sqlite3.Error):  # starting or ending
        return None
    return Sample(clips, total, descriptors)


def test_thirty_thousand_clips_take_no_more_memory_than_a_few(tmp_path: Path, encode: Encode, record: Record) -> None:
    count = times(30_000)
    (tmp_path / "clips").mkdir()
    rows = [{"src": str(path)} for path in _clips(tmp_path / "clips", encode, count)]
    write_rows(tmp_path / "in.jsonl", rows)
    memo = tmp_path / "memo.sqlite"
    command = [*MAIN, "run", "--quiet"]
    command += ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "out.jsonl"), "--memo", str(memo)]
    (tmp_path / "model.onnx").write_bytes(miniature().SerializeToString())
    command += ["--model-path", str(tmp_path / "model.onnx")]
    process = subprocess.Popen(command, start_new_session=True)
    samples = []
    while process.poll() is None:
        sample = _sample(process.pid, memo)
        if sample is not None and sample.clips:
            samples.append(sample)
        time.sleep(max(0.05, min(1.0, count / 30_000)))
    assert process.returncode == 0
    assert (tmp_path / "out.jsonl").read_bytes().count(b"\n") == count
    settled = [sample for sample in samples if 0.2 * count < sample.clips < 0.98 * count]
    clips, sizes = np.array([(sample.clips, sample.bytes) for sample in settled], float).T
    slope = float(np.polyfit(clips, sizes, 1)[0])
    half = len(settled) // 2
    early, late = (max(sample.descriptors for sample in part) for part in (settled[:half], settled[half:]))
    record(
        "16-many-clips",
        clips=count,
        bytes_per_clip=round(slope, 1),
        mebibytes_at_20_percent=round(float(sizes[0]) / 2**20, 1),
        mebibytes_at_end=round(float(sizes[-1]) / 2**20, 1),
        most_descriptors_in_first_half=early,
        most_descriptors_in_second_half=late,
    )
    if SCALE == 1:
        _draw(samples)
        assert slope <= 1024
    assert late <= early + 8  # clips being decoded; a leak would add thousands


def _draw(samples: list[Sample]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3), layout="constrained")
    memory = figure.subplots()
    memory.plot([sample.clips for sample in samples], [sample.bytes / 2**20 for sample in samples], color="tab:blue")
    memory.set(xlabel="clips finished", ylabel="MiB, all processes", ylim=(0, None), title="One run over many clips")
    figure.savefig(CHART, dpi=120)
