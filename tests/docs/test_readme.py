"""The README's commands, pasted and run one after the other as a reader would."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# The two that set up a machine are run by whoever runs these tests.
SET_UP = ("make demo", "make test", "python -m venv")


def test_the_readmes_commands_work(tmp_path: Path, clips: dict[str, Path]) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    blocks = [block for block in blocks if not block.startswith(SET_UP)]
    assert len(blocks) >= 6
    rows = "".join(json.dumps({"src": str(clip)}) + "\n" for clip in clips.values())
    (tmp_path / "clips.jsonl").write_text(rows)
    (tmp_path / "clips").mkdir()
    for clip in clips.values():
        (tmp_path / "clips" / clip.name).symlink_to(clip)
    (tmp_path / "ids.jsonl").write_text("".join(json.dumps({"name": name}) + "\n" for name in clips))
    (tmp_path / "options.toml").write_text(
        (ROOT / "configs" / "whole-clip.toml").read_text().replace('root = "clips"', "")
    )
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for block in blocks:
        script = "set -euo pipefail\n" + block
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, f"{block}\n{done.stderr}"
    assert len((tmp_path / "from-folder.csv").read_text().splitlines()) == 5
    assert len((tmp_path / "two.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "clips.audit.json").read_text())["summary"]["ok"] == 4
