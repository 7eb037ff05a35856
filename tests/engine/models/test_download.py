"""A signed release is fetched from a server or a folder, verified and installed, or nothing is."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from onnx import helper
from tests.engine.conftest import command, sha256
from tests.small_models import miniature

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, FetchError, ModelError
from saliency_engine.models.download import lock_folder
from saliency_engine.models.load import load_model

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three assets of a release, signed by a stand-in Sigstore as the repository's workflow."""
    pytest.importorskip("sigstore", reason="sigstore is not installed: pip install 'saliency-batch[verify]'")
    from tests.engine.models.stand_in_sigstore import StandInSigstore

    from saliency_engine.models import signature

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
    output = capsys.readouterr().out
    assert "Verified OK by signature" in output
    assert "days old" in output
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
    with lock_folder(home / ".downloads"), pytest.raises(FetchError, match="another fetch is bringing files"):
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
    from saliency_engine.models import install

    monkeypatch.setattr(install, "_MODEL_LIMIT", 10_000)
    for base in (_url(server), str(release)):
        with pytest.raises(FetchError, match="10000"):
            command(*FETCH, base)
        assert not (home / "u2netp_mirror_v1").exists()
    sizes = [path.stat().st_size for path in (home / ".downloads" / "u2netp_mirror_v1").iterdir()]
    assert max(sizes, default=0) <= 10_000


@pytest.mark.parametrize(
    ("moved", "reason"),
    [
        ("file:///etc/hostname", "not allowed"),
        ("ftp://127.0.0.1/x", "only https"),
        ("http://example.org/x", "only https"),
        ("https://127.0.0.1:1/x", "may not change the scheme"),
    ],
)
def test_a_redirect_elsewhere_is_refused(server: _Server, moved: str, reason: str) -> None:
    server.moved = moved
    with pytest.raises(FetchError, match=reason):
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
