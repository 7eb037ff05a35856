"""Keys of several tables made alike."""

from __future__ import annotations

import numpy as np
import pytest

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.tables.keys import first_key_column, normalize_keys

PATHS = np.array(["k150ka/orig/A001.mp4", "C:\\clips\\b.v2.webm", "plain", None, "folder/"], object)


@pytest.mark.parametrize(
    ("column", "how", "keys"),
    [
        ("key", "auto", PATHS.tolist()),
        ("src", "auto", ["A001.mp4", "b.v2.webm", "plain", None, None]),
        ("File", "auto", ["A001.mp4", "b.v2.webm", "plain", None, None]),
        ("src", "raw", PATHS.tolist()),
        ("key", "basename", ["A001.mp4", "b.v2.webm", "plain", None, None]),
        ("key", "stem", ["A001", "b.v2", "plain", None, None]),
    ],
)
def test_keys_are_made_alike(column: str, how: str, keys: list[str | None]) -> None:
    assert normalize_keys(PATHS, column, how).tolist() == keys


def test_a_regular_expression_gives_its_first_group() -> None:
    values = np.array(["ugc-Gaming_1080P-223e-cbr", "other"], object)
    assert normalize_keys(values, "source", "raw", r"^ugc-(.*)-").tolist() == ["Gaming_1080P-223e", None]
    assert normalize_keys(values, "source", "raw", r"\d{4}P").tolist() == ["1080P", None]
    assert normalize_keys(PATHS, "src", "auto", r"^(\w+)/").tolist() == ["k150ka", None, None, None, "folder"]


def test_a_broken_regular_expression_is_told() -> None:
    with pytest.raises(ConfigError, match=r"'\(' is none: missing \)"):
        normalize_keys(PATHS, "src", "raw", "(")


def test_the_likeliest_column_is_the_key() -> None:
    assert first_key_column(["mos", "src", "clip_name"]) == "clip_name"
    assert first_key_column(["flickr_id", "mos", "width"]) == "flickr_id"
    with pytest.raises(InputError, match=r"t\.csv: no column is known to name the clip.* The columns are 'a', 'b'"):
        first_key_column(["a", "b"], "t.csv")
