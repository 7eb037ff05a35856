"""A headless Chromium, where there is one: what it makes of a page on a phone and on a screen, by day and by night."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.processes import HANG

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here to open the page with")
PHONE, SCREEN = 360, 1280

# The page runs in a frame of the width that is asked for, because a window has a least width of its own.
_HARNESS = """<!doctype html><meta charset="utf-8"><body><iframe id="page" width="{width}" height="800" srcdoc="{page}">
</iframe><pre id="seen"></pre><script>
addEventListener("load", () => {{
  const frame = document.getElementById("page"), inner = frame.contentWindow, own = inner.document;
  const style = inner.getComputedStyle(own.body);
  document.getElementById("seen").textContent = JSON.stringify({{
    width: own.documentElement.scrollWidth,
    height: own.documentElement.scrollHeight,
    background: style.backgroundColor,
    ink: style.color,
    font: parseFloat(style.fontSize),
    headline: own.querySelector("h1").innerText,
    charts: [...own.querySelectorAll("svg")].map(one => one.getBoundingClientRect().height),
    chartInk: [...own.querySelectorAll("svg text")].map(one => inner.getComputedStyle(one).fill),
    pictures: [...own.images].map(one => one.complete && one.naturalWidth),
    loaded: inner.performance.getEntriesByType("resource").map(one => one.name.slice(0, 60)),
  }});
}});
</script>"""


def look_at(page: Path, folder: Path, width: int = PHONE, *, dark: bool = False) -> dict[str, Any]:
    """What is seen of ``page`` in a frame ``width`` pixels wide; ``folder`` is one for the browser's own files."""
    assert CHROMIUM is not None
    harness = folder / f"harness-{width}-{dark}.html"
    harness.write_text(_HARNESS.format(width=width, page=html.escape(page.read_text(encoding="utf-8"))))
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
        *(f"--user-data-dir={folder / 'profile'}", *(["--force-dark-mode"] if dark else [])),
        *("--virtual-time-budget=5000", "--dump-dom", harness.as_uri()),
    ]
    dumped = subprocess.run(command, check=True, capture_output=True, text=True, timeout=HANG).stdout
    match = re.search(r'<pre id="seen">(.*?)</pre>', dumped, re.DOTALL)
    assert match, dumped[:2000]
    seen: dict[str, Any] = json.loads(html.unescape(match[1]))
    return seen


def lightness(color: str) -> float:
    """Of a computed colour ``rgb(r, g, b)``, in [0, 1]."""
    return sum(map(float, re.findall(r"[\d.]+", color)[:3])) / 3 / 255


def check_page(page: Path, folder: Path) -> dict[str, Any]:
    """Assert what holds of every page, and return what a phone shows."""
    assert page.stat().st_size < 2_000_000
    seen = look_at(page, folder)
    assert seen["width"] <= PHONE, "nothing but tables scrolls sideways"
    assert seen["font"] >= 16
    assert all(height > 60 for height in seen["charts"])
    assert all(seen["pictures"]), "every picture is one"
    assert all(name.startswith("data:") for name in seen["loaded"]), "nothing is loaded"
    assert lightness(seen["background"]) > 0.9
    night = look_at(page, folder, SCREEN, dark=True)
    assert lightness(night["background"]) < 0.2
    for one in (seen, night):
        inks = [one["ink"], *one["chartInk"]]
        assert all(abs(lightness(ink) - lightness(one["background"])) > 0.3 for ink in inks), "text can be read"
    return seen
