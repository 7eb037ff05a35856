"""Paths made from columns: what a row gives, why another gives none, and templates that are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError
from saliency_engine.path_template import PathTemplate


@pytest.mark.parametrize(
    ("text", "expressions", "row", "path"),
    [
        ("k150ka_extracted/{clip_name}.mp4", [], {"clip_name": "0012345"}, "k150ka_extracted/0012345.mp4"),
        ("{a}/{b}-{a}", [], {"a": "x", "b": "y"}, "x/y-x"),
        ("{{{a}}}", [], {"a": "x"}, "{x}"),
        ("{a.b}/{c[0]}/{d:3}/{e!r}", [], {"a.b": "1", "c[0]": "2", "d:3": "3", "e!r": "4"}, "1/2/3/4"),
        ("{a}", ["a=(\\d+)"], {"a": "clip 12.0"}, "12"),
        ("{a}", ["a=\\d+"], {"a": "clip 12.0"}, "12"),
        ("", ["src=^bvi-dvc:(.+)=?$"], {"src": "bvi-dvc:x"}, "x"),
        (
            "{name}_{kind}",
            ["id=^ugc-(?P<name>.+)-(?P<kind>[a-z]+)$"],
            {"id": "ugc-A_1080P-223e-vod"},
            "A_1080P-223e_vod",
        ),
    ],
)
def test_a_row_gives_a_path(text: str, expressions: list[str], row: dict[str, str], path: str) -> None:
    template = PathTemplate(text, expressions, "src")
    assert sorted(template.columns) == sorted(row)
    assert template.fill([row[name] for name in template.columns]) == (path, "")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "column 'a' has no text or number in this row: the clip's path is made from it"),
        ("", "column 'a' has no text or number in this row: the clip's path is made from it"),
        ("b", "column 'a' holds 'b', where --path-regex 'x(y)?' matches nothing"),
        ("x", "the group of --path-regex for 'a' matches nothing in this row: 'x'"),
    ],
)
def test_a_row_without_a_path_says_why(value: str | None, reason: str) -> None:
    assert PathTemplate("{a}.mp4", ["a=x(y)?"], "src").fill([value]) == ("", reason)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path_template": "clips/x.mp4"}, "it names no column"),
        ({"path_template": "{a"}, "a brace stands alone"),
        ({"path_template": "a}"}, "a brace stands alone"),
        ({"path_template": "{}"}, "a brace stands alone"),
        ({"path_template": "{a}", "path_regex": ("b=x",)}, "--path-regex names the column 'b': write {b} in"),
        ({"path_regex": ("b",)}, "--path-regex b: write it as COLUMN=EXPR"),
        ({"path_regex": ("src=(",)}, r"--path-regex src=\(: not a regular expression: "),
        ({"path_template": "{saliency_mean}"}, "would overwrite the input column 'saliency_mean'"),
    ],
)
def test_a_wrong_template_is_an_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RunConfig(**options)
