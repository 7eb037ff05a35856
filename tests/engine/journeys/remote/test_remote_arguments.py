"""URLs that a command itself names: tables, models, and clips for other commands than ``run``."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests import in_process
from tests.engine.conftest import sha256
from tests.engine.journeys.remote.runs import COMMON
from tests.in_process import run, saliency_batch
from tests.object_store import BUCKET, Store
from tests.rows import read_rows, write_clips

import saliency_engine


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
