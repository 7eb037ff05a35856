"""``saliency-batch preview``: two pictures of every clip, and a reason where there are none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from saliency_engine.cli.app import main_group


def test_a_sheet_has_two_pictures_of_each_distinct_clip(tmp_path: Path, clips: dict[str, Path]) -> None:
    paths = [clips["bikes"], clips["bikes"], tmp_path / "gone.mp4", clips["carphone_pristine"]]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"src": str(path)}) + "\n" for path in paths))
    options = ["--input", str(tmp_path / "in.jsonl"), "--output", str(tmp_path / "sheet.png"), "--clips", "2"]
    main_group.main(["preview", *options, "--model", "frequency_tuned_v1"], standalone_mode=False)
    with Image.open(tmp_path / "sheet.png") as picture:
        sheet = np.asarray(picture).astype(int)
    assert sheet.shape == (2 * 368 + 8, 664, 3)  # bikes and the missing one
    frame, overlay = sheet[8:328, 8:328], sheet[8:328, 336:656]
    assert frame.std() > 20
    assert np.abs(frame - overlay).mean() > 20
    assert (sheet[376:696] == sheet[0, 0]).all(), "a clip that failed has no pictures"
    assert (sheet[696:] != sheet[0, 0]).any(), "it has a reason"
