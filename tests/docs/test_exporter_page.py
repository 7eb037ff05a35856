"""The two commands of docs/exporter.md that make rows of an ONNX file as its authors ship it, on a small stand-in."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import PROJECT
from tests.exporter.rewrap.upstream_files import run, seven_fold
from tests.exporter.upstream import saliency_export
from tests.in_process import saliency_batch

from saliency_engine import compute_clip
from saliency_engine.numerics.normalize import normalize

SECTION = (PROJECT / "docs" / "exporter.md").read_text(encoding="utf-8").split("\n## rewrap\n")[1]


def test_two_commands_make_rows_of_an_upstream_file(
    tmp_path: Path, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = re.findall(r"^    (saliency-(?:export|batch) .*)$", SECTION.split("\n## ")[0], re.MULTILINE)
    assert [command.split()[:2] for command in commands] == [["saliency-export", "rewrap"], ["saliency-batch", "run"]]
    monkeypatch.chdir(tmp_path)
    upstream = seven_fold(tmp_path / "u2net.onnx")
    Path("clips.jsonl").write_text(json.dumps({"src": str(clips["bikes"])}) + "\n", encoding="utf-8")
    result = saliency_export(*shlex.split(commands[0])[1:])
    assert result.exit_code == 0, result.stderr
    saliency_batch(*shlex.split(commands[1])[1:])
    row = json.loads(Path("out.jsonl").read_bytes())
    assert (row["saliency_status"], row["saliency_model_id"]) == ("ok", "u2net_mirror_v1")

    pictures = np.ascontiguousarray(compute_clip(clips["bikes"], model="u2net_mirror_v1.onnx").frames)
    frames = np.empty(pictures.shape, np.float32)
    normalize(pictures, frames)
    maps = np.concatenate([run(upstream, frame[None], "1959") for frame in frames]).astype(np.float64)
    assert row["saliency_mean"] == pytest.approx(maps.mean(), abs=1e-5)
    assert row["saliency_var"] == pytest.approx(maps.mean(axis=0).var(), abs=1e-5)
    assert maps.mean(axis=0).var() > 1e-3
