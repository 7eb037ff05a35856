"""An S3-compatible server on this machine, behind a proxy that counts what is asked of it, and fails on request."""

from __future__ import annotations

import http.client
import os
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from saliency_engine.storage.object_store import forget_connections

BUCKET = "clips"
SWAPPED = 7023  # bytes
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "somebody", "AWS_SECRET_ACCESS_KEY": "whose-secret-this-is"}


@dataclass
class Store:
    """The server. ``faults`` are by key: what its next answers are in place of the right ones.

    ``503``, ``403``: an error; ``cut``: half of the body, then the connection is closed; ``slow``: a byte in 0.2 s;
    ``swap``: the right one, but of ``SWAPPED`` zeros that are put in its place; ``bare``: without its version and time;
    ``to URL``: a redirect.
    """

    port: int
    """Of the proxy."""
    behind: int
    """Of the server itself."""
    faults: dict[str, list[str]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    """How often each ``HEAD key`` and ``GET key`` came through the proxy."""
    slept: threading.Event = field(default_factory=threading.Event)
    """Set at the end: nobody has to wait for slow bodies."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def put(self, key: str, content: bytes) -> str:
        """Store an object, or another one in its place; returns its URL."""
        self._put(f"/{BUCKET}/{key}", content)
        return f"s3://{BUCKET}/{key}"

    def _put(self, path: str, content: bytes = b"") -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self.behind)) as connection:
            connection.request("PUT", path, content, {"Authorization": "AWS somebody:signed"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200

    def next_fault(self, key: str) -> str:
        faults = self.faults.get(key)
        return faults.pop(0) if faults else ""


@contextmanager
def object_store() -> Iterator[Store]:
    """A server with an empty bucket."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, behind = server.get_host_and_port()
    store = Store(0, behind)
    proxy = _Proxy(("127.0.0.1", 0), _handler_of(store))
    proxy.daemon_threads = True
    store.port = proxy.server_port
    thread = threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        store._put(f"/{BUCKET}")
        yield store
    finally:
        store.slept.set()
        proxy.shutdown()
        thread.join()
        proxy.server_close()
        server.stop()


@contextmanager
def known_store(cache: Path) -> Iterator[Store]:
    """Such a server, which the environment tells commands of; they keep what they fetch below ``cache``."""
    with object_store() as store, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("AWS_", "FSSPEC_"))]:
            patch.delenv(name)
        settings = {"AWS_ENDPOINT_URL": store.endpoint, "AWS_DEFAULT_REGION": "us-east-1", **CREDENTIALS}
        settings |= {"AWS_EC2_METADATA_DISABLED": "true", "XDG_CACHE_HOME": str(cache)}
        for name, value in settings.items():
            patch.setenv(name, value)
        yield store
        forget_connections()


class _Proxy(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # who has asked was killed
            super().handle_error(request, client_address)


def _handler_of(store: Store) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            key = self.path.partition("?")[0].removeprefix(f"/{BUCKET}/")
            store.asked[f"{self.command} {key}"] += 1
            fault = store.next_fault(key)
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if fault in {"503", "403"} or fault.startswith("to "):
                self.send_response(int(fault) if fault.isdigit() else 302)
                self.send_header("Location", fault.removeprefix("to "))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if fault == "swap":
                store.put(key, bytes(SWAPPED))
            with closing(http.client.HTTPConnection("127.0.0.1", store.behind)) as connection:
                connection.request(self.command, self.path, sent, dict(self.headers.items()))
                answer = connection.getresponse()
                body = answer.read()
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                of_a_version = fault == "bare" and name.lower() in {"etag", "last-modified"}
                if name.lower() not in {"date", "server", "connection", "transfer-encoding"} and not of_a_version:
                    self.send_header(name, value)
            self.end_headers()
            if fault == "slow":
                for at in range(len(body)):
                    self.wfile.write(body[at : at + 1])
                    if store.slept.wait(0.2):
                        return
            self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
            self.close_connection = fault == "cut"

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    return Handler
