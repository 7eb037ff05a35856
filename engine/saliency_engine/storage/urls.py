"""Addresses of files in object stores and on web servers: which are read, and how they are shown."""

from __future__ import annotations

import hashlib
import re
import urllib.parse

from saliency_engine.errors import MissingSourceError

NO_URLS = "URLs are not read: download the file first"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_REMOTE = re.compile(r"(s3|gs|https?)://")
_IN_TEXT = re.compile(r"\b[A-Za-z][A-Za-z0-9+.-]+://[^\s'\"<>]+")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SIGNATURE = re.compile(
    r"x-(amz|goog)-.*|signature|expires|policy|key-pair-id|awsaccesskeyid|googleaccessid", re.IGNORECASE
)
"""Parameters that sign an address: another signature does not make it another file."""


def is_url(path: str) -> bool:
    """Whether ``path`` is written as a URL is; a file may have such a name nevertheless."""
    return bool(_URL.match(path))


def is_remote(path: str) -> bool:
    """Whether ``path`` is a URL of a kind that ``--allow-remote`` lets be read."""
    return bool(_REMOTE.match(path))


def is_loopback(url: str) -> bool:
    """Whether the host of ``url`` is this machine by name."""
    return urllib.parse.urlsplit(url).hostname in _LOOPBACK


def refusal_of(url: str) -> str:
    """Why ``url`` is not read without ``--allow-remote``."""
    return f"{NO_URLS}, or give --allow-remote" if is_remote(url) else NO_URLS


def check_url(url: str) -> None:
    """Raise ``MissingSourceError`` where ``url``, which ``is_remote``, must not be read."""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        raise MissingSourceError(f"the URL is not written as one: {error}") from error
    if "@" in parts.netloc:
        raise MissingSourceError(
            "a URL with a name or password in it is not read: credentials come from the environment, not from tables"
        )
    if not parts.netloc or not parts.path.strip("/") or url.endswith("/"):
        raise MissingSourceError(f"the URL names no file: {show(url)}")
    if parts.scheme == "http" and not is_loopback(url):
        raise MissingSourceError(f"plain http: is read from this machine alone, use https: instead of {show(url)}")
    if {".", ".."}.intersection(map(urllib.parse.unquote, parts.path.replace("\\", "/").split("/"))):
        raise MissingSourceError(f"a URL must not hold the steps . or ..: {show(url)}")


def join(root: str, path: str) -> str:
    """The URL of the file ``path`` below the URL ``root``; ``path`` itself, where it is a URL."""
    if is_url(path):
        return path
    is_web = root.startswith("http")
    return f"{root.rstrip('/')}/{urllib.parse.quote(path) if is_web else path}"


def is_below(url: str, root: str) -> bool:
    """Whether ``url`` lies below the URL ``root``."""
    return url.startswith(f"{root.rstrip('/')}/")


def name_in(url: str) -> str:
    """The path in ``url``: no host, no query."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.unquote(parts.path) if parts.scheme.startswith("http") else url


def show(url: str) -> str:
    """``url`` without what may be a secret: the query of a web address becomes a hash, its signature left out.

    Nothing of what this gives can be used to fetch the file, and equal files have equal names.
    """
    parts = urllib.parse.urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if not parts.scheme.startswith("http"):
        rest = url.partition("://")[2].partition("/")[2]
        return f"{parts.scheme}://{host}/{rest}"
    fields = [field for field in parts.query.split("&") if field and not _SIGNATURE.fullmatch(field.partition("=")[0])]
    digest = hashlib.sha256("&".join(fields).encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{parts.scheme}://{host}{parts.path}{f'?{digest}' if fields else ''}"


def show_path(path: str) -> str:
    """A row's path as others may see it: a remote one as ``show`` gives it."""
    return _show_any(path) if is_remote(path) else path


def without_secrets(text: str) -> str:
    """``text`` with all URLs in it as ``show`` gives them."""
    return _IN_TEXT.sub(lambda match: _show_any(match[0]), text)


def _show_any(url: str) -> str:
    try:
        return show(url)
    except ValueError:  # something that only looks like one
        return "…"
