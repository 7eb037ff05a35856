"""What a command says at its end when the machine has not enough for it."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.processes import HANG
from tests.rows import write_clips

from saliency_engine.cli.endings import report_end
from saliency_engine.errors import InputError
from saliency_engine.numerics import kernels
from saliency_engine.tables import formats

CURE = "raise the limit (ulimit -v), end other programs, or give fewer --decode-workers and a smaller --batch-size"


def caught(module: object, error: BaseException) -> BaseException:
    """``error`` as it comes out of a function of ``module``."""
    scope = {"__name__": getattr(module, "__name__", ""), "error": error}
    exec("def fail():\n    raise error", scope)
    with pytest.raises(type(error)) as raised:
        scope["fail"]()  # type: ignore[operator]
    return raised.value


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), ""),
        (np._core._exceptions._ArrayMemoryError((8, 9), np.dtype(float)), "Unable to allocate"),  # type: ignore[attr-defined]
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "Cannot allocate memory"),
        (ImportError("libarrow.so: failed to map segment from shared object"), "failed to map segment"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
        (RuntimeError("std::bad_alloc"), "bad_alloc"),
    ],
)
def test_want_of_memory_is_told_with_what_needed_it(
    capsys: pytest.CaptureFixture[str], error: BaseException, words: str
) -> None:
    assert report_end(caught(formats, error)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("MemoryError: there is not enough memory for reading or writing a table")
    assert words in line
    assert line.endswith(f": {CURE}")


def test_other_errors_keep_their_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_end(caught(kernels, InputError("a: no such file"))) == 2
    assert report_end(caught(kernels, PermissionError(errno.EACCES, "Permission denied", "a"))) == 2
    assert (
        capsys.readouterr().err == "InputError: a: no such file\nPermissionError: [Errno 13] Permission denied: 'a'\n"
    )
    assert report_end(caught(kernels, RuntimeError("a bug"))) == 70


@pytest.mark.parametrize("mebibytes", [8, 32])
def test_a_limit_of_memory_is_told_at_the_end(tmp_path: Path, clips: dict[str, Path], mebibytes: int) -> None:
    """Whatever its libraries say, and those of the fork server, which imports them at the same time."""
    table = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    code = f"""
import numpy, resource
from pathlib import Path
from saliency_engine.cli.app import main
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, 2 * (used + ({mebibytes} << 20),))
main()
"""
    words = [sys.executable, "-c", code, "run", "--input", str(table), "--output", str(tmp_path / "out.jsonl")]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=HANG)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("MemoryError: there is not enough memory for ")
    assert done.stderr.splitlines()[-1].endswith(CURE)


def test_a_library_that_crashes_when_it_is_unloaded_changes_nothing() -> None:
    """As jemalloc does where it found no memory while it was loaded; here C's ``abort`` is called at the end."""
    code = """
import ctypes
libc = ctypes.CDLL(None)
libc.__cxa_atexit(libc.abort, None, None)
from saliency_engine.cli import app
def fail(**_):
    raise MemoryError
app.main_group.main = fail
app.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=HANG)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("MemoryError: there is not enough memory for ")
