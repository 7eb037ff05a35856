"""The sampling tag: one text for what moves a number, and from it the options that give the number again."""

from __future__ import annotations

import random
import re
from typing import Any

import pytest
from tests.conftest import PROJECT

from saliency_engine.config import OPTIONS, RunConfig
from saliency_engine.errors import ConfigError, InputError
from saliency_engine.samplings import sampling_of
from saliency_engine.tables.sampling_tag import describe_sampling, parse_sampling, tags_of
from saliency_engine.tags import Tags, sampling_of_clip


def tag(width: int = 320, height: int = 320, **options: Any) -> str:
    return describe_sampling(RunConfig(**options), width, height)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "head:8@320x320"),
        ({"frame_samples": 16}, "head:8@320x320"),
        ({"frame_samples": 16, "max_frames": 24}, "head:16/24@320x320"),
        ({"max_frames": 4}, "head:4@320x320"),
        ({"sampling": "uniform", "frame_samples": 16, "max_frames": 4}, "uniform:16@320x320"),
        ({"sampling": "keyframes", "frame_samples": 4}, "keyframes:4@320x320"),
        ({"color": "bt709"}, "head:8@320x320;color=bt709"),
        ({"hdr": "tonemap", "precision": "bfloat16"}, "head:8@320x320;hdr=tonemap;precision=bfloat16"),
        (
            {"sampling": "uniform", "color": "bt709", "precision": "bfloat16", "provider": "openvino"},
            "uniform:8@320x320;color=bt709;precision=bfloat16",
        ),
        ({"reuse": 0.004}, "head:8@320x320;reuse=0.004"),
        ({"reuse": 1e-5, "precision": "bfloat16"}, "head:8@320x320;precision=bfloat16;reuse=1e-05"),
        ({"reuse": 0}, "head:8@320x320"),
        ({"accept_short": True, "temporal_aggregator": "ema", "batch_size": 4, "provider": "auto"}, "head:8@320x320"),
    ],
)
def test_the_tag_says_what_moves_a_number_and_nothing_else(options: dict[str, Any], text: str) -> None:
    assert tag(**options) == text


def test_the_size_is_the_models_own() -> None:
    """``--model-size`` is for models that take any size."""
    config = RunConfig(model_size="64x64")
    assert tags_of(config, "m", 320, 240).sampling == "head:8@320x240"


def test_the_options_come_back_from_the_tag() -> None:
    rng = random.Random(13)
    moving = ("sampling", "color", "hdr", "precision")
    for _ in range(500):
        options: dict[str, Any] = {name: rng.choice(OPTIONS[name].metadata["choices"]) for name in moving}
        options |= {name: rng.choice((1, 4, 8, 9, 24, 2**31 - 1)) for name in ("max_frames", "frame_samples")}
        options["reuse"] = rng.choice((0.0, rng.random(), 10 ** -rng.uniform(1, 9)))
        options["model_size"] = f"{rng.randrange(1, 99999)}x{rng.randrange(1, 99999)}"
        try:
            config = RunConfig(**options)
        except ConfigError:  # two options that do not go together
            continue
        text = describe_sampling(config, *config.model_width_height)
        again = RunConfig(**parse_sampling(text))
        assert describe_sampling(again, *again.model_width_height) == text
        for name in (*moving, "model_size", "reuse"):
            assert getattr(again, name) == getattr(config, name)
        if config.sampling != "head":
            assert sampling_of(again) == sampling_of(config)
        else:
            assert again.max_frames == config.max_frames
            assert sampling_of(again).frames_per_clip == sampling_of(config).frames_per_clip


@pytest.mark.parametrize(
    "text",
    [
        "",
        "head",
        "head:8",
        "head:8@320",
        "head:08@320x320",
        "head:8/8@320x320",
        "head:8/4@320x320",
        "head:0@320x320",
        "head:9999999999@320x320",
        "uniform:8/24@320x320",
        "keyframes:8/8@320x320",
        "keyframes:9/8@320x320",
        "keyframes:0/8@320x320",
        "keyframes:06/8@320x320",
        "middle:8@320x320",
        "head:8@320x320;",
        "head:8@320x320;color=auto",
        "head:8@320x320;color=pink",
        "head:8@320x320;reuse=0.0",
        "head:8@320x320;reuse=0",
        "head:8@320x320;reuse=0.0040",
        "head:8@320x320;reuse=4e-3",
        "head:8@320x320;reuse=1.0",
        "head:8@320x320;reuse=nan",
        "head:8@320x320;reuse=some",
        "head:8@320x320;reuse=0.004;precision=bfloat16",
        "head:8@320x320;model=x",
        "head:8@320x320;model_size=64x64",
        "head:8@320x320;precision=bfloat16;color=bt709",
        "head:8@320x320;color=bt709;color=bt709",
        "head:8@320x320 ",
        "head:٨@320x320",
        "head max_frames=8 frame_samples=8",
    ],
)
def test_a_text_that_no_run_writes_is_no_tag(text: str) -> None:
    with pytest.raises(InputError, match=r"is not a sampling tag: .* like head:8@320x320"):
        parse_sampling(text)


def test_the_page_explains_tags_that_are_tags() -> None:
    page = (PROJECT / "docs" / "tables.md").read_text(encoding="utf-8")
    section = page[page.index("### The sampling tag") :]
    tags = re.findall(r"`((?:head|uniform|keyframes):\d\S*@\S+)`", section[: section.index("\n## ")])
    assert len(tags) >= 4
    for text in tags:
        assert parse_sampling(text)


def test_the_tag_of_a_clip_with_fewer_keyframes_gives_the_same_options() -> None:
    config = RunConfig(model="frequency_tuned_v1", sampling="keyframes", frame_samples=8)
    own = sampling_of_clip(describe_sampling(config, 320, 320), 6)
    assert own == "keyframes:6/8@320x320"
    assert parse_sampling(own) == parse_sampling("keyframes:8@320x320")
    assert Tags(sampling=own) == Tags(sampling="keyframes:8@320x320") != Tags(sampling="keyframes:6@320x320")
    assert Tags(sampling="head:8/24@320x320").sampling == "head:8/24@320x320"
    for frames, tag in ((8, "keyframes:8@320x320"), (6, "uniform:8@320x320"), (6, "head:8/24@320x320")):
        assert sampling_of_clip(tag, frames) == tag
