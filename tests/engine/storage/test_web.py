"""Files from a server that speaks TLS: whose certificate counts."""

from __future__ import annotations

import datetime
import http.server
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from saliency_engine.storage.source import TransferError
from saliency_engine.storage.web import Web

CONTENT = bytes(range(256)) * 2000


def _write_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine that nobody else vouches for, and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a server of a test")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    certificate = builder.add_extension(here, critical=False).sign(key, hashes.SHA256())
    form = serialization.Encoding.PEM
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(form))
    written = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(written)
    return folder / "certificate.pem", folder / "key.pem"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        self.wfile.write(CONTENT)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a file on a server of this machine, and the certificate with which it speaks TLS."""
    certificate, key = _write_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}/a.mp4", certificate
        server.shutdown()
        thread.join()


def test_a_certificate_counts_where_the_environment_says_whose_do(
    served: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, certificate = served
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(TransferError, match="certificate verify failed"):
        Web().look_up(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    size = Web().look_up(url).size
    assert b"".join(Web().read(url, size, 0)) == CONTENT
    with pytest.raises(TransferError, match="certificate is not valid for 'localhost'"):
        Web().look_up(url.replace("127.0.0.1", "localhost"))
