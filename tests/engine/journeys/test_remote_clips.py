"""Clips in an object store: the numbers of local ones, whatever the store does meanwhile."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests import in_process
from tests.engine.conftest import sha256
from tests.in_process import run, saliency_batch
from tests.object_store import BUCKET, CREDENTIALS, Store, known_store
from tests.rows import read_rows, write_clips

import saliency_engine

COMMON = ("--model", "frequency_tuned_v1", "--allow-remote", "--decode-workers", "2")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache") / "saliency-batch" / "clips"


@pytest.fixture(scope="module")
def store(cache: Path) -> Iterator[Store]:
    """A store that the commands of this module know from their environment."""
    with known_store(cache.parents[1]) as server:
        in_process.start_anew()  # its workers fetch, too
        yield server
    in_process.start_anew()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store) -> Path:
    """The current folder, an empty one. Nothing is known of earlier requests."""
    monkeypatch.chdir(tmp_path)
    store.asked.clear()
    store.faults.clear()
    return tmp_path


@pytest.fixture(scope="module")
def small(clips: dict[str, Path]) -> bytes:
    return clips["carphone_distorted"].read_bytes()


def outcomes(sources: Sequence[str | Path], *options: str, code: int = 0) -> list[tuple[str, str]]:
    """Status and reason of each."""
    write_clips(Path("in.jsonl"), sources)
    run("in.jsonl", "-o", "out.jsonl", *COMMON, *options, code=code)
    return [(row["saliency_status"], row.get("saliency_error") or "") for row in read_rows(Path("out.jsonl"))]


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


def test_other_commands_fetch_too(store: Store, small: bytes) -> None:
    write_clips(Path("in.jsonl"), [store.put("other.mp4", small), "https://user@example.org/x"])
    saliency_batch("index", "in.jsonl", "-o", "index.jsonl", "--allow-remote", code=1)
    first, second = read_rows(Path("index.jsonl"))
    assert first["file_bytes"] == len(small)
    assert "name or password" in second["saliency_error"]
    saliency_batch("preview", "index.jsonl", "-o", "sheet.png", "--allow-remote", "--model", "frequency_tuned_v1")
    assert run("in.jsonl", "-o", "out.jsonl", *COMMON, "--maps", "maps", code=1)
    assert Path("maps", "frequency_tuned_v1.mean", "s3", BUCKET, "other.mp4.png").is_file()
    kept = saliency_batch("memo", "prune", "saliency.memo.sqlite", text=True)
    assert re.search(r"\b0 of 1\b|\b0 entries\b|nothing", kept.stdout + kept.stderr)


def test_tables_and_models_are_fetched(store: Store, small: bytes) -> None:
    model = Path(saliency_engine.__file__).with_name("assets") / "frequency_tuned_v1.onnx"
    urls = {"model": store.put("m.onnx", model.read_bytes()), "clip": store.put("t/a.mp4", small)}
    rows = [urls["clip"], "b.mp4"]
    Path("b.mp4").write_bytes(small)
    pq.write_table(pa.table({"src": rows, "mos": [1, 2]}), "in.parquet")
    table = store.put("t/in.parquet", Path("in.parquet").read_bytes())
    remote = ("--allow-remote", "--model", urls["model"])
    run(table, "-o", "out.jsonl", *remote, "--audit-json", "audit.json")
    first, second = read_rows(Path("out.jsonl"))
    assert (first["mos"], second["mos"]) == (1, 2)
    assert first["saliency_model_id"] == "frequency_tuned_v1"
    assert first["saliency_mean"] == second["saliency_mean"]
    inputs = json.loads(Path("audit.json").read_text())["run_provenance"]["inputs"]
    for name, url, file in (("input", table, Path("in.parquet")), ("model", urls["model"], model)):
        assert inputs[name] == {"path": url, "exists": True, "kind": "file", "sha256": sha256(file)}
    # Clips that the command names, and a manifest with URLs.
    run(urls["clip"], "b.mp4", "-o", "clips.jsonl", *remote)
    assert {row["saliency_mean"] for row in read_rows(Path("clips.jsonl"))} == {first["saliency_mean"]}
    entry = {
        "id": "a",
        "input": table,
        "output": "batch.jsonl",
        "model_path": urls["model"],
        "root": f"s3://{BUCKET}/t",
    }
    Path("batch.json").write_text(json.dumps({"defaults": {"allow_remote": True}, "tables": [entry]}))
    saliency_batch("batch", "batch.json", code=1)  # b.mp4 is not below the root
    assert [row["saliency_status"] for row in read_rows(Path("batch.jsonl"))] == ["ok", "missing-source"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("s3://clips/none.jsonl",), "InputError: s3://clips/none.jsonl: no such file\n"),
        (("s3://clips/folder/",), "it is not searched: give a table, or a local list, of URLs"),
        (("https://h/in.jsonl?sig=so-secret",), "must hold no name, password or query"),
        (
            ("in.jsonl", "--model-path", "s3://clips/none.onnx"),
            "cannot read the model s3://clips/none.onnx: no such file",
        ),
        (("in.jsonl", "--model-path", "https://h/m.onnx?so-secret"), "must hold no query"),
        (
            ("in.jsonl", "--audit-json", "s3://clips/a.json"),
            "s3://clips/a.json: only files of this machine",
        ),
        (("in.jsonl", "--root", "https://u:so-secret@h/a"), "must hold no name, password or query"),
    ],
)
def test_what_the_command_names_in_vain(arguments: tuple[str, ...], message: str) -> None:
    write_clips(Path("in.jsonl"), ["a.mp4"])
    stderr = in_process.stderr_of("run", *arguments, "-o", "out.jsonl", "--allow-remote", code=2)
    assert message in stderr
    assert "so-secret" not in stderr
    assert not Path("out.jsonl").exists()


def test_without_the_option_nothing_is_loaded_or_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        script = (
            "import sys; from saliency_engine import RunConfig; from saliency_engine.errors import MissingSourceError\n"
            "from saliency_engine.storage.locate import Locator; from saliency_engine.types import ClipReference\n"
            "import saliency_engine.video.decode\n"
            f"for url in 's3://clips/a.mp4', 'gs://clips/a.mp4', '{address}/a.mp4':\n"
            "    locator = Locator(RunConfig()); locator.foresee([ClipReference(url)])\n"
            "    try: locator.locate(ClipReference(url)); sys.exit('it was located')\n"
            "    except MissingSourceError as error: print(error)\n"
            "loaded = {'fsspec', 's3fs', 'urllib.request', 'ssl', 'http.client'} & sys.modules.keys()\n"
            "sys.exit(f'loaded: {loaded}' if loaded else 0)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "URLs are not read: download the file first, or give --allow-remote\n" * 3
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
