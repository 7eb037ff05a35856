"""Which bytes run: loading rules, the registry, installing and fetching, as a user meets them."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from tests.engine.test_graph import miniature
from tests.engine.test_run import read_rows, write_rows

from saliency_engine import cli, registry
from saliency_engine.config import RunConfig, load_options, split_options
from saliency_engine.download import alone
from saliency_engine.entry import asset
from saliency_engine.errors import ConfigError, FetchError, ModelError, OutputError, SaliencyError
from saliency_engine.models import load_model

BUILT_IN_SHA256 = "771f49225481a932540b2105af8d24f790ac29d46b82a0b19c73fe111f035242"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model folder of this test's own."""
    monkeypatch.setenv("SALIENCY_BATCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "models"


@pytest.fixture
def mini(tmp_path: Path) -> Path:
    """A small model of nobody's."""
    path = tmp_path / "mini.onnx"
    path.write_bytes(miniature().SerializeToString())
    return path


@pytest.fixture
def licence(tmp_path: Path) -> Path:
    path = tmp_path / "LICENSE"
    path.write_text("do what you like\n")
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def command(*arguments: str | Path) -> None:
    """Run saliency-batch in this process; errors come out as exceptions."""
    cli.main_group.main(list(map(str, arguments)), standalone_mode=False)


def run(*arguments: str | Path, code: int = 0) -> str:
    """Run saliency-batch as a process; returns its stderr."""
    main = [sys.executable, "-c", "from saliency_engine.cli import main; main()"]
    done = subprocess.run([*main, *map(str, arguments)], capture_output=True, check=False, timeout=120, text=True)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


# Hash: registry, --model-sha256, neither


def test_a_registered_models_bytes_are_verified_by_their_hash(models: Path, tmp_path: Path) -> None:
    built_in = load_model(RunConfig(model="frequency_tuned_v1", require_verified=True))
    assert (built_in.sha256, built_in.as_json()["verified_by"]) == (BUILT_IN_SHA256, {"how": "registry"})
    renamed = tmp_path / "mine.onnx"
    renamed.write_bytes((models / "saliency_student_v2.onnx").read_bytes())
    student = load_model(RunConfig(model_path=str(renamed), require_verified=True))
    assert (student.model_id, student.as_json()["registry_entry"]) == ("mine", "saliency_student_v2")


def test_other_bytes_under_a_registered_id_are_refused(tmp_path: Path, mini: Path) -> None:
    path = tmp_path / "saliency_student_v2.onnx"
    path.write_bytes(mini.read_bytes())
    with pytest.raises(ModelError, match=f"sha256 {sha256(mini)}, but the registry's saliency_student_v2 is 8cdaa6c1"):
        load_model(RunConfig(model_path=str(path)))
    assert not load_model(RunConfig(model_path=str(path), model_id="mine")).as_json()["verified"]


@pytest.mark.parametrize("spell", [str.lower, str.upper])
def test_the_users_hash_verifies(mini: Path, spell: Callable[[str], str]) -> None:
    config = RunConfig(model_path=str(mini), model_sha256=spell(sha256(mini)), require_verified=True)
    assert load_model(config).as_json()["verified_by"] == {"how": "sha256"}


def test_one_flipped_bit_of_model_or_hash_is_refused_naming_both(mini: Path) -> None:
    right = sha256(mini)
    wrong = f"{int(right[0], 16) ^ 1:x}{right[1:]}"
    with pytest.raises(ModelError, match=f"has the sha256 {right}, not {wrong}"):
        load_model(RunConfig(model_path=str(mini), model_sha256=wrong))
    data = bytearray(mini.read_bytes())
    data[len(data) // 2] ^= 1
    mini.write_bytes(data)
    with pytest.raises(ModelError, match=f"has the sha256 {sha256(mini)}, not {right}"):
        load_model(RunConfig(model_path=str(mini), model_sha256=right))


def test_unverified_is_said_once_and_can_be_forbidden(tmp_path: Path, clips: dict[str, Path], mini: Path) -> None:
    source = write_rows(tmp_path / "in.jsonl", [{"src": str(clips["bikes"])}])
    common = ("run", "--input", source, "--output", tmp_path / "out.jsonl", "--model-path", mini, "--quiet")
    said = run(*common, "--audit-json", tmp_path / "a.json")
    assert said.count("not verified") == 1
    assert f"--model-sha256 {sha256(mini)}" in said
    audit = json.loads((tmp_path / "a.json").read_text())
    assert (audit["model"]["verified"], audit["model"]["sha256"]) == (False, sha256(mini))
    with pytest.raises(ModelError, match="--require-verified"):
        command(*common, "--require-verified")
    assert run(*common, "--model-sha256", sha256(mini), "--require-verified") == ""


def test_a_hash_that_is_none_is_a_wrong_option() -> None:
    with pytest.raises(ConfigError, match="--model-sha256 'abc': a sha256 has 64 hex digits"):
        RunConfig(model_path="m.onnx", model_sha256="abc")


def test_only_files_are_models(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for name in ("pipe.onnx", "", "gone.onnx"):
        with pytest.raises(ModelError, match="cannot read the model"):
            load_model(RunConfig(model_path=str(tmp_path / name)))


# Graph


@pytest.mark.parametrize("how", ["parent", "symlink", "hard link"])
def test_weights_in_another_file_are_refused_however_they_are_reached(tmp_path: Path, how: str) -> None:
    secret, folder = tmp_path / "secret.bin", tmp_path / "model"
    secret.write_bytes(np.full(27, 0.1, np.float32).tobytes())
    folder.mkdir()
    location = "../secret.bin" if how == "parent" else "weights.bin"
    if how == "symlink":
        (folder / location).symlink_to(secret)
    elif how == "hard link":
        (folder / location).hardlink_to(secret)
    model = miniature()
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], location)
    model.graph.initializer[0].ClearField("raw_data")
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"m\.onnx is refused: .*external data"):
        load_model(RunConfig(model_path=str(folder / "m.onnx")))


def test_a_custom_domain_is_refused(tmp_path: Path, mini: Path) -> None:
    mini.write_bytes(miniature(helper.make_node("Evil", ["conv"], ["e"], domain="evil.ops")).SerializeToString())
    source = write_rows(tmp_path / "in.jsonl", [{"src": "a.mp4"}])
    said = run("run", "--input", source, "--output", tmp_path / "out.jsonl", "--model-path", mini, code=2)
    assert "custom domain 'evil.ops'" in said
    assert not (tmp_path / "out.jsonl").exists()


def test_an_unlisted_operator_is_named_and_can_be_admitted(tmp_path: Path, clips: dict[str, Path], mini: Path) -> None:
    extra = [helper.make_node("Sin", ["conv"], ["s"]), helper.make_node("Cos", ["conv"], ["c"])]
    mini.write_bytes(miniature(*extra).SerializeToString())
    source = write_rows(tmp_path / "in.jsonl", [{"src": str(clips["bikes"])}])
    common = ("run", "--input", source, "--output", tmp_path / "out.jsonl", "--model-path", mini)
    (tmp_path / "a.toml").write_text('allow-op = ["Sin", "Cos"]\n')
    for options, told in (
        ((), "unsupported op Cos, Sin: .* --allow-op Cos --allow-op Sin"),
        (("--allow-op", "Sin"), "unsupported op Cos: "),
        (("--config", tmp_path / "a.toml", "--allow-op", "Cos"), "unsupported op Sin: "),
    ):
        with pytest.raises(ModelError, match=told):
            command(*common, *options)
    run(*common, "--allow-op", "Sin", "--allow-op", "Cos")
    assert load_model(RunConfig(model_path=str(mini), **load_options(tmp_path / "a.toml"))).sha256 == sha256(mini)


@pytest.mark.parametrize("value", ['"Sin"', "[1]", "true"])
def test_a_list_in_a_file_must_be_one(tmp_path: Path, value: str) -> None:
    (tmp_path / "a.toml").write_text(f'allow-op = {value}\nmodel = "m"\n')
    with pytest.raises(ConfigError, match=r"--allow-op .*: must be a list of texts"):
        split_options({**load_options(tmp_path / "a.toml"), "input": "a.jsonl", "output": "b.jsonl"})


# Registry


def test_what_is_known_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    command("models", "list")
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "built in" in lines["frequency_tuned_v1"]
    assert "not installed" in lines["u2netp_mirror_v1"]
    command("models", "show", "u2netp_mirror_v1")
    entry = json.loads(capsys.readouterr().out)
    assert entry["licence"] == "Apache-2.0"
    assert entry["source"] == "https://github.com/VMAFx/vmafx/releases/download/u2netp-mirror-v1"
    assert set(entry) >= {"id", "sha256", "licence", "input_size", "preprocessing", "source", "variant_of"}


def test_the_built_in_entry_is_its_file() -> None:
    entry = registry.find("frequency_tuned_v1")
    assert entry.sha256 == hashlib.sha256(asset("frequency_tuned_v1.onnx").read_bytes()).hexdigest() == BUILT_IN_SHA256
    assert entry.sha256 in asset("frequency_tuned_v1.md").read_text(encoding="utf-8")


def test_a_known_model_that_is_not_installed_says_how_to_get_it() -> None:
    with pytest.raises(ModelError, match=r"u2netp_mirror_v1 is known but not installed.*models fetch"):
        load_model(RunConfig(model="u2netp_mirror_v1"))
    with pytest.raises(ModelError, match="no model 'none_v1' is registered; there are: frequency_tuned_v1"):
        load_model(RunConfig(model="none_v1"))


def test_without_a_home_what_is_built_in_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mini: Path, licence: Path
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SALIENCY_BATCH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    monkeypatch.setattr(Path, "home", homeless)
    assert load_model(RunConfig(model="frequency_tuned_v1")).sha256 == BUILT_IN_SHA256
    command("models", "list")
    assert "SALIENCY_BATCH_HOME" in capsys.readouterr().err
    with pytest.raises(OutputError, match="SALIENCY_BATCH_HOME"):
        command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)


def test_the_model_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.home() == tmp_path / "home" / "models"
    monkeypatch.delenv("SALIENCY_BATCH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert registry.home() == tmp_path / "data" / "saliency-batch" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert registry.home() == tmp_path / ".local" / "share" / "saliency-batch" / "models"


@pytest.mark.parametrize("name", ["", "list", "show", "verify", "install", "fetch"])
def test_help_is_instant_and_has_an_example(name: str) -> None:
    script = (
        "import sys\nfrom saliency_engine.cli import main\nsys.argv[0] = 'saliency-batch'\n"
        "try:\n    main()\nfinally:\n"
        "    assert not {'numpy', 'onnxruntime', 'sigstore', 'cryptography', 'ssl', 'onnx'} & set(sys.modules)\n"
    )
    arguments = ["models", *([name] if name else []), "--help"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    assert "Example" in done.stdout or "Try it" in done.stdout


# Install


def test_an_installed_model_runs_by_its_id(  # noqa: PLR0917
    tmp_path: Path, clips: dict[str, Path], mini: Path, licence: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps({"outputs": {"onnx_sha256": sha256(mini)}}))
    options = ("--sha256", sha256(mini), "--license", licence, "--manifest", manifest, "--model-id", "mini_v1")
    command("models", "install", mini, *options)
    assert "Verified OK by sha256" in capsys.readouterr().out
    assert sorted(path.name for path in (home / "mini_v1").iterdir()) == [
        *("entry.json", "licence.txt", "manifest.json", "model.onnx")
    ]
    entry = json.loads((home / "mini_v1" / "entry.json").read_text())
    assert (entry["sha256"], entry["verified"], entry["input_size"]) == (sha256(mini), {"how": "sha256"}, "48x32")
    assert (home / "mini_v1" / "licence.txt").read_text() == licence.read_text()
    source = write_rows(tmp_path / "in.jsonl", [{"src": str(clips["bikes"])}])
    said = run(
        *("run", "--input", source, "--output", tmp_path / "out.jsonl", "--model", "mini_v1"),
        *("--audit-json", tmp_path / "audit.json", "--require-verified", "--quiet"),
    )
    assert said == ""
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert (row["saliency_model_id"], row["saliency_status"]) == ("mini_v1", "ok")
    audit = json.loads((tmp_path / "audit.json").read_text())
    assert audit["model"] == {
        **{"id": "mini_v1", "source": str(home / "mini_v1" / "model.onnx"), "sha256": sha256(mini)},
        **{"verified": True, "verified_by": {"how": "sha256"}, "registry_entry": "mini_v1"},
    }
    assert audit["run_provenance"]["inputs"]["model"]["sha256"] == sha256(mini)
    command("models", "verify", "mini_v1")
    command("models", "list")
    assert re.search(r"mini_v1 +installed +sha256 +48x32", capsys.readouterr().out)


def test_an_installed_model_that_was_changed_does_not_run(mini: Path, licence: Path, home: Path) -> None:
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    installed = home / "mini" / "model.onnx"
    installed.write_bytes(installed.read_bytes() + b"\x12\x00")
    with pytest.raises(ModelError, match="changed after it was installed"):
        load_model(RunConfig(model="mini"))
    with pytest.raises(ModelError, match="changed after it was installed"):
        command("models", "verify", "mini")


@pytest.mark.parametrize("spoiled", ["", "[]", "{}", '{"id": 7}', '{"id": "../x"}', "\0"])
def test_a_damaged_entry_harms_only_itself(
    mini: Path, licence: Path, home: Path, capsys: pytest.CaptureFixture[str], spoiled: str
) -> None:
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    (home / "mini" / "entry.json").write_text(spoiled)
    (home / "stray.txt").write_text("not a model")
    command("models", "list")
    captured = capsys.readouterr()
    assert "frequency_tuned_v1" in captured.out
    assert "entry.json cannot be used" in captured.err
    with pytest.raises(ModelError, match=r"no model 'mini' is registered.*entry\.json cannot be used"):
        load_model(RunConfig(model="mini"))
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    assert load_model(RunConfig(model="mini")).evidence is not None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "nothing to verify"),
        (["--sha256", "0" * 64], "not 0000"),
        (["--sha256", "RIGHT", "--model-id", "../mini"], "no model id"),
        (["--sha256", "RIGHT", "--model-id", "frequency_tuned_v1"], "frequency_tuned_v1 is built in"),
        (["--sha256", "RIGHT", "--model-id", "saliency_student_v2"], "and has the sha256 8cdaa6c1"),
        (["--sha256", "RIGHT", "--manifest", "other.json"], "manifest of another model"),
        (["--sha256", "RIGHT", "--manifest", "LICENSE"], "no manifest"),
        (["--sha256", "RIGHT", "--license", "gone.txt"], "gone.txt"),
    ],
)
def test_what_is_not_in_order_is_not_installed(
    mini: Path, licence: Path, home: Path, options: list[str], told: str
) -> None:
    other = mini.with_name("other.json")
    other.write_text(json.dumps({"outputs": {"onnx_sha256": "0" * 64}}))
    names = {"RIGHT": sha256(mini), "other.json": str(other), "LICENSE": str(licence)}
    given = [names.get(option, option) for option in options]
    with pytest.raises(SaliencyError, match=re.escape(told)):
        command("models", "install", mini, "--license", licence, *given)
    assert not home.exists() or list(home.iterdir()) == []


def test_a_model_that_may_not_run_is_not_installed(mini: Path, licence: Path, home: Path) -> None:
    mini.write_bytes(miniature(helper.make_node("Evil", ["conv"], ["e"], domain="evil.ops")).SerializeToString())
    with pytest.raises(ModelError, match="custom domain"):
        command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    assert not home.exists()


def test_a_model_keeps_the_id_it_bears(mini: Path, licence: Path, home: Path) -> None:
    model = miniature()
    helper.set_model_props(
        model, {"lusoris.model_id": "u2netp_mirror_v1_int8", "lusoris.parent_model_id": "u2netp_mirror_v1"}
    )
    mini.write_bytes(model.SerializeToString())
    common = ("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    with pytest.raises(ModelError, match="says that it is u2netp_mirror_v1_int8"):
        command(*common, "--model-id", "u2netp_mirror_v1")
    command(*common)
    entry = json.loads((home / "u2netp_mirror_v1_int8" / "entry.json").read_text())
    assert (entry["variant_of"], entry["licence"]) == ("u2netp_mirror_v1", "Apache-2.0")


def test_other_bytes_never_take_an_installed_id(tmp_path: Path, mini: Path, licence: Path, home: Path) -> None:
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    other = tmp_path / "other.onnx"
    other.write_bytes(miniature(helper.make_node("Neg", ["conv"], ["n"])).SerializeToString())
    with pytest.raises(ModelError, match="mini is installed and has the sha256"):
        command("models", "install", other, "--sha256", sha256(other), "--license", licence, "--model-id", "mini")
    assert sha256(home / "mini" / "model.onnx") == sha256(mini)
    assert [path.name for path in home.iterdir()] == ["mini"]


def test_installing_is_all_or_nothing(mini: Path, licence: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails at every write in turn: nothing half-installed, and what was installed before still runs."""
    from saliency_engine import store

    real, calls = store._write, [0]

    def failing(path: Path, content: bytes) -> None:
        calls[0] -= 1
        if calls[0] < 0:
            path.write_bytes(content[: len(content) // 2])
            raise OSError(28, "No space left on device")
        real(path, content)

    monkeypatch.setattr(store, "_write", failing)
    options = ("--sha256", sha256(mini), "--license", licence)
    for before in (False, True):
        for writes in range(3):
            calls[0] = writes
            with pytest.raises(OutputError, match="No space left"):
                command("models", "install", mini, *options)
            assert [path.name for path in home.iterdir()] == (["mini"] if before else [])
            if before:
                assert load_model(RunConfig(model="mini")).sha256 == sha256(mini)
        calls[0] = 99
        command("models", "install", mini, *options)


# Verify


def test_verify_needs_something_to_verify_against(mini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="nothing to verify"):
        command("models", "verify", mini)
    command("models", "verify", mini, "--sha256", sha256(mini))
    command("models", "verify", "frequency_tuned_v1")
    assert capsys.readouterr().out.count("Verified OK") == 2
    assert "is not 64 hex digits" in run("models", "verify", mini, "--sha256", "12", code=2)


# Release: signature, fetch


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three assets of a release, signed by a stand-in Sigstore as the repository's workflow."""
    pytest.importorskip("sigstore", reason="sigstore is not installed: pip install 'saliency-batch[verify]'")
    from tests.engine.stand_in_sigstore import StandInSigstore

    from saliency_engine import signature

    sigstore = StandInSigstore(tmp_path)
    monkeypatch.setattr(signature, "carried_root", lambda: sigstore.root)
    folder = tmp_path / "release"
    folder.mkdir()
    model = miniature()
    helper.set_model_props(model, {"lusoris.model_id": "u2netp_mirror_v1", "padding": "x" * 300_000})
    data = model.SerializeToString()
    (folder / "u2netp_mirror_v1.onnx").write_bytes(data)
    (folder / "u2netp_mirror_v1.onnx.bundle").write_text(json.dumps(sigstore.bundle(data)))
    (folder / "Apache-2.0-u2netp.txt").write_text("Apache License, Version 2.0\n")
    return folder


class _Server(http.server.ThreadingHTTPServer):
    """Serves ``folder``; answers stop after ``breaks`` bytes, or send to ``moved``; ``ranges``: what was asked for."""

    folder: Path
    breaks: list[int]
    ranges: list[str]
    moved: str


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.moved)
            self.end_headers()
            return
        path = self.server.folder / Path(self.path).name
        if not path.is_file():
            self.send_error(404)
            return
        data, asked = path.read_bytes(), self.headers.get("Range", "")
        self.server.ranges.append(f"{path.name} {asked}".strip())
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        if start and start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + self.server.breaks.pop(0) if self.server.breaks else len(data)
        self.wfile.write(data[start:end])

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def server(release: Path) -> Iterator[_Server]:
    made = _Server(("127.0.0.1", 0), _Handler)
    made.folder, made.breaks, made.ranges, made.moved = release, [], [], ""
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def _url(server: _Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/u2netp-mirror-v1"


FETCH = ("models", "fetch", "u2netp_mirror_v1", "--from")


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_release_in_a_folder_is_fetched_verified_and_installed(
    release: Path, home: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    manifest = {"outputs": {"onnx_sha256": sha256(release / "u2netp_mirror_v1.onnx")}}
    (release / "u2netp_mirror_v1.manifest.json").write_text(json.dumps(manifest))
    command(*FETCH, release if kind == "folder" else release.as_uri())
    assert json.loads((home / "u2netp_mirror_v1" / "manifest.json").read_text()) == manifest
    said = capsys.readouterr().out
    assert "Verified OK by signature" in said
    assert "days old" in said
    model = load_model(RunConfig(model="u2netp_mirror_v1", require_verified=True))
    assert model.data == (release / "u2netp_mirror_v1.onnx").read_bytes()
    assert model.as_json()["verified_by"] == {
        "how": "signature",
        "identity": "https://github.com/VMAFx/vmafx/.github/workflows/release.yml@refs/tags/u2netp-mirror-v1",
        "issuer": "https://token.actions.githubusercontent.com",
    }
    assert (home / "u2netp_mirror_v1" / "licence.txt").read_text().startswith("Apache License")
    assert list((home / ".downloads").iterdir()) == []
    command("models", "verify", "u2netp_mirror_v1")
    assert "Verified OK by signature" in capsys.readouterr().out


def test_a_fetch_that_broke_off_goes_on(server: _Server, release: Path, home: Path) -> None:
    server.breaks = [100_000, 50_000]
    for have in (100_000, 150_000):
        with pytest.raises(FetchError, match=f"broke off after {have} of .* bytes; run the same command again"):
            command(*FETCH, _url(server))
        assert not (home / "u2netp_mirror_v1").exists()
    command(*FETCH, _url(server))
    asked = [line for line in server.ranges if line.startswith("u2netp_mirror_v1.onnx") and ".bundle" not in line]
    assert asked == ["u2netp_mirror_v1.onnx" + end for end in ("", " bytes=100000-", " bytes=150000-")]
    installed = (home / "u2netp_mirror_v1" / "model.onnx").read_bytes()
    assert installed == (release / "u2netp_mirror_v1.onnx").read_bytes()


def test_a_release_that_changed_meanwhile_is_refused_and_then_fetched_anew(server: _Server, release: Path) -> None:
    server.breaks = [100_000]
    with pytest.raises(FetchError):
        command(*FETCH, _url(server))
    path = release / "u2netp_mirror_v1.onnx"
    right = path.read_bytes()
    path.write_bytes(right[:-50] + bytes([right[-50] ^ 1]) + right[-49:])
    with pytest.raises(ModelError, match="does not hold"):
        command(*FETCH, _url(server))
    path.write_bytes(right)
    command(*FETCH, _url(server))


def test_two_fetches_at_once_do_not_mix(server: _Server, release: Path, home: Path) -> None:
    (home / ".downloads").mkdir(parents=True)
    with alone(home / ".downloads"), pytest.raises(FetchError, match="another fetch is bringing files"):
        command(*FETCH, _url(server))
    command(*FETCH, _url(server))
    assert sha256(home / "u2netp_mirror_v1" / "model.onnx") == sha256(release / "u2netp_mirror_v1.onnx")


def test_a_partial_longer_than_the_file_is_fetched_anew(server: _Server, release: Path, home: Path) -> None:
    folder = home / ".downloads" / "u2netp_mirror_v1"
    folder.mkdir(parents=True)
    (folder / "u2netp_mirror_v1.onnx.partial").write_bytes(bytes(400_000))
    command(*FETCH, _url(server))
    assert sha256(home / "u2netp_mirror_v1" / "model.onnx") == sha256(release / "u2netp_mirror_v1.onnx")


def test_no_more_is_fetched_than_a_release_may_have(
    server: _Server, release: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from saliency_engine import custody

    monkeypatch.setattr(custody, "_MODEL_LIMIT", 10_000)
    for base in (_url(server), str(release)):
        with pytest.raises(FetchError, match="10000"):
            command(*FETCH, base)
        assert not (home / "u2netp_mirror_v1").exists()
    sizes = [path.stat().st_size for path in (home / ".downloads" / "u2netp_mirror_v1").iterdir()]
    assert max(sizes, default=0) <= 10_000


@pytest.mark.parametrize(
    ("moved", "told"),
    [
        ("file:///etc/hostname", "not allowed"),
        ("ftp://127.0.0.1/x", "only https"),
        ("http://example.org/x", "only https"),
        ("https://127.0.0.1:1/x", "may not change the scheme"),
    ],
)
def test_a_redirect_elsewhere_is_refused(server: _Server, moved: str, told: str) -> None:
    server.moved = moved
    with pytest.raises(FetchError, match=told):
        command(*FETCH, _url(server))


@pytest.mark.parametrize(
    "base", ["http://example.org/x", "ftp://example.org/x", "gone", "https://[bad", "file://host/x"]
)
def test_where_nothing_can_be_fetched_from(base: str, home: Path) -> None:
    with pytest.raises(FetchError):
        command(*FETCH, base)
    assert not (home / "u2netp_mirror_v1").exists()


def test_an_asset_that_is_missing_is_named(server: _Server, release: Path) -> None:
    (release / "u2netp_mirror_v1.onnx.bundle").unlink()
    with pytest.raises(FetchError, match=r"has no u2netp_mirror_v1\.onnx\.bundle"):
        command(*FETCH, _url(server))


@pytest.mark.parametrize("asset_name", ["u2netp_mirror_v1.onnx", "u2netp_mirror_v1.onnx.bundle"])
def test_one_flipped_bit_of_a_release_is_refused(release: Path, home: Path, asset_name: str) -> None:
    path = release / asset_name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="does not hold"):
        command(*FETCH, release)
    assert not (home / "u2netp_mirror_v1").exists()


def test_fetching_needs_the_right_signer_and_the_right_hash(
    release: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ModelError, match="does not accept as a whole"):
        command(*FETCH, release, "--certificate-identity-regexp", r"https://github\.com/someone/else/.+")
    with pytest.raises(ModelError, match="issuer"):
        command(*FETCH, release, "--certificate-oidc-issuer", "https://accounts.google.com")
    with pytest.raises(ModelError, match="not 0000"):
        command(*FETCH, release, "--sha256", "0" * 64)
    assert not (home / "u2netp_mirror_v1").exists()
    command(*FETCH, release, "--certificate-identity-regexp", r"^https://github\.com/VMAFx/vmafx")
    assert "open-ended" in capsys.readouterr().err
    assert (home / "u2netp_mirror_v1" / "model.onnx.bundle").is_file()


def test_a_model_nobody_releases_needs_a_place_to_come_from() -> None:
    with pytest.raises(ConfigError, match="--from"):
        command("models", "fetch", "mini_v1")
