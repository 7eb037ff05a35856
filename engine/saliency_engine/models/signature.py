"""Sigstore bundles, verified offline: who signed these bytes, and was it who should have.

Only what is on this machine is used: the bundle, the bytes, and the trust root that the ``sigstore`` library carries.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from saliency_engine.errors import ConfigError, SignatureError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

DEFAULT_IDENTITY = r"https://github\.com/VMAFx/vmafx/\.github/workflows/[^@]+@refs/(heads|tags)/.+"
DEFAULT_ISSUER = "https://token.actions.githubusercontent.com"
_ROOT_URL = "https://tuf-repo-cdn.sigstore.dev"
# Fulcio's extensions for the issuer: as a DER string, and before 2022 as bare bytes. Source: sigstore/fulcio,
# docs/oid-info.md.
_ISSUER, _BARE_ISSUER = "1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.1"
_REPOSITORY = re.compile(r"https://github\.com/[^/]+/[^/@]+")


@dataclass(frozen=True)
class Signer:
    """Who signed, by the certificate."""

    identity: str
    issuer: str
    root: str
    """Where the trust root is from, and its age, for people."""
    warning: str = ""
    """What else the expression for the identity would accept; empty where it is closed."""


class Expected:
    """Whom a signature must be by: an expression for the whole identity, and exactly this issuer.

    An expression that begins with ``^`` and does not say where the identity ends is taken as a beginning, up to the end
    of a name in it, with a warning. Raises ``ConfigError`` when the expression is not one, or the issuer is empty.
    """

    def __init__(self, identity: str = DEFAULT_IDENTITY, issuer: str = DEFAULT_ISSUER) -> None:
        try:
            self._expression = re.compile(identity)
        except re.error as error:
            raise ConfigError(
                f"--certificate-identity-regexp {identity!r} is not a regular expression: {error}"
            ) from error
        if not issuer:
            raise ConfigError(
                "--certificate-oidc-issuer is empty: leave the option out, or give the address of the service that "
                "confirmed who the signer is"
            )
        self.issuer = issuer

    def accepts(self, identity: str) -> bool:
        """Whether the expression takes this identity."""
        if self._expression.fullmatch(identity):
            return True
        begins = self._expression.match(identity) if self._expression.pattern.startswith("^") else None
        # Only up to where a name ends: "…/VMAFx/vmafx" must not mean "…/VMAFx/vmafx-evil".
        return begins is not None and any(mark in "/@" for mark in identity[max(begins.end() - 1, 0) :][:2])

    def verify(self, cert: Certificate) -> None:
        """Raise ``SignatureError`` when the signer is somebody else. (The library calls this: it is a policy.)"""
        identity, issuer = _read_identity(cert), _read_issuer(cert)
        if issuer != self.issuer:
            raise SignatureError(f"it is signed under the issuer {issuer!r}, not {self.issuer!r}")
        if not self.accepts(identity):
            raise SignatureError(
                f"it is signed by {identity!r}, which the expression {self._expression.pattern!r} does not accept as a "
                "whole"
            )

    def warning(self, identity: str) -> str:
        """What is wrong with an expression that accepts ``identity``; empty when it ends where it should."""
        repository = _REPOSITORY.match(identity)
        name = repository[0] if repository else identity
        other = f"{name}-evil{identity[len(name) :]}"
        open_ended = f"the expression {self._expression.pattern!r} is open-ended: "
        if self.accepts(other):
            return f"{open_ended}it also accepts {other}"
        if self._expression.fullmatch(identity):
            return ""
        return f"{open_ended}it is accepted here where a '/' or '@' follows it, but cosign would also accept {other}"


def verify_signature(data: bytes, bundle: bytes, expected: Expected) -> Signer:
    """Check that ``bundle`` is a signature of ``data`` by whom it is expected of; needs no network.

    Raises ``SignatureError`` saying what is wrong, or that the extra ``verify`` is not installed.
    """
    try:
        import sigstore  # noqa: PLC0415
        from sigstore.models import Bundle, TrustedRoot  # noqa: PLC0415  an extra, and a second to import
        from sigstore.verify import Verifier  # noqa: PLC0415
    except ImportError as error:
        raise SignatureError(
            f"verifying signatures needs sigstore 4 or newer ({error}): pip install 'saliency-batch[verify]'"
        ) from error
    root = carried_root()
    try:
        signed = Bundle.from_json(bundle)
        Verifier(trusted_root=TrustedRoot.from_file(str(root))).verify_artifact(data, signed, expected)
        identity = _read_identity(signed.signing_certificate)
    except SignatureError:
        raise
    except Exception as error:  # whatever a hostile bundle makes the libraries raise, it is not verified
        raise SignatureError(f"the signature does not hold: {_shorten_message(error)}") from error
    about_root = f"carried by sigstore {sigstore.__version__}, {_describe_age(root)}"
    return Signer(identity, expected.issuer, about_root, expected.warning(identity))


def carried_root() -> Path:
    """The public instance's trust root as the library carries it; its cache in the user's home is not looked at."""
    folder = urllib.parse.quote(_ROOT_URL, safe="")
    path = Path(str(resources.files("sigstore").joinpath("_store", folder, "trusted_root.json")))
    if not path.is_file():
        raise SignatureError("sigstore carries no trust root: pip install --upgrade 'saliency-batch[verify]'")
    return path


def _describe_age(root: Path) -> str:
    """The root's age in words, by its newest log key: the file itself has no date."""
    document = json.loads(root.read_bytes())
    starts = [log["publicKey"]["validFor"]["start"] for log in (*document["tlogs"], *document["ctlogs"])]
    newest = max(datetime.fromisoformat(start) for start in starts)
    return f"newest log key of {newest:%Y-%m-%d}, {(datetime.now(UTC) - newest).days} days old"


def _read_identity(certificate: Certificate) -> str:
    """The one subject alternative name: a URI for workflows, an address for people."""
    from cryptography import x509  # noqa: PLC0415

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    signers = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier | x509.RFC822Name)]
    if len(signers) != 1 or len(list(names)) != 1 or not signers[0].isprintable():
        raise SignatureError(f"the certificate must name one signer, but it names {signers}")
    return str(signers[0])


def _read_issuer(certificate: Certificate) -> str:
    from cryptography import x509  # noqa: PLC0415

    values = {extension.oid.dotted_string: extension.value for extension in certificate.extensions}
    new, old = values.get(_ISSUER), values.get(_BARE_ISSUER)
    # DER: a UTF8String of less than 128 bytes is 12, its length, its text.
    if isinstance(new, x509.UnrecognizedExtension) and new.value[:2] == bytes([12, len(new.value) - 2]):
        return new.value[2:].decode()
    if new is None and isinstance(old, x509.UnrecognizedExtension):
        return old.value.decode()
    raise SignatureError("the certificate names no issuer")


def _shorten_message(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
