"""What ended a command: the line on stderr and the exit status."""

from __future__ import annotations

import errno
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

import click

from saliency_engine.cli import signals
from saliency_engine.errors import ConfigError, SaliencyError
from saliency_engine.report.terminal import printable
from saliency_engine.storage.overwrite import GONE

_GOES_ON = " to go on: finished clips are in the memo"
_NO_MEMORY = ("failed to map segment", "annot allocate memory", "can't start new thread", "bad_alloc")
"""How libraries tell that memory is lacking, besides ``MemoryError`` and ENOMEM."""
_TASKS = {
    "tables": "reading or writing a table",
    "models": "loading the model",
    "inference": "preparing or running the model",
    "video": "decoding",
    "pipeline": "the engine and its frames",
}
"""What a room needs memory for; the others need little."""


def report_end(error: BaseException) -> int | str | None:
    """Print on stderr what ended the command; returns its exit status."""
    if isinstance(error, SystemExit):  # the command has come to its end, whatever signal came too late
        return error.code
    if status := signals.exit_status():  # a library may have turned the signal into an error of its own
        is_run = sys.argv[1:2] in (["run"], ["batch"])  # the other commands begin anew
        click.echo(f"interrupted; run the same command again{_GOES_ON if is_run else ''}", err=True)
        return status
    if isinstance(error, click.ClickException):
        error.show()
        return 2
    if message := _explain(error):
        click.echo(message, err=True)
        if isinstance(error, ConfigError):
            click.echo("Try --help for the options.", err=True)
        return 2
    for line in "".join(traceback.format_exception(error)).splitlines():
        click.echo(printable(line), err=True)
    click.echo(
        "this is a bug in saliency-batch; please report it with the lines above (finished clips are in the memo)",
        err=True,
    )
    return 70  # Python itself would exit with 1, which scripts take for "a row failed"


def _explain(error: BaseException) -> str:
    """The line that says what is wrong and what to do; empty where it is a bug."""
    name, words = type(error).__name__, printable(error)
    if isinstance(error, SaliencyError):
        return f"{name}: {words}"
    if lacks_memory(error):
        details = f" ({words})" if words else ""
        return (
            f"MemoryError: there is not enough memory for {_find_task(error)}{details}: raise the limit (ulimit -v), "
            "end other programs, or give fewer --decode-workers and a smaller --batch-size"
        )
    if not isinstance(error, OSError):
        return ""
    if error.errno == errno.EMFILE:
        return f"{name}: {words} (ulimit -n raises the limit)"
    if isinstance(error, FileNotFoundError) and error.filename is None and not _has_current_folder():
        return f"{name}: a relative path starts from the current folder, {GONE}"
    return f"{name}: {words}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and those that it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def lacks_memory(error: BaseException) -> bool:
    """Whether the error, or one that it came from, says that memory was lacking."""
    return any(map(_says_so, _chain(error)))


def _says_so(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, OSError | ImportError | RuntimeError) and any(sign in str(error) for sign in _NO_MEMORY)


def _find_task(error: BaseException) -> str:
    """What was being done, by the innermost of our modules."""
    task = "starting"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("saliency_engine."):
            in_import = frame.f_code.co_name == "<module>"
            task = "loading libraries" if in_import else _TASKS.get(module.split(".")[1], task)
    return task


def _has_current_folder() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True
