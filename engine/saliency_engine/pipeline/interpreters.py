"""How multiprocessing starts the interpreters of decoding processes: none takes a module that lies beside the clips.

``python -c``, by which it starts its servers, searches for modules in the current folder first, and every child gets
the parent's ``sys.path``, which begins with the folder of the main script. A file av.py beside the clips was run so.
"""

from __future__ import annotations

import contextlib
import multiprocessing.process
import multiprocessing.spawn
import multiprocessing.util
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_starting = threading.RLock()


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Let this thread start decoding processes from anywhere: a pool's worker, a script without a guard, any folder.

    multiprocessing would have them import the caller's ``__main__``, which runs a script again and fails where that is
    no file, take modules from the caller's folder, and enter the current folder, which may have been deleted; they need
    none of it. And it lets no daemonic process start others, which might outlive it; ours never do. There is no public
    way to say so, so private parts of it are changed for a moment (the same in CPython 3.11 to 3.14).
    """
    spawn: Any = multiprocessing.spawn
    util: Any = multiprocessing.util
    settings: Any = multiprocessing.process.current_process()._config  # type: ignore[attr-defined]
    thread = threading.get_ident()

    def prepare(name: str) -> dict[str, Any]:
        if threading.get_ident() != thread:  # it starts a process of somebody else's
            return dict(preparation(name))
        path, authkey = safe_path(sys.path), multiprocessing.process.current_process().authkey
        return {"name": name, "authkey": authkey, "sys_path": path}

    def list_flags() -> list[str]:
        return [*flags(), *(["-P"] if threading.get_ident() == thread else [])]

    with _starting:
        preparation, flags, daemon = (
            spawn.get_preparation_data,
            util._args_from_interpreter_flags,
            settings.get("daemon"),
        )
        spawn.get_preparation_data, util._args_from_interpreter_flags = prepare, list_flags
        settings["daemon"] = False
        try:
            yield
        finally:
            spawn.get_preparation_data, util._args_from_interpreter_flags = preparation, flags
            settings["daemon"] = bool(daemon)


def safe_path(path: list[str]) -> list[str]:
    """``path``, a ``sys.path``, without the entry that the interpreter put before those of PYTHONPATH.

    It is the current folder or that of the main script. Where this package is found in no other place, it comes last.
    """
    if sys.flags.safe_path:
        return [entry for entry in path if entry]
    start = Path(multiprocessing.process.ORIGINAL_DIR or os.devnull)  # type: ignore[attr-defined]  # it may be deleted
    scripts = sys.argv[:1], [getattr(sys.modules["__main__"], "__file__", None) or ""]
    added = {start.resolve(), *((start / name).resolve().parent for names in scripts for name in names if name)}
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    for i, entry in enumerate(path):
        # One that PYTHONPATH names is there twice, unless the first has been removed already.
        if (start / entry).resolve() in added and not (entry in given and path.count(entry) == 1):
            path = [*path[:i], *path[i + 1 :]]
            break
    path = [entry for entry in path if entry]  # an empty one is the current folder
    own = Path(__file__).resolve().parents[2]
    return path if own in {(start / entry).resolve() for entry in path} else [*path, str(own)]
