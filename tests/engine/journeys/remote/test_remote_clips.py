"""Clips in an object store: the numbers of local ones, whatever the store does meanwhile."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from tests.engine.journeys.remote.runs import COMMON, outcomes
from tests.in_process import run
from tests.object_store import BUCKET, CREDENTIALS, Store
from tests.rows import read_rows, write_clips


def test_numbers_are_those_of_local_clips_and_are_remembered(store: Store, clips: dict[str, Path]) -> None:
    urls = [store.put(f"same/{path.name}", path.read_bytes()) for path in clips.values()]
    web = f"{store.endpoint}/{BUCKET}/same/bikes.mp4?X-Amz-Signature=very-secret"
    assert outcomes([*urls, *urls, web, *clips.values()]) == [("ok", "")] * (3 * len(clips) + 1)
    rows = [(row["saliency_mean"], row["saliency_var"]) for row in read_rows(Path("out.jsonl"))]
    local = rows[-len(clips) :]
    assert rows == [*local, *local, local[list(clips).index("bikes")], *local]
    # Each is asked for once before it is fetched, and once after that, whether it is still the same.
    assert {store.asked[f"HEAD same/{path.name}"] for path in clips.values()} == {2}
    store.asked.clear()
    again = web.replace("very-secret", "another")  # signed anew, it is the same file
    store.put("same/carphone_pristine.mp4", clips["carphone_distorted"].read_bytes())
    outcomes([*urls, again], "--audit-json", "audit.json")
    audit = json.loads(Path("audit.json").read_text())
    assert (audit["clips"]["computed"], audit["clips"]["reused"]) == (1, len(clips))
    fetched = {name for name in store.asked if name.startswith("GET")} - {"GET same/bikes.mp4"}  # looked up with GET
    assert fetched == {"GET same/carphone_pristine.mp4"}
    assert (
        read_rows(Path("out.jsonl"))[list(clips).index("carphone_pristine")]["saliency_mean"]
        == local[list(clips).index("carphone_distorted")][0]
    )


def test_faults_of_the_store(store: Store, small: bytes) -> None:
    urls = {name: store.put(name, small + name.encode()) for name in ("a", "busy", "late", "cut", "torn", "swap")}
    urls |= {name: store.put(name, small) for name in ("down", "secret")} | {"gone": f"s3://{BUCKET}/gone"}
    urls["less"] = store.put("less", small * 3)
    store.faults = {
        "busy": ["503", "503"],
        "late": ["", "503", "503"],
        "cut": ["", "cut"],
        "torn": ["", "cut", "cut", "cut"],
        "swap": ["", "swap"],
        "less": ["", "swap"],
        "down": ["503"] * 9,
        "secret": ["403"],
    }
    got = dict(zip(urls, outcomes(list(urls.values()), "--decode-workers", "4", code=1), strict=True))
    assert {name for name, outcome in got.items() if outcome == ("ok", "")} == {"a", "busy", "late", "cut"}
    assert got["gone"] == ("missing-source", f"no such file: s3://{BUCKET}/gone")
    assert got["down"][0] == got["secret"][0] == "missing-source"
    assert "503" in got["down"][1] or "Unavailable" in got["down"][1]
    assert "access is refused" in got["secret"][1]
    assert got["torn"][0] == got["swap"][0] == "decode-failed"
    assert got["swap"] == got["less"]
    assert got["torn"][1].startswith("the clip cannot be fetched: ")
    assert got["swap"][1] == "the file was changed while it was being read; run the same command again"
    assert (store.asked["HEAD down"], store.asked["HEAD secret"], store.asked["HEAD gone"]) == (3, 1, 1)


def test_a_slow_store_costs_its_clip_alone(store: Store, small: bytes, cache: Path) -> None:
    url = store.put("slow.mp4", small)
    store.faults = {"slow.mp4": ["", "slow"]}
    ((status, reason),) = outcomes([url], "--clip-timeout", "2", code=1)
    assert status == "decode-failed"
    assert reason == "fetching and decoding took longer than --clip-timeout 2 s and was stopped"
    assert outcomes([url]) == [("ok", "")]
    assert not list(cache.glob("*.partial"))


def test_the_cache_keeps_to_its_size(store: Store, clips: dict[str, Path], cache: Path) -> None:
    content, limit = clips["carphone_pristine"].read_bytes(), 2_500_000
    urls = [store.put(f"many/{number}.mp4", content + bytes(number)) for number in range(9)]
    assert 4 * len(content) < limit < 5 * len(content)
    sizes, done = [], threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            sizes.append(sum(path.stat().st_size for path in cache.iterdir() if path.exists()))

    for path in cache.glob("*"):
        path.unlink()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        got = outcomes(urls, "--remote-cache-gb", "0.0025", "--decode-workers", "4")
    finally:
        done.set()
        watcher.join()
    assert got == [("ok", "")] * len(urls)
    assert len(content) < max(sizes) <= limit
    large = store.put("large.mp4", bytes(limit + 1))
    ((status, reason),) = outcomes([large], "--remote-cache-gb", "0.0025", code=1)
    assert status == "decode-failed"
    assert "more than --remote-cache-gb 0.0025 holds" in reason
    assert not store.asked["GET large.mp4"]


def test_root_and_confine(store: Store, small: bytes) -> None:
    store.put("inner/a.mp4", small)
    (Path("b.mp4")).write_bytes(small)
    rows = ["inner/a.mp4", f"s3://{BUCKET}/inner/a.mp4", "inner/a", "../inner/a.mp4", f"s3://{BUCKET}2/inner/a.mp4"]
    rows += [str(Path("b.mp4").absolute()), f"{store.endpoint}/{BUCKET}/inner/a.mp4"]
    options = ("--root", f"s3://{BUCKET}/", "--path-suffix", "", "--path-suffix", ".mp4")
    got = outcomes(rows, *options, "--confine", code=1)
    assert [status for status, _ in got] == ["ok"] * 3 + ["missing-source"] * 4
    assert store.asked.keys() == {"HEAD inner/a.mp4", "HEAD inner/a", f"GET /{BUCKET}", "GET inner/a.mp4"}


def test_a_web_server(store: Store, small: bytes) -> None:
    keys = {"fine": "", "moved": "to file:///etc/hostname", "away": "to http://example.org/x", "bare": "bare"}
    for key, fault in keys.items():
        store.put(f"web/{key}", small)
        store.faults[f"web/{key}"] = [fault]
    secret = "Signature=so-secret&id=7"
    got = outcomes([f"{store.endpoint}/{BUCKET}/web/{key}?{secret}" for key in (*keys, "none")], code=1)
    fine, moved, away, bare, none = got
    assert fine == ("ok", "")
    assert {status for status, _ in got[1:]} == {"missing-source"}
    assert "redirect" in moved[1].lower()
    assert "only https: is safe" in away[1]
    assert "neither an ETag nor when the file was changed" in bare[1]
    assert none[1].startswith("no such file: http://127.0.0.1")
    written = b"".join(path.read_bytes() for path in Path().glob("saliency.memo.sqlite*"))
    assert b"/web/fine?" in written
    reasons = "".join(reason for _, reason in got)
    assert not any("so-secret" in text for text in (written.decode("latin-1"), reasons))


def test_secrets_are_in_no_output(store: Store, small: bytes) -> None:
    url = f"{store.endpoint}/{BUCKET}/nothing?X-Goog-Signature=so-secret"
    write_clips(Path("in.jsonl"), [url, store.put("a/pre.mp4", small).replace("s3://", "s3://user:so-secret@")])
    done = run("in.jsonl", "-o", "out.jsonl", *COMMON, "--verbose", code=1, text=True)
    assert "so-secret" not in done.stderr
    assert "--path-template" not in done.stderr  # what helps to find files helps no URL
    assert not any("so-secret" in row["saliency_error"] for row in read_rows(Path("out.jsonl")))
    assert not store.asked["HEAD a/pre.mp4"]


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, store: Store, small: bytes, tmp_path: Path) -> None:
    url = store.put("closed.mp4", small)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    ((status, reason),) = outcomes([url], code=1)
    assert status == "missing-source"
    assert "Unable to locate credentials: set AWS_ACCESS_KEY_ID" in reason
    assert "FSSPEC_S3_ANON" in reason
    assert not store.asked
