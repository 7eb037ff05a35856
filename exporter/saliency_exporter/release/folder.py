"""The release folder: the model, and beside it all that Apache-2.0 §4 asks for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from saliency_engine.errors import ModelError, OutputError
from saliency_engine.models.entry import check_id, read_model
from saliency_engine.report.provenance import file_sha256
from saliency_engine.storage.atomic import write_folder
from saliency_exporter import manifest as manifests
from saliency_exporter.licence import find_license, find_notice
from saliency_exporter.release.card import compose_card, compose_license

LICENSE_NAME = "Apache-2.0-u2netp.txt"


def make_release(model: Path, manifest: Path, checkout: Path, output_dir: Path) -> list[str]:
    """Make ``output_dir`` with the model under its id, its manifest, licence, card and SHA256SUMS; returns the names.

    Raises ``ModelError`` when the model is not the one that the manifest describes, or the checkout's licence is not
    the one that it was made under; ``OutputError`` when the folder is not empty or cannot be written.
    """
    document = manifests.read(manifest, manifests.MIRROR_SCHEMA)
    name = check_id(str(document["model_id"]))
    content = _read_content(model, document)
    license_path, notice = _find_license(checkout, document)
    files = {
        f"{name}.onnx": content,
        f"{name}.manifest.json": manifest.read_bytes(),
        LICENSE_NAME: compose_license(document, license_path, notice).encode(),
        f"{name}.md": compose_card(document, len(content), LICENSE_NAME).encode(),
    }
    sums = [f"{hashlib.sha256(data).hexdigest()}  {file}\n" for file, data in sorted(files.items())]
    files["SHA256SUMS"] = "".join(sums).encode()
    _remove_empty(output_dir)
    write_folder(output_dir, files)
    return sorted(files)


def _read_content(model: Path, document: dict[str, Any]) -> bytes:
    content = read_model(model)
    actual, expected = hashlib.sha256(content).hexdigest(), document["outputs"]["onnx_sha256"]
    if actual != expected:
        raise ModelError(f"{model} is not the manifest's model: its sha256 is {actual}, the manifest says {expected}")
    return content


def _find_license(checkout: Path, document: dict[str, Any]) -> tuple[Path, Path | None]:
    """The licence that the model was made under, and the NOTICE, if there is one."""
    path, upstream = find_license(checkout), document["upstream"]
    if not (upstream["license_sha256"] and upstream["repo"]):
        raise ModelError(
            "the manifest does not say where the model comes from, and under what licence: make the model again with "
            "saliency-export rewrap --upstream-dir and --upstream-repo"
        )
    if file_sha256(path) != upstream["license_sha256"]:
        raise ModelError(
            f"{path} is not the licence that the model was made under (sha256 {upstream['license_sha256']}): give the "
            "checkout that it was exported from"
        )
    notice = find_notice(checkout)
    if (notice is not None) != upstream["notice_present"]:
        raise ModelError(
            f"{checkout} and the manifest disagree on whether there is a NOTICE: give the checkout that the model was "
            "exported from"
        )
    return path, notice


def _remove_empty(folder: Path) -> None:
    """Make room for the release: the folder may be there, with nothing in it."""
    try:
        if not folder.exists():
            return
        if any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty: give an empty folder, or one that does not exist")
        folder.rmdir()  # fails, as it should, where somebody has filled it meanwhile
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
