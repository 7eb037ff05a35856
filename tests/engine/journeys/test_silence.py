"""Nothing phones home: no command leaves what SECURITY.md does not name in a fresh home, or connects to anything."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.conftest import PROJECT
from tests.engine.conftest import sha256
from tests.imports import imports
from tests.rows import write_clips
from tests.silence import BATCH, left_at_home

BUILT_IN = ("--model", "frequency_tuned_v1")
TELLTALES = ("onnxruntime", "openvino")


def loads_a_library(path: Path) -> bool:
    return any(name.startswith(TELLTALES) for name in imports(path))


@pytest.fixture
def table(tmp_path: Path, clips: dict[str, Path]) -> Path:
    return write_clips(tmp_path / "in.jsonl", [clips["carphone_pristine"]])


@pytest.mark.parametrize(
    ("provider", "status"), [("cpu", 0), ("openvino", 0), ("auto", 0), ("cuda", 2), ("tensorrt", 2)]
)
def test_run(table: Path, tmp_path: Path, provider: str, status: int) -> None:
    """There is no card here, so the last two end with an error; they have loaded ONNX Runtime by then."""
    options = ("--input", table, "--output", tmp_path / "out.jsonl", "--provider", provider, "--quiet")
    assert left_at_home(BATCH, "run", *options, *BUILT_IN, status=status) == set()


@pytest.mark.parametrize("provider", ["cpu", "openvino", "auto"])
def test_preview(table: Path, tmp_path: Path, provider: str) -> None:
    options = ("--input", table, "--output", tmp_path / "sheet.png", "--provider", provider)
    assert left_at_home(BATCH, "preview", *options, *BUILT_IN) == set()


def test_doctor() -> None:
    assert left_at_home(BATCH, "doctor") == set()


def test_show(table: Path) -> None:
    assert left_at_home(BATCH, "show", table) == set()


def test_bench(clips: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra: bench)")
    providers = ("--provider", "openvino", "--precision", "float32", "--threads", "1")
    shown = ("--json", tmp_path / "bench.json", "--chart", tmp_path / "bench.png")
    short = ("--rounds", "1", "--batch-size", "8")
    left = left_at_home(BATCH, "bench", clips["carphone_pristine"], *shown, *short, *providers, *BUILT_IN)
    assert left <= {".cache/matplotlib"}  # its list of fonts


def test_models(mini: Path, licence: Path) -> None:
    assert left_at_home(BATCH, "models", "list") == set()
    assert left_at_home(BATCH, "models", "show", "frequency_tuned_v1") == set()
    assert left_at_home(BATCH, "models", "verify", "frequency_tuned_v1") == set()
    installed = left_at_home(BATCH, "models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    assert installed == {".local/share"}


def test_signatures_and_releases(mini: Path, licence: Path, tmp_path: Path) -> None:
    pytest.importorskip("sigstore", reason="sigstore is not installed: pip install 'saliency-batch[verify]'")
    from tests.engine.models.stand_in_sigstore import StandInSigstore

    sigstore = StandInSigstore(tmp_path)
    release = tmp_path / "release"
    release.mkdir()
    model = release / "u2netp_mirror_v1.onnx"
    model.write_bytes(mini.read_bytes())
    bundle = model.with_name(f"{model.name}.bundle")
    bundle.write_text(json.dumps(sigstore.bundle(model.read_bytes())))
    (release / "Apache-2.0-u2netp.txt").write_bytes(licence.read_bytes())
    trusting = (
        f"import pathlib; from saliency_engine.models import signature; root = pathlib.Path({str(sigstore.root)!r}); "
    )
    trusting += f"signature.carried_root = lambda: root; {BATCH}"
    assert left_at_home(trusting, "models", "verify", model, "--bundle", bundle) == set()
    assert left_at_home(trusting, "models", "fetch", "u2netp_mirror_v1", "--from", release) == {".local/share"}


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_a_script_that_uses_the_engine(clips: dict[str, Path], provider: str) -> None:
    code = (
        "import sys, pyarrow\nfrom saliency_engine import Engine, RunConfig\nimport onnxruntime\n"
        f"with Engine(RunConfig(model='frequency_tuned_v1', provider={provider!r}, memo='off')) as engine:\n"
        "    (batch,) = engine.process([pyarrow.record_batch({'src': sys.argv[1:]})])\n"
        "assert batch.column('saliency_status').to_pylist() == ['ok']\n"
        "assert 'openvino_telemetry' not in sys.modules\n"
    )
    assert left_at_home(code, clips["carphone_pristine"]) == set()


# Every module in a process of its own, but what all load besides is loaded once: that took most of the time.
_IMPORT_EACH = """
import os, sys
import av, numba, numpy, onnx, pyarrow.parquet
for top, name in zip(sys.argv[1::2], sys.argv[2::2]):
    child = os.fork()
    if not child:
        sys.path.insert(0, top)
        __import__(name)
        sys.exit()
    if os.waitpid(child, 0)[1]:
        sys.exit(f"{name} failed, as above")
"""


def test_a_module_that_loads_these_libraries_comes_second() -> None:
    """Imported on its own, as a script might: the package it is in, or its first import, has seen to it."""
    modules = (path for name in ("engine", "exporter", "bench") for path in (PROJECT / name).rglob("*.py"))
    arguments: list[str | Path] = []
    for path in sorted(filter(loads_a_library, modules)):
        top = next(parent for parent in path.parents if parent.name in {"engine", "exporter", "bench"})
        arguments += [top, ".".join(path.relative_to(top).with_suffix("").parts)]
    assert left_at_home(_IMPORT_EACH, *arguments) == set()
