"""Runs over forty clips, each in a folder of its own, to be disturbed and then run again."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.processes import finished_clips, session_members, start, until
from tests.rows import write_rows

from saliency_engine.config import MEMO_NAME


@dataclass
class Campaign:
    """A table, and what an undisturbed run over it gives and takes."""

    table: Path
    work: Path
    """The folder that holds the folders of all trials."""
    expected: bytes = b""
    """The output of the undisturbed run."""
    seconds: float = 0.0
    """How long that run took."""
    trials: int = 0

    @classmethod
    def over(cls, paths: list[Path], work: Path) -> Campaign:
        """Write a table with a row of some hundred bytes for each of ``paths``, and run it undisturbed."""
        table = work / "in.jsonl"
        rows = [{"src": str(path), "number": number, "note": "x" * 300} for number, path in enumerate(paths)]
        write_rows(table, rows)
        campaign = cls(table, work)
        trial = campaign.trial()
        started = time.monotonic()
        assert trial.run() == 0
        campaign.seconds = time.monotonic() - started
        campaign.expected = trial.output.read_bytes()
        return campaign

    def trial(self) -> Trial:
        """A new folder, in which the same command is run again and again."""
        self.trials += 1
        folder = self.work / f"trial-{self.trials}"
        (folder / "tmp").mkdir(parents=True)
        return Trial(self, folder)


@dataclass
class Trial:
    """A folder in which a campaign's command is disturbed, and then run to its end."""

    campaign: Campaign
    folder: Path

    @property
    def output(self) -> Path:
        return self.folder / "out.jsonl"

    @property
    def memo(self) -> Path:
        return self.folder / MEMO_NAME

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        """Begin the command. It is the same each time but for the environment, to which ``env`` is added."""
        options = ("--input", self.campaign.table, "--output", self.output, "--model", "frequency_tuned_v1")
        options = (*options, "--audit-json", self.folder / "audit.json")  # type: ignore[assignment]
        return start(*options, env={"TMPDIR": str(self.folder / "tmp"), **env})

    def run(self, **env: str) -> int:
        """Run the command to its end and return its exit status."""
        process = self.start(**env)
        _, messages = process.communicate(timeout=300)
        print(messages.decode(), end="")
        return process.returncode

    def gone(self, leader: int) -> bool:
        """Whether every process of the run that ``leader`` led has ended within two minutes."""
        try:
            until(lambda: not session_members(leader), "left")
        except AssertionError:
            return False
        return True

    def left_in_tmp(self) -> int:
        """Count what earlier runs have left in the folder for temporary files, and remove it."""
        left = list((self.folder / "tmp").iterdir())
        for path in left:
            subprocess.run(["rm", "-rf", path], check=True)
        return len(left)

    def finish(self) -> dict[str, Any]:
        """Run the command undisturbed and compare: ``recomputed``, ``differing`` and ``left`` must be 0."""
        done = self.output.exists()  # then the run was killed between its last rename and its end
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
            "differing": sum(a != b for a, b in zip(self.output.read_bytes(), self.campaign.expected, strict=False))
            + abs(self.output.stat().st_size - len(self.campaign.expected)),
            "left": len(names - {"tmp", "audit.json", self.output.name, self.memo.name}),
        }
