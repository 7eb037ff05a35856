"""Objects in S3, in stores that speak its language, and in Google Cloud Storage: through fsspec, loaded when needed.

Credentials, region, endpoint and proxy are those that the stores' own programs use: environment variables, their
files in the home folder, the roles of a machine.
"""

from __future__ import annotations

import datetime
import errno
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from saliency_engine.storage.source import FileState, GoneError, TransferError

_PART = 8 << 20  # bytes of one request: so many are held in memory
_PACKAGES = {"s3": "'saliency-batch[remote]'", "gs": "gcsfs"}
_SETTINGS: dict[str, dict[str, Any]] = {
    # Tries are counted in one place, see ``storage.remote``.
    "s3": {"config_kwargs": {"connect_timeout": 10, "read_timeout": 20, "retries": {"total_max_attempts": 1}}},
    "gs": {"timeout": 20},
}
_FINAL = {"NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "ParamValidationError"}
"""Names of botocore's errors that another try does not help."""
_CURES = {
    "NoCredentialsError": ": set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or the like, or FSSPEC_S3_ANON=true for "
    "a public bucket"
}


class ObjectStore:
    """See ``Source``."""

    def look_up(self, url: str) -> FileState:
        """As ``Source`` says."""
        with _explained():
            info = _connect(url).info(url, **({"refresh": True} if url.startswith("s3:") else {}))
        if info["type"] != "file":
            raise TransferError("the URL names no object but a folder", again=False)
        changed = info.get("LastModified") or info.get("mtime")
        return FileState(info["size"], info.get("ETag") or info.get("etag") or "", _nanoseconds(changed))

    def read(self, url: str, size: int, start: int) -> Iterator[bytes]:
        """As ``Source`` says, in parts that are requested one by one."""
        while start < size:
            with _explained():
                part = _connect(url).cat_file(url, start=start, end=min(start + _PART, size))
            if not part:
                return
            yield part
            start += len(part)


def forget_connections() -> None:
    """Have the next request read the environment anew: credentials may have been put there since."""
    _connect_to.cache_clear()


def _connect(url: str) -> Any:
    return _connect_to(url.partition(":")[0])


@cache
def _connect_to(scheme: str) -> Any:
    try:
        import fsspec  # noqa: PLC0415  not needed, and perhaps not installed, where nothing is remote

        kind = fsspec.get_filesystem_class(scheme)
    except ImportError as error:
        raise TransferError(
            f"URLs of this kind need a library: pip install {_PACKAGES[scheme]}", again=False
        ) from error
    store = kind(skip_instance_cache=True, use_listings_cache=False, **_SETTINGS[scheme])
    store.retries = 1
    return store


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except TransferError:
        raise
    except FileNotFoundError as error:
        raise GoneError("there is no such object") from error
    except PermissionError as error:
        raise TransferError(
            f"access is refused ({error}): look at the credentials; a store may say so of what is not there, too",
            again=False,
        ) from error
    except Exception as error:
        name = type(error).__name__
        cure = _CURES.get(name, "")
        again = name not in _FINAL and getattr(error, "errno", None) != errno.EINVAL  # of a part that is not there
        raise TransferError(f"{' '.join(str(error).split()) or name}{cure}", again=again) from error


def _nanoseconds(changed: Any) -> int:
    if isinstance(changed, str) and changed:
        changed = datetime.datetime.fromisoformat(changed)
    return int(changed.timestamp()) * 10**9 if isinstance(changed, datetime.datetime) else 0
