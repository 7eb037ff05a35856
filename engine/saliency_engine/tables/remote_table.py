"""A table in an object store or on a web server, as a file of this machine."""

from __future__ import annotations

import hashlib
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from saliency_engine.errors import FetchError, InputError


def fetch_table(url: str, files: ExitStack) -> tuple[str, str]:
    """The path of a copy of the table at ``url``, with its suffix, and its hex sha256. The copy goes with ``files``.

    Raises ``InputError``.
    """
    from saliency_engine.storage.transfer import fetch  # noqa: PLC0415  not loaded where nothing is remote

    folder = files.enter_context(tempfile.TemporaryDirectory(prefix="saliency-batch-"))
    path = Path(folder, url.rpartition("/")[2])
    try:
        with path.open("wb") as file:
            fetch(url, file, sys.maxsize)
    except FetchError as error:
        raise InputError(str(error)) from error
    with path.open("rb") as file:
        return str(path), hashlib.file_digest(file, "sha256").hexdigest()
