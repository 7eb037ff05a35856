"""The README's commands, pasted and run one after the other as a reader would."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
from tests.in_process import pasted

ROOT = Path(__file__).parents[2]
# The two that set up a machine are run by whoever runs these tests.
SET_UP = ("make demo", "make test", "python -m venv")


def test_the_readmes_commands_work(tmp_path: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    blocks = [block for block in blocks if not block.startswith(SET_UP)]
    assert len(blocks) >= 6
    folder = tmp_path / "demo"  # as `make demo` makes it, in a checkout
    subprocess.run([sys.executable, ROOT / "tests" / "data" / "make_demo_table.py", folder / "clips.jsonl"], check=True)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    for block in blocks:
        pasted(block, folder)
    assert len((folder / "from-folder.csv").read_text().splitlines()) == 5
    assert len((folder / "two.jsonl").read_text().splitlines()) == 2
    assert (folder / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "clips.audit.json").read_text())["summary"]["ok"] == 4
    ids = pq.read_table(folder / "ids.parquet")
    assert (ids.schema.names[:2], set(ids["saliency_status"].to_pylist())) == (["name", "split"], {"ok"})
