"""Cutting a process off from the network: by the kernel, and by an audit hook."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
from tests.processes import HANG


def in_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=HANG)
    return done.stdout.strip()


def test_the_namespace_alone_has_no_route_for_native_code_either() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        code = (
            "import socket, os; from saliency_exporter.u2netp import isolation\n"
            "uid = os.getuid(); print(isolation.enter_empty_namespace(), uid == os.getuid())\n"
            f"print(socket.socket().connect_ex(('127.0.0.1', {server.getsockname()[1]})))"
        )
        moved, same_user, error = in_python(code).split()
    if moved == "False":
        pytest.skip("this machine gives no network namespaces to this user")
    assert same_user == "True"
    assert os.strerror(int(error)) == "Network is unreachable"


def test_the_fallback_refuses_sockets_and_processes() -> None:
    code = (
        "import socket, subprocess, os; from saliency_exporter.u2netp import isolation\n"
        "isolation.refuse_in_python(processes=True)\n"
        "for f in (socket.socket, lambda: socket.getaddrinfo('localhost', 1), lambda: os.system('true'),\n"
        "          lambda: subprocess.run(['true']), os.fork):\n"
        "    try: f(); print('ran')\n"
        "    except PermissionError as error: print('refused')\n"
    )
    assert in_python(code).split() == ["refused"] * 5
