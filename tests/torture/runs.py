"""Runs over forty clips in folders of their own, to be disturbed and then run again."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import finished_clips, session_members, start, until
from tests.rows import write_rows


@dataclass
class Bench:
    """``expected`` is the output of an undisturbed run, which took ``seconds``."""

    table: Path
    work: Path
    expected: bytes = b""
    seconds: float = 0.0
    trials: int = field(default=0)

    @classmethod
    def over(cls, paths: list[Path], work: Path) -> Bench:
        """Rows of some hundred bytes for ``paths``, and an undisturbed run."""
        table = work / "in.jsonl"
        rows = [{"src": str(path), "number": number, "note": "x" * 300} for number, path in enumerate(paths)]
        write_rows(table, rows)
        bench = cls(table, work)
        trial = bench.trial()
        started = time.monotonic()
        assert trial.run() == 0
        bench.seconds = time.monotonic() - started
        bench.expected = trial.output.read_bytes()
        return bench

    def trial(self) -> Trial:
        """A folder for the same command to be run in, again and again."""
        self.trials += 1
        folder = self.work / f"trial-{self.trials}"
        (folder / "tmp").mkdir(parents=True)
        return Trial(self, folder)


@dataclass
class Trial:
    bench: Bench
    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "out.jsonl"

    @property
    def memo(self) -> Path:
        return self.folder / "out.jsonl.memo.sqlite"

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        """Begin the command, the same each time but for what ``env`` adds."""
        options = ("--input", self.bench.table, "--output", self.output, "--model", "frequency_tuned_v1")
        options = (*options, "--audit-json", self.folder / "audit.json")  # type: ignore[assignment]
        return start(*options, env={"TMPDIR": str(self.folder / "tmp"), **env})

    def run(self, **env: str) -> int:
        """Run the command to its end; returns its exit status."""
        process = self.start(**env)
        _, told = process.communicate(timeout=300)
        print(told.decode(), end="")
        return process.returncode

    def gone(self, leader: int) -> bool:
        """Whether every process of the run that ``leader`` led is gone within seconds."""
        try:
            until(lambda: not session_members(leader), "left")
        except AssertionError:
            return False
        return True

    def left_in_tmp(self) -> int:
        """What earlier runs have left in their folder for temporary files; cleared for the next."""
        left = list((self.folder / "tmp").iterdir())
        for path in left:
            subprocess.run(["rm", "-rf", path], check=True)
        return len(left)

    def finish(self) -> dict[str, Any]:
        """Run the command undisturbed and compare: 0 everywhere is as promised."""
        done = self.output.exists()  # killed between its last rename and its end
        finished = len(finished_clips(self.memo))
        (self.folder / "audit.json").unlink(missing_ok=True)
        status = self.run()
        assert status == 0, status
        clips = json.loads((self.folder / "audit.json").read_text())["clips"]
        names = {path.name for path in self.folder.iterdir()}
        return {
            "done": done,
            "finished": finished,
            "recomputed": clips["computed"] - (40 - finished),
            "differing": sum(a != b for a, b in zip(self.output.read_bytes(), self.bench.expected, strict=False))
            + abs(self.output.stat().st_size - len(self.bench.expected)),
            "left": len(names - {"tmp", "audit.json", self.output.name, self.memo.name}),
        }
