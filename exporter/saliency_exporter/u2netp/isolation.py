"""Cuts the process off from the network before foreign code runs in it."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
NAMESPACE = "own network namespace"
HOOK = "audit hook"
_PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")


def enter_empty_namespace() -> bool:
    """Move this process, and all it will start, to a network namespace that has no network; whether that worked.

    Needs Linux, and root or unprivileged user namespaces; must be called while the process has one thread. There the
    kernel itself has no route, for native code too. Unix sockets that are files stay reachable.
    """
    if not sys.platform.startswith("linux"):
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(_CLONE_NEWNET) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    # The same ids inside as outside, so that nothing that asks who runs here is told "nobody".
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path("/proc/self", name).write_text(line)
    return True


def refuse_in_python(*, processes: bool) -> None:
    """Refuse every socket that Python code asks for, and with ``processes`` every new process; cannot be undone.

    For the process that has no namespace of its own this is all there is: it stops Python code, not native code
    that is determined. Refused calls raise ``PermissionError``.
    """

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event.startswith("socket."):
            raise PermissionError(f"the checkout's code runs without network access ({event})")
        if processes and event in _PROCESSES:
            raise PermissionError(f"the checkout's code may not start processes ({event})")

    sys.addaudithook(hook)
