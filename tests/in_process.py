"""The command in the test's own process, which takes a tenth of the processor time of one that starts.

For tests of what a command does and says; ``tests.processes`` is for those of how it starts, is disturbed, and ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import multiprocessing.forkserver
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

from tests import processes

from saliency_engine.cli import app, signals
from saliency_engine.pipeline import worker


def saliency_batch(
    *arguments: str | Path, code: int = 0, text: bool = False, cwd: Path | None = None
) -> subprocess.CompletedProcess[Any]:
    """Run ``saliency-batch`` to its end, which must come with the exit status ``code``; in the folder ``cwd``."""
    done = _completed(["saliency-batch", *map(str, arguments)], app.main, cwd or Path())
    assert done.returncode == code, done.stderr.decode(errors="replace")
    outputs = [output.decode() if text else output for output in (done.stdout, done.stderr)]
    return subprocess.CompletedProcess(done.args, code, *outputs)


def script(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code as ``python script.py`` in ``folder``, where that file is left; no exception may come of it."""
    (folder / "script.py").write_text(text)
    done = _completed(["script.py"], partial(runpy.run_path, "script.py", run_name="__main__"), folder)
    return subprocess.CompletedProcess(done.args, 0, done.stdout.decode(), done.stderr.decode())


def _completed(command: list[str], main: Callable[[], object], cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """What a program does whose ``sys.argv`` is ``command``: its exit status, and what it writes."""
    status: Any = 0
    with (
        contextlib.chdir(cwd),
        _settings_kept(),
        _captured("stdout", 1) as stdout,
        _captured("stderr", 2) as stderr,
        _own_fork_server(),
        mock.patch.object(sys, "argv", command),
        mock.patch.object(signals, "listen"),
    ):
        try:
            main()
        except SystemExit as end:
            status = end.code
    outputs = [Path(f"/dev/fd/{file.fileno()}").read_bytes() for file in (stdout, stderr)]
    return subprocess.CompletedProcess(command, status, *outputs)


run = partial(saliency_batch, "run")
"""``saliency-batch run`` with arguments; see ``saliency_batch``."""


def pasted(block: str, folder: Path) -> str:
    """What commands of a page print that are run in ``folder`` as a reader would who pastes them; they must succeed.

    What is nothing but words, quoted or plain, is no matter for a shell, and runs here. Else a shell runs all of it.
    """
    commands = block.replace("\\\n", " ").splitlines()
    if all(_WORDS.fullmatch(command) for command in commands):
        return "".join(saliency_batch(*shlex.split(line)[1:], cwd=folder, text=True).stdout for line in commands)
    return processes.pasted(block, folder).stdout


_WORDS = re.compile(r"""saliency-batch( +([\w./:=,%+-]+|'[^'\n]*'|"[^"\n$`\\!]*"))* *""")


def stderr_of(*arguments: str | Path, code: int = 0) -> str:
    """What a command says on stderr, which is never a traceback."""
    done = saliency_batch(*arguments, code=code, text=True)
    assert "Traceback" not in done.stderr
    return str(done.stderr)


# As long as this process lives, because its fork server and what that starts go on writing to them.
_files = {name: tempfile.TemporaryFile() for name in ("stdout", "stderr")}  # noqa: SIM115
_servers: set[int | None] = {None}
"""The fork servers that write to them."""


@contextlib.contextmanager
def _captured(name: str, number: int) -> Iterator[BinaryIO]:
    """Have what is written to a stream, by Python, by C and by decoding processes, in a file."""
    file = _files[name]
    file.truncate(0)
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)  # else what holds it writes where it was before
    before = os.dup(number)
    os.dup2(file.fileno(), number)
    try:
        errors = "strict" if number == 1 else "backslashreplace"
        with (
            open(number, "w", 1, encoding="utf-8", errors=errors, closefd=False) as stream,
            mock.patch.object(sys, name, stream),
        ):
            yield file
    finally:
        os.dup2(before, number)
        os.close(before)


def start_anew() -> None:
    """Have the next command start a fork server of its own, with the environment of that time."""
    _servers.intersection_update({None})


@contextlib.contextmanager
def _own_fork_server() -> Iterator[None]:
    """End a fork server that an earlier test has started: its processes write elsewhere."""
    server: Any = multiprocessing.forkserver._forkserver
    if server._forkserver_pid not in _servers:
        os.kill(server._forkserver_pid, signal.SIGKILL)
        os.waitpid(server._forkserver_pid, 0)
        worker._forget_server()
    yield
    _servers.add(server._forkserver_pid)


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """Undo what the command sets for a process of its own."""
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()
