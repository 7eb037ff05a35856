"""The commands of docs/tutorial.md, on clips cut from four real ones and with scores that are made up."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from tests.clips import write_clip
from tests.conftest import PROJECT
from tests.in_process import pasted

PAGE = (PROJECT / "docs" / "tutorial.md").read_text(encoding="utf-8")
_PIECES, _FRAMES = {"bigbuckbunny": 8, "bikes": 8, "carphone_distorted": 7, "carphone_pristine": 7}, 8


@pytest.fixture
def folder(tmp_path: Path, source_frames: Callable[[str, int], list[av.VideoFrame]]) -> Path:
    """Thirty clips of 8 frames, and scores that nobody has given."""
    (tmp_path / "clips").mkdir()
    generator, lines = np.random.default_rng(15), ["name,mos"]
    for name, count in _PIECES.items():
        frames = source_frames(name, _FRAMES * count)
        for number in range(count):
            piece, clip = frames[_FRAMES * number : _FRAMES * (number + 1)], f"{name}_{number}.mp4"
            write_clip(tmp_path / "clips" / clip, piece, size=(160, 120), options={"crf": str(20 + 4 * number)})
            lines.append(f"{clip},{4.4 - 0.35 * number + generator.normal(0, 0.4):.2f}")
    (tmp_path / "scores.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def test_the_tutorial_leads_to_its_sentence(folder: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 5
    printed = [pasted(block, folder) for block in blocks]
    scores = (folder / "scores.csv").read_text().splitlines()
    assert all(line in PAGE for line in scores[:1])
    table = pq.read_table(folder / "train.parquet")
    assert (table.num_rows, set(table["split"].to_pylist())) == (30, {"train", "val", "test"})
    sentence = json.loads((folder / "answer.json").read_text())["answers"][0]["sentence"]
    assert printed[3].splitlines()[-1] == sentence
    what = r"saliency \(saliency_open_v1, ema 0\.6, uniform:8@320x320\)"
    wording = what + r" \w+ [\d.]+ SROCC \[.*\] \w+ file_bytes on 30 clips"
    assert re.fullmatch(wording + ": (not )?shown to help", sentence)
    assert re.search(wording + ": not shown to help", PAGE), "numbers differ between encoders; the words do not"
    assert sentence in (folder / "answer.html").read_text()
    assert len([line for line in printed[4].splitlines() if line.startswith("saliency (")]) == 3
