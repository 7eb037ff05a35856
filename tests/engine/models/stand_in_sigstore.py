"""A whole Sigstore in miniature: a certificate authority, its log, a signature log, and a trust root that names them.

With it the tests sign as anybody they like and have the real library verify, without network and without anybody's
real signature. Formats: RFC 6962 (certificate log), sigstore/protobuf-specs (bundle, trust root), sigstore/rekor
(hashedrekord 0.0.1), transparency-dev/formats (checkpoint).
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

WORKFLOW = "https://github.com/VMAFx/vmafx/.github/workflows/release.yml@refs/tags/u2netp-mirror-v1"
ISSUER = "https://token.actions.githubusercontent.com"
_SIGNED_AT = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
_SHA256 = ec.ECDSA(hashes.SHA256())


class StandInSigstore:
    """Signs bytes as anybody; ``root`` is the trust root's file, written into ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._authority, self._certificates, self._log = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "stand-in")])
        self._root = self._root_certificate()
        self.root = folder / "trusted_root.json"
        self.root.write_text(json.dumps(self._trusted_root()))

    def bundle(self, data: bytes, identity: str = WORKFLOW, issuer: str = ISSUER) -> dict[str, Any]:
        """A bundle of version 0.3 with a signature of ``data`` by ``identity`` under ``issuer``."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._leaf(key, identity, issuer)
        signature = key.sign(data, _SHA256)
        digest = hashlib.sha256(data)
        pem = _b64(certificate.public_bytes(Encoding.PEM))
        body = _canonical(
            {
                "apiVersion": "0.0.1",
                "kind": "hashedrekord",
                "spec": {
                    "data": {"hash": {"algorithm": "sha256", "value": digest.hexdigest()}},
                    "signature": {"content": _b64(signature), "publicKey": {"content": pem}},
                },
            }
        )
        return {
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": _b64(certificate.public_bytes(Encoding.DER))},
                "tlogEntries": [self._logged(body)],
            },
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": _b64(digest.digest())},
                "signature": _b64(signature),
            },
        }

    def _logged(self, body: bytes) -> dict[str, Any]:
        """The entry of a log that holds nothing else: its tree's root is the hash of its leaf."""
        log_id, at = _key_id(self._log), int(_SIGNED_AT.timestamp())
        promise = _canonical({"body": _b64(body), "integratedTime": at, "logID": log_id.hex(), "logIndex": 0})
        root = hashlib.sha256(b"\0" + body).digest()
        note = f"stand-in\n1\n{_b64(root)}\n"
        seal = _b64(log_id[:4] + self._log.sign(note.encode(), _SHA256))
        return {
            "logIndex": "0",
            "logId": {"keyId": _b64(log_id)},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
            "integratedTime": str(at),
            "inclusionPromise": {"signedEntryTimestamp": _b64(self._log.sign(promise, _SHA256))},
            "inclusionProof": {
                "logIndex": "0",
                "treeSize": "1",
                "hashes": [],
                "rootHash": _b64(root),
                "checkpoint": {"envelope": f"{note}\n— stand-in {seal}\n"},
            },
            "canonicalizedBody": _b64(body),
        }

    def _leaf(self, key: ec.EllipticCurvePrivateKey, identity: str, issuer: str) -> x509.Certificate:
        before = _SIGNED_AT - timedelta(minutes=5)
        usage = x509.KeyUsage(True, *[False] * 8)
        name = b"\x0c" + bytes([len(issuer)]) + issuer.encode()
        builder = (
            x509.CertificateBuilder(self._name, x509.Name([]), key.public_key(), x509.random_serial_number())
            .not_valid_before(before)
            .not_valid_after(before + timedelta(minutes=10))
            .add_extension(usage, critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._authority.public_key()), critical=False
            )
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True)
            .add_extension(_extension("1.3.6.1.4.1.57264.1.1", issuer.encode()), critical=False)
            .add_extension(_extension("1.3.6.1.4.1.57264.1.8", name), critical=False)
        )
        unlogged = builder.sign(self._authority, hashes.SHA256())
        stamp = self._stamp(unlogged.tbs_certificate_bytes)
        return builder.add_extension(_extension("1.3.6.1.4.1.11129.2.4.2", stamp), critical=False).sign(
            self._authority, hashes.SHA256()
        )

    def _stamp(self, certificate: bytes) -> bytes:
        """The certificate log's timestamp of a certificate, as the extension holds it (RFC 6962, 3.2 and 3.3)."""
        at = int(_SIGNED_AT.timestamp() * 1000)
        entry = _key_id(self._authority) + len(certificate).to_bytes(3, "big") + certificate
        signed = struct.pack("!BBQH", 0, 0, at, 1) + entry + b"\0\0"
        signature = self._certificates.sign(signed, _SHA256)
        stamp = b"\0" + _key_id(self._certificates) + struct.pack("!QH", at, 0) + b"\x04\x03"
        stamp += struct.pack("!H", len(signature)) + signature
        listed = struct.pack("!HH", len(stamp) + 2, len(stamp)) + stamp
        assert len(listed) < 128 or len(listed) < 256
        return b"\x04" + (bytes([len(listed)]) if len(listed) < 128 else b"\x81" + bytes([len(listed)])) + listed

    def _root_certificate(self) -> x509.Certificate:
        return (
            x509.CertificateBuilder(self._name, self._name, self._authority.public_key(), x509.random_serial_number())
            .not_valid_before(_SIGNED_AT - timedelta(days=1))
            .not_valid_after(_SIGNED_AT + timedelta(days=3650))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._authority.public_key()), critical=False)
            .sign(self._authority, hashes.SHA256())
        )

    def _trusted_root(self) -> dict[str, Any]:
        since = {"start": "2026-05-01T00:00:00Z"}

        def log(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
            public = {"rawBytes": _b64(_public(key)), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": since}
            kind = {"baseUrl": "https://log.invalid", "hashAlgorithm": "SHA2_256"}
            return {**kind, "publicKey": public, "logId": {"keyId": _b64(_key_id(key))}}

        authority = {
            "subject": {"organization": "stand-in", "commonName": "stand-in"},
            "uri": "https://ca.invalid",
            "certChain": {"certificates": [{"rawBytes": _b64(self._root.public_bytes(Encoding.DER))}]},
            "validFor": since,
        }
        return {
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": [log(self._log)],
            "certificateAuthorities": [authority],
            "ctlogs": [log(self._certificates)],
            "timestampAuthorities": [],
        }


def _extension(oid: str, value: bytes) -> x509.UnrecognizedExtension:
    return x509.UnrecognizedExtension(ObjectIdentifier(oid), value)


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _key_id(key: ec.EllipticCurvePrivateKey) -> bytes:
    return hashlib.sha256(_public(key)).digest()


def _canonical(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
