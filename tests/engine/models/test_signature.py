"""Signatures by the real library: a stand-in Sigstore signs, so that every refusal can be shown without network."""

from __future__ import annotations

import copy
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest

from saliency_engine.errors import ConfigError, SignatureError
from saliency_engine.models import signature
from saliency_engine.models.signature import Expected, verify_signature

pytest.importorskip("sigstore", reason="sigstore is not installed: pip install 'saliency-batch[verify]'")
from tests.engine.models.stand_in_sigstore import ISSUER, WORKFLOW, StandInSigstore

MODEL = b"the bytes of a model" * 50
SEED = r"^https://github\.com/VMAFx/vmafx"
EVIL = WORKFLOW.replace("/vmafx/", "/vmafx-evil/")


@pytest.fixture(scope="module")
def sigstore(tmp_path_factory: pytest.TempPathFactory) -> StandInSigstore:
    return StandInSigstore(tmp_path_factory.mktemp("sigstore"))


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch: pytest.MonkeyPatch, sigstore: StandInSigstore) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("verifying must not use the network")

    monkeypatch.setattr(signature, "carried_root", lambda: sigstore.root)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def _verify(bundle: dict[str, Any], expected: Expected | None = None, data: bytes = MODEL) -> signature.Signer:
    return verify_signature(data, json.dumps(bundle).encode(), expected or Expected())


def test_a_release_of_the_repository_itself_is_accepted(sigstore: StandInSigstore) -> None:
    signer = _verify(sigstore.bundle(MODEL))
    assert (signer.identity, signer.issuer, signer.warning) == (WORKFLOW, ISSUER, "")
    assert "newest log key of 2026-05-01" in signer.root
    assert "days old" in signer.root


@pytest.mark.parametrize(
    "identity",
    [
        EVIL,
        WORKFLOW.replace("VMAFx/", "VMAFx-evil/"),
        WORKFLOW.replace("github.com", "github.com.evil.org"),
        WORKFLOW.replace("github.com", "githubXcom"),
        WORKFLOW.replace("refs/tags/", "refs/pull/7/"),
        WORKFLOW.replace(".github/workflows/", ""),
        WORKFLOW.replace("https:", "http:"),
        f"https://evil.org/?{WORKFLOW}",
        "https://github.com/VMAFx/vmafx",
    ],
)
def test_look_alikes_are_refused(sigstore: StandInSigstore, identity: str) -> None:
    bundle = sigstore.bundle(MODEL, identity)
    with pytest.raises(SignatureError, match="does not accept as a whole"):
        _verify(bundle)
    if not identity.startswith("https://github.com/VMAFx/vmafx"):
        with pytest.raises(SignatureError, match="does not accept as a whole"):
            _verify(bundle, Expected(SEED))


def test_another_issuer_is_refused(sigstore: StandInSigstore) -> None:
    bundle = sigstore.bundle(MODEL, issuer="https://accounts.evil.org")
    with pytest.raises(SignatureError, match=r"issuer 'https://accounts\.evil\.org', not 'https://token\.actions"):
        _verify(bundle)
    assert _verify(bundle, Expected(issuer="https://accounts.evil.org")).issuer == "https://accounts.evil.org"
    with pytest.raises(SignatureError, match="issuer"):
        _verify(sigstore.bundle(MODEL), Expected(issuer="https://accounts.evil.org"))


def test_the_seeds_expression_works_with_a_warning_and_not_for_its_look_alike(sigstore: StandInSigstore) -> None:
    signer = _verify(sigstore.bundle(MODEL), Expected(SEED))
    assert signer.identity == WORKFLOW
    assert "open-ended" in signer.warning
    assert "https://github.com/VMAFx/vmafx-evil/" in signer.warning
    with pytest.raises(SignatureError, match="vmafx-evil"):
        _verify(sigstore.bundle(MODEL, EVIL), Expected(SEED))


@pytest.mark.parametrize(
    ("expression", "accepted", "warned"),
    [
        (rf"^{SEED[1:]}/\.github/workflows/release\.yml@refs/tags/.*$", True, False),
        (rf"{SEED[1:]}/\.github/.+", True, False),
        (rf"^{SEED[1:]}/", True, True),
        (rf"{SEED[1:]}.*", True, True),
        (r"^https://github\.com/VMAFx/", True, True),
        (SEED[1:], False, False),  # no ^ and no end: neither the whole nor said to be a beginning
        (r"VMAFx/vmafx", False, False),
        (SEED + "$", False, False),
        (r"^https://github\.com/VMAFx/vma", False, False),
    ],
)
def test_expressions_mean_the_whole_identity(
    sigstore: StandInSigstore, expression: str, accepted: bool, warned: bool
) -> None:
    if accepted:
        assert ("open-ended" in _verify(sigstore.bundle(MODEL), Expected(expression)).warning) == warned
    else:
        with pytest.raises(SignatureError, match="does not accept as a whole"):
            _verify(sigstore.bundle(MODEL), Expected(expression))


def test_an_expression_that_is_none_and_an_empty_issuer_are_wrong_options() -> None:
    with pytest.raises(ConfigError, match="--certificate-identity-regexp"):
        Expected("(")
    with pytest.raises(ConfigError, match="--certificate-oidc-issuer"):
        Expected(issuer="")


def test_one_flipped_bit_of_the_model_is_found(sigstore: StandInSigstore) -> None:
    bundle = sigstore.bundle(MODEL)
    for position in range(0, len(MODEL), 97):
        changed = bytearray(MODEL)
        changed[position] ^= 1
        with pytest.raises(SignatureError, match="does not hold"):
            _verify(bundle, data=bytes(changed))


def _leaves(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, item in inner for leaf in _leaves(item, (*at, key))]
    return [at]


def _changed(bundle: dict[str, Any], leaf: tuple[Any, ...], change: Callable[[str], str]) -> dict[str, Any]:
    spoiled = copy.deepcopy(bundle)
    holder: Any = spoiled
    for key in leaf[:-1]:
        holder = holder[key]
    holder[leaf[-1]] = change(holder[leaf[-1]])
    return spoiled


def _flip(text: str) -> str:
    middle = len(text) // 2
    return text[:middle] + chr(ord(text[middle]) ^ 1) + text[middle + 1 :]


def test_one_flipped_bit_anywhere_in_the_bundle_is_found(sigstore: StandInSigstore) -> None:
    bundle = sigstore.bundle(MODEL)
    leaves = _leaves(bundle)
    assert len(leaves) >= 15
    for leaf in leaves:
        with pytest.raises(SignatureError):
            _verify(_changed(bundle, leaf, _flip))


def test_parts_of_another_signature_do_not_fit(sigstore: StandInSigstore) -> None:
    mine, other = sigstore.bundle(MODEL), sigstore.bundle(b"other bytes", EVIL)
    for part in ("messageSignature", "verificationMaterial"):
        with pytest.raises(SignatureError):
            _verify({**mine, part: other[part]})
    for part in ("certificate", "tlogEntries"):
        material = {**mine["verificationMaterial"], part: other["verificationMaterial"][part]}
        with pytest.raises(SignatureError):
            _verify({**mine, "verificationMaterial": material})


def test_another_authority_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SignatureError, match="does not hold"):
        _verify(StandInSigstore(tmp_path).bundle(MODEL))


@pytest.mark.parametrize(
    "bundle", [b"", b"no json", b"{}", b"[]", b'{"base64Signature": "a", "cert": "b"}', b"\xff\xfe"]
)
def test_what_is_no_bundle_is_refused(bundle: bytes) -> None:
    with pytest.raises(SignatureError, match="does not hold"):
        verify_signature(MODEL, bundle, Expected())


def test_without_the_extra_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore", None)
    with pytest.raises(SignatureError, match=r"pip install 'saliency-batch\[verify\]'"):
        verify_signature(MODEL, b"{}", Expected())


def test_the_library_carries_the_public_trust_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    root = json.loads(signature.carried_root().read_bytes())
    assert any("rekor.sigstore.dev" in log["baseUrl"] for log in root["tlogs"])


def test_a_real_bundle_of_the_public_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    """``SIGSTORE_TEST_BUNDLE``: bundle_v3_github.whl.sigstore of sigstore-python's tests, its .whl beside it."""
    path = os.environ.get("SIGSTORE_TEST_BUNDLE", "")
    if not path:
        pytest.skip("SIGSTORE_TEST_BUNDLE names no bundle (bundle_v3_github.whl.sigstore of sigstore-python)")
    bundle = Path(path) if path.endswith(".sigstore") else Path(f"{path}.sigstore")
    data = bundle.with_suffix("").read_bytes()
    monkeypatch.undo()  # the carried root

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("verifying must not use the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    repository = r"^https://github\.com/trailofbits/rfc8785\.py"
    whole = repository + r"/\.github/workflows/release\.yml@refs/tags/v0\.1\.2$"
    signer = verify_signature(data, bundle.read_bytes(), Expected(whole))
    assert signer.identity.endswith("/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2")
    assert signer.warning == ""
    assert "rfc8785.py-evil" in verify_signature(data, bundle.read_bytes(), Expected(repository)).warning
    with pytest.raises(SignatureError, match="does not accept as a whole"):
        verify_signature(data, bundle.read_bytes(), Expected())
    with pytest.raises(SignatureError, match="issuer"):
        verify_signature(data, bundle.read_bytes(), Expected(whole, "https://accounts.google.com"))
    flipped = bytes([data[0] ^ 1]) + data[1:]
    torn = bundle.read_bytes().replace(b"MEYCIQ", b"MEYCIR")
    for changed, document in ((flipped, bundle.read_bytes()), (data, torn)):
        with pytest.raises(SignatureError, match="does not hold"):
            verify_signature(changed, document, Expected(whole))
