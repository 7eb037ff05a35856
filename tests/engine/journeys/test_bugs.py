"""Mistakes of ours in a decoding process: the run ends at once, tells them once, and keeps what is finished."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.processes import finished_clips, run

# Each is what the decoding processes' Python runs at its start.
_NO_DECODER = """
class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "saliency_engine.video.decode":
            raise ImportError("no \\x1b[31m decoder")
sys.meta_path.insert(0, Finder)
"""
_OTHER_LIBRARY = """
from saliency_engine.video import container
def opened(request, spec):
    raise TypeError("open() takes no \\x1b[31m argument")
container.opened.__wrapped__.__code__ = opened.__code__
"""
_LATE = """
from saliency_engine.video import decode
original = decode.decode_clip
def decode_clip(request, spec, out):
    if request.path.endswith("last.mp4"):
        raise AttributeError("no attribute \\x1b[31m 'x'")
    return original(request, spec, out)
decode.decode_clip = decode_clip
"""


@pytest.mark.parametrize(
    ("mistake", "message", "finished"),
    [
        (_NO_DECODER, "ImportError: no \\x1b[31m decoder, in a decoding process, at its start", 0),
        (_OTHER_LIBRARY, "TypeError: open() takes no \\x1b[31m argument, in a decoding process, at the clip", 0),
        (_LATE, "AttributeError: no attribute \\x1b[31m 'x', in a decoding process, at the clip", 10),
    ],
)
def test_a_mistake_of_ours_ends_the_run(
    tmp_path: Path, forty: list[Path], mistake: str, message: str, finished: int
) -> None:
    last = tmp_path / "last.mp4"
    shutil.copyfile(forty[-1], last)
    clips = [*forty[:-1], last]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"src": str(clip)}) + "\n" for clip in clips))
    (tmp_path / "python").mkdir()
    only_there = "import sys\nif 'multiprocessing.forkserver' in ' '.join(sys.orig_argv):\n"
    script = only_there + "".join(f"    {line}\n" for line in mistake.splitlines())
    (tmp_path / "python" / "sitecustomize.py").write_text(script)
    output = tmp_path / "out" / "out.jsonl"
    output.parent.mkdir()
    memo = tmp_path / "memo.sqlite"
    options: list[str | Path] = ["--input", tmp_path / "in.jsonl", "--output", output, "--memo", memo]
    options += ["--model", "frequency_tuned_v1", "--decode-workers", "2", "--quiet"]
    done = run(*options, code=70, env={"PYTHONPATH": str(tmp_path / "python")}, text=True)
    assert f"BugError: {message}" in done.stderr
    last_line = message.partition(", in a decoding")[0]
    assert done.stderr.splitlines().count(last_line) == 1  # of the traceback in the process that had it
    assert done.stderr.count("Traceback (most recent call last)") == 2  # this one, and ours
    assert "\x1b" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("this is a bug in saliency-batch")
    assert list(output.parent.iterdir()) == []
    kept = len(finished_clips(memo))
    assert kept >= finished
    audit = tmp_path / "audit.json"
    run(*options, "--audit-json", audit)
    counts = json.loads(audit.read_text())["clips"]
    assert (counts["computed"], counts["reused"]) == (40 - kept, kept)
