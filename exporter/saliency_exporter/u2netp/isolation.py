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
_PROCESS_EVENTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")


def enter_empty_namespace() -> bool:
    """Move this process, and all that it starts, to a network namespace without a network; returns whether it worked.

    There the kernel has no route, so that native code is cut off too. Unix sockets that are files stay reachable. Needs
    Linux, and root or unprivileged user namespaces; must be called while the process has one thread.
    """
    if not sys.platform.startswith("linux"):
        return False
    unshare = ctypes.CDLL(None, use_errno=True).unshare
    if unshare(_CLONE_NEWNET) == 0:
        return True
    user, group = os.getuid(), os.getgid()
    if unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    # The ids are the same inside as outside; without this map, code that asks for its user would get "nobody".
    for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path("/proc/self", name).write_text(line)
    return True


def refuse_in_python(*, processes: bool) -> None:
    """Refuse every socket that Python code asks for, and with ``processes`` every new process; cannot be undone.

    Refused calls raise ``PermissionError``. This stops Python code and not native code; a process without a network
    namespace of its own has nothing else.
    """

    def hook(event: str, _: tuple[Any, ...]) -> None:
        if event.startswith("socket."):
            raise PermissionError(f"the checkout's code runs without network access ({event})")
        if processes and event in _PROCESS_EVENTS:
            raise PermissionError(f"the checkout's code may not start processes ({event})")

    sys.addaudithook(hook)
