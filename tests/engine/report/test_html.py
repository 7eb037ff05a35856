"""Pages hold all that they show, and whatever is shown is text and never markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import jinja2
import numpy as np
import pytest

from saliency_engine.report import charts, html
from saliency_engine.report.charts import Estimate


@pytest.fixture
def render(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """Renders a page whose content is ``body``."""

    def page(body: str, **values: Any) -> str:
        for file in html._PAGES.iterdir():
            (tmp_path / file.name).write_text(file.read_text())
        content = '{% extends "base.html" %}{% from "macros.html" import table, figures, thumbnails, chart %}'
        (tmp_path / "own.html").write_text(f"{content}{{% block content %}}{body}{{% endblock %}}")
        monkeypatch.setattr(html, "_PAGES", tmp_path)
        return html.render_page("own.html", **{"title": "A page", **values})

    return page


class Checker(HTMLParser):
    """Whether every element is closed in its turn, and what a browser would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for name, value in attributes if name in {"src", "href", "srcset", "data"}]
        if tag not in {"meta", "img", "br", "link", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def all_charts() -> list[Any]:
    generator = np.random.default_rng(1)
    x = generator.normal(size=4000)
    return [
        charts.draw_histogram([x, x + 1, np.array([])], "saliency_mean", ["A & <B>", "costs $5 and $6", "none"]),
        charts.draw_bars(["a_very_long_name_of_a_column_indeed", "日本語"], [3.0, 12345.0], "rows"),
        charts.draw_scatter(x, x + 1, ("x", "y"), diagonal=True),
        charts.draw_scatter(x[:50], x[:50], ("x", "y")),
        charts.draw_mapping(x[:50], x[:50], x[:50], ("x", "y"), series=1),
        charts.draw_intervals([Estimate(("a", "b"), 0.1, 0.0, 0.2), Estimate(("c",), 0.3, np.nan, np.nan, 7)], "SROCC"),
        charts.draw_histogram([np.full(5, 0.5)], "constant"),
        charts.draw_histogram([np.array([])], "nothing"),
        charts.draw_bars([], [], "rows"),
        charts.draw_scatter(np.array([]), np.array([]), ("x", "y"), diagonal=True),
        charts.draw_mapping(np.array([]), np.array([]), np.array([]), ("x", "y")),
    ]


def test_charts_are_in_the_pages_colours_and_load_nothing(render: Any, recwarn: pytest.WarningsRecorder) -> None:
    page = render("{% for one in drawn %}{{ chart(one) }}{% endfor %}", drawn=all_charts())
    assert not list(recwarn)
    assert page.count("<svg ") == 11
    checked = Checker(page)
    assert all(target.startswith("#") for target in checked.loaded)
    assert not re.search(r"https?://(?!www\.w3\.org/)", page)
    drawn = page[page.index("<main>") :]
    assert "var(--s1)" in drawn
    assert "var(--s2)" in drawn
    assert not re.search(r"#0102\w\w", drawn), "a colour of which no variable was made"
    assert "A &amp; &lt;B&gt;" in drawn
    assert "costs $5 and $6" in drawn
    assert "日本語" in drawn
    assert len(page) < 400_000


def test_charts_are_the_same_every_time() -> None:
    assert all_charts() == all_charts()


def test_what_is_filled_in_is_escaped(render: Any) -> None:
    hostile = "<script>alert(1)</script>\x1b[2J\u202e"
    page = render("{{ table(['a'], [[text]]) }}{{ thumbnails([tile]) }}", text=hostile,
                  tile={"title": hostile, "lines": [hostile], "frame": "", "reason": hostile})  # fmt: skip
    Checker(page)
    assert page.count("&lt;script&gt;") == 4
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_value_that_is_missing_is_an_error(render: Any) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("{{ nothing }}")


def test_a_page_is_for_phones_and_for_the_dark(render: Any) -> None:
    page = render("{{ figures([('rows', 3)]) }}")
    assert 'name="viewport" content="width=device-width' in page
    assert "prefers-color-scheme: dark" in page
    assert "<title>A page</title>" in page
    assert "<dt>rows</dt><dd>3</dd>" in page


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (html.number(-0.12345), "−0.123"),
        (html.number(float("nan")), "–"),
        (html.number(None), "–"),
        (html.signed(0.5, 1), "+0.5"),
        (html.interval((-0.003, 0.028)), "[−0.003, 0.028]"),
        (html.interval((np.nan, np.nan)), ""),
        (html.interval(None), ""),
        (html.count(1234567), "1,234,567"),
        (html.share(1.0), "100%"),
        (html.share(0.99999), "> 99.9%"),
        (html.share(0.00001), "< 0.1%"),
        (html.share(0.5), "50.0%"),
        (html.share(0), "0%"),
        (html.share(float("nan")), "–"),
    ],
)
def test_numbers_are_written_for_people(text: str, shown: str) -> None:
    assert text == shown


def test_a_picture_is_a_jpeg_inside_the_page() -> None:
    url = html.as_jpeg(np.zeros((20, 30, 3), np.uint8))
    assert url.startswith("data:image/jpeg;base64,/9j/")
