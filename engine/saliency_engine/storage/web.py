"""Files on web servers: https, and plain http on this machine alone. Redirects stay what they are."""

from __future__ import annotations

import email.utils
import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from email.message import Message
from typing import IO, Any

from saliency_engine.errors import FetchError
from saliency_engine.storage.source import FileState, GoneError, TransferError
from saliency_engine.storage.urls import is_loopback

_CHUNK = 1 << 18
_TIMEOUT = 20.0  # seconds without a byte


class Web:
    """See ``Source``."""

    def look_up(self, url: str) -> FileState:
        """With the answer to a request for one byte: addresses that are signed for GET refuse HEAD."""
        with _explained(), closing(open_url(url, {"Range": "bytes=0-0"}, _TIMEOUT)) as response:
            length = response.headers.get("Content-Length", "")
            if response.status == 206:
                length = response.headers.get("Content-Range", "").rpartition("/")[2]
            changed = response.headers.get("Last-Modified", "")
            etag = response.headers.get("ETag", "")
        if not re.fullmatch(r"\d+", length):
            raise TransferError("the server does not say how large the file is", again=False)
        return FileState(int(length), etag, _nanoseconds(changed))

    def read(self, url: str, size: int, start: int) -> Iterator[bytes]:
        """As ``Source`` says; a server that gives no parts of files sends all of it once more."""
        headers = {"Range": f"bytes={start}-{size - 1}"} if start else {}
        with _explained(), closing(open_url(url, headers, _TIMEOUT)) as response:
            skip = 0 if response.status == 206 else start
            while chunk := response.read(_CHUNK):
                skip, chunk = max(0, skip - len(chunk)), chunk[skip:]
                yield chunk


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        if error.code in {404, 410}:
            raise GoneError(f"the server answered {error.code} {error.reason}") from error
        again = error.code in {408, 425, 429} or error.code >= 500
        raise TransferError(f"the server answered {error.code} {error.reason}", again=again) from error
    except FetchError as error:
        raise TransferError(str(error), again=False) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        cause = getattr(error, "reason", error)
        reason = getattr(cause, "strerror", None) or cause
        again = not isinstance(error, ValueError | http.client.InvalidURL)
        raise TransferError(f"{reason}" or type(error).__name__, again=again) from error


def _nanoseconds(date: str) -> int:
    try:
        return int(email.utils.parsedate_to_datetime(date).timestamp()) * 10**9
    except (TypeError, ValueError):
        return 0


def open_url(url: str, headers: Mapping[str, str], timeout: float) -> Any:
    """The server's answer, an ``http.client.HTTPResponse``; ``timeout`` is in seconds.

    Raises ``FetchError`` for what is neither https nor this machine, also where a redirect leads there, and what
    ``urllib`` raises.
    """
    handlers: list[Any] = [_SameKind]
    if _check_url(url):
        handlers.append(urllib.request.ProxyHandler({}))  # this machine is not reached through a proxy
    request = urllib.request.Request(
        url, headers={"User-Agent": "saliency-batch", "Accept-Encoding": "identity", **headers}
    )
    return urllib.request.build_opener(*handlers).open(request, timeout=timeout)


class _SameKind(urllib.request.HTTPRedirectHandler):
    """Follows redirects as long as they keep the scheme and are an address that could have been given at first."""

    def redirect_request(  # noqa: PLR0917  the base class's
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        try:
            _check_url(newurl)
            if urllib.parse.urlsplit(newurl).scheme != urllib.parse.urlsplit(req.full_url).scheme:
                raise FetchError(f"{req.full_url} redirects to {newurl}: a redirect may not change the scheme")
        except FetchError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _check_url(url: str) -> bool:
    """Whether ``url`` is this machine. Raises ``FetchError`` when it is another one without TLS."""
    local = is_loopback(url)
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme != "https" and not (scheme == "http" and local):
        raise FetchError(f"cannot fetch {url}: only https: is safe to fetch from")
    return local
