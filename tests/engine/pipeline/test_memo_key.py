"""Fields that can change a number are in the memo's key: new ones must be, or be listed as changing nothing."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from saliency_engine.config import RunConfig
from saliency_engine.facts import RemoteFile
from saliency_engine.inference.session import open_session
from saliency_engine.models.load import load_model
from saliency_engine.pipeline.memo import Memo, memo_context
from saliency_engine.samplings import Head, Keyframes, Sampling, Uniform
from saliency_engine.types import ClipRequest, DecodeSpec, RawFormat


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, Head):
        return Uniform(value.frame_samples)
    if value is None:
        return REMOTE
    if isinstance(value, int | float):
        return value + 1
    return value + "1" if isinstance(value, str) else None


REMOTE = RemoteFile("s3://b/a.yuv?signed", 1, '"1f"', 2, 10**9)
REQUEST = ClipRequest("/a.yuv", 1, 2, RawFormat(3, 4, "yuv420p"))
SPEC = DecodeSpec(width=64, height=64, sampling=Head(8, 8), color="auto")


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(ClipRequest)])
def test_every_field_of_a_request_is_in_the_key(name: str) -> None:
    memo = Memo(None, {})
    keys = {memo.key(dataclasses.replace(REQUEST, **{name: value})) for value in _two(REQUEST, name)}
    memo.close()
    assert (len(keys) == 1) == (name == "extra")  # an entry says itself what was measured


@pytest.mark.parametrize(
    ("other", "is_new"),
    [
        (dataclasses.replace(REMOTE, etag='"20"'), True),
        (dataclasses.replace(REMOTE, etag=""), True),
        (dataclasses.replace(REMOTE, mtime_ns=3), False),  # a store may copy an object that stays what it is
        (dataclasses.replace(REMOTE, url="s3://b/a.yuv?signed-anew", cache_bytes=1), False),
    ],
)
def test_a_remote_clip_is_known_by_its_version(other: RemoteFile, is_new: bool) -> None:
    memo = Memo(None, {})
    requests = [dataclasses.replace(REQUEST, mtime_ns=file.mtime_ns, remote=file) for file in (REMOTE, other)]
    assert len({memo.key(request) for request in requests}) == (2 if is_new else 1)
    memo.close()


def test_a_remote_clip_without_a_version_is_known_by_its_time_of_change() -> None:
    memo = Memo(None, {})
    requests = [
        dataclasses.replace(REQUEST, mtime_ns=time, remote=dataclasses.replace(REMOTE, etag="", mtime_ns=time))
        for time in (2, 3)
    ]
    assert memo.key(requests[0]) != memo.key(requests[1])
    memo.close()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(RawFormat)])
def test_every_field_of_a_raw_format_is_in_the_key(name: str) -> None:
    assert REQUEST.raw is not None
    memo = Memo(None, {})
    raws = [dataclasses.replace(REQUEST.raw, **{name: value}) for value in _two(REQUEST.raw, name)]
    keys = {memo.key(dataclasses.replace(REQUEST, raw=raw)) for raw in raws}
    memo.close()
    assert len(keys) == 2


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(DecodeSpec)])
def test_every_field_of_a_spec_that_changes_numbers_is_in_the_key(name: str) -> None:
    config = RunConfig(model="frequency_tuned_v1", model_size="64x64")
    model = load_model(config)
    session = open_session(model, config)
    specs = [dataclasses.replace(SPEC, **{name: value}) for value in _two(SPEC, name)]
    contexts = [memo_context(model.sha256, session.provider, spec) for spec in specs]
    session.close()
    assert (contexts[0] == contexts[1]) == (name in {"max_pixels", "confine"})  # they refuse clips, no more


@pytest.mark.parametrize(
    ("sampling", "name"),
    [
        (Head(8, 8), "max_frames"),
        (Head(8, 8), "frame_samples"),
        (Uniform(8), "frame_samples"),
        (Keyframes(8), "frame_samples"),
    ],
)
def test_every_number_of_a_sampling_is_in_the_key(sampling: Sampling, name: str) -> None:
    both = [dataclasses.replace(sampling, **{name: value}) for value in _two(sampling, name)]
    first, second = (memo_context("", "", dataclasses.replace(SPEC, sampling=one)) for one in both)
    assert first != second


@pytest.mark.parametrize(
    ("sampling", "key"),
    [
        (Head(8, 4), "f00bde89b09bafa6082c5ce5a4f3fd4885fd01fbd149e4b20726397cdc482552"),
        (Uniform(4), "9c4c00c8d098028121e8cfddc350e34d9ee9cf2b6ce5e258f7740010e0646d6b"),
    ],
)
def test_keys_stay_those_of_memos_of_this_version(sampling: Sampling, key: str) -> None:
    spec = DecodeSpec(320, 240, sampling, "bt709", max_pixels=10, accept_short=True, confine="/a")
    memo = Memo(None, memo_context("0" * 64, "CPUExecutionProvider", spec))
    assert memo.key(REQUEST).hex() == key
    memo.close()


def test_samplings_of_as_many_frames_have_keys_of_their_own() -> None:
    samplings = (Head(8, 8), Uniform(8), Keyframes(8))
    contexts = [memo_context("", "", dataclasses.replace(SPEC, sampling=sampling)) for sampling in samplings]
    assert all(contexts.count(context) == 1 for context in contexts)


def _two(instance: Any, name: str) -> tuple[Any, Any]:
    value = getattr(instance, name)
    return value, changed(value)
