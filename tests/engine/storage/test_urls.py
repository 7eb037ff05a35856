"""Which URLs are read under ``--allow-remote``, and what is shown of them."""

from __future__ import annotations

import pytest

from saliency_engine.config import RunConfig
from saliency_engine.errors import MissingSourceError
from saliency_engine.storage.locate import Locator
from saliency_engine.storage.urls import check_url, is_remote, show, show_path, without_secrets
from saliency_engine.types import ClipReference


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org/a.mp4", "from this machine alone"),
        ("http://127.0.0.1.example.org/a.mp4", "from this machine alone"),
        ("https://user:so-secret@example.org/a.mp4", "name or password"),
        ("s3://key:so-secret@bucket/a.mp4", "name or password"),
        ("s3://bucket", "names no file"),
        ("s3:///a.mp4", "names no file"),
        ("s3://bucket/folder/", "names no file"),
        ("s3://bucket/../other/a.mp4", "steps"),
        ("https://example.org/a/%2e%2E/b.mp4", "steps"),
        (r"https://example.org/a/..\b.mp4", "steps"),
        ("https://[::1/a.mp4", "not written as one"),
    ],
)
def test_what_is_refused(url: str, reason: str) -> None:
    with pytest.raises(MissingSourceError, match=reason) as error:
        Locator(RunConfig(allow_remote=True)).locate(ClipReference(url))
    assert "so-secret" not in str(error.value)


@pytest.mark.parametrize("url", ["s3://b/a.mp4", "gs://b/a b#1.mp4", "https://h/a.mp4?x=1", "http://[::1]:80/a.mp4"])
def test_what_may_be_read(url: str) -> None:
    assert is_remote(url)
    check_url(url)


@pytest.mark.parametrize(
    "path",
    [
        *("file:///etc/passwd", "ftp://h/a.mp4", "zip://a.mp4::s3://b/c.zip", "simplecache::s3://b/a.mp4"),
        *("filecache::https://h/a.mp4", "memory://a.mp4", "rtmp://h/a", "S3://b/a.mp4", "reference://a", "data:,a"),
        *("local:///a.mp4", "github://o:r@main/a.mp4", "ssh://h/a.mp4", "concat:https://h/a.mp4|b", "hf://datasets/a"),
    ],
)
def test_other_kinds_are_no_urls_that_are_read(path: str) -> None:
    assert not is_remote(path)
    with pytest.raises(MissingSourceError):
        Locator(RunConfig(allow_remote=True)).locate(ClipReference(path))


def test_what_is_shown_has_no_secrets() -> None:
    signed = "https://h/a.mp4?X-Amz-Signature=so-secret&X-Amz-Expires=3"
    assert show(signed) == show("https://h/a.mp4?Signature=other&Expires=7&Key-Pair-Id=k") == "https://h/a.mp4"
    with_id = "https://h/a.mp4?id=7"
    assert show(f"{with_id}&X-Goog-Signature=so-secret") == show(with_id) != show("https://h/a.mp4?id=8")
    assert "id=7" not in show(with_id)
    assert show("https://user:so-secret@h/a.mp4") == "https://h/a.mp4"
    assert show("s3://b/a?b#c d.mp4") == "s3://b/a?b#c d.mp4"  # these belong to its name
    text = f'Could not connect to "{signed}" or https://[so-secret/x: try again'
    assert without_secrets(text) == 'Could not connect to "https://h/a.mp4" or … try again'
    assert show_path("/data/https://h/a?b.mp4") == "/data/https://h/a?b.mp4"
