"""A folder that may be passed on: the model, and with it all that Apache-2.0 §4 asks for."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from saliency_engine.errors import ModelError, OutputError
from saliency_engine.storage.atomic import write_together
from saliency_exporter import manifest as manifests
from saliency_exporter.u2netp.card import license_text, model_card
from saliency_exporter.u2netp.checkout import check_license, digest, find_notice
from saliency_exporter.u2netp.export import SCHEMA

LICENSE_NAME = "Apache-2.0-u2netp.txt"


def release(model: Path, manifest: Path, checkout: Path, output_dir: Path) -> list[str]:
    """Make ``output_dir`` with the model under its id, its manifest, licence, card and SHA256SUMS; returns the names.

    Raises ``ModelError`` when the model is not the one the manifest tells of, or the checkout's licence not the one it
    was made under; ``OutputError`` when the folder has something in it or cannot be written.
    """
    told = manifests.read(manifest, SCHEMA)
    name = _name(told)
    content = _content(model, told)
    license_path, notice = _license(checkout, told)
    files = {
        f"{name}.onnx": content,
        f"{name}.manifest.json": manifest.read_bytes(),
        LICENSE_NAME: license_text(told, license_path, notice).encode(),
        f"{name}.md": model_card(told, len(content), LICENSE_NAME).encode(),
    }
    sums = [f"{hashlib.sha256(data).hexdigest()}  {file}\n" for file, data in sorted(files.items())]
    files["SHA256SUMS"] = "".join(sums).encode()
    _place(files, output_dir)
    return sorted(files)


def _name(told: dict[str, Any]) -> str:
    name = str(told["model_id"])
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
        raise ModelError(f"the manifest's model id {name!r} is no file name")
    return name


def _content(model: Path, told: dict[str, Any]) -> bytes:
    try:
        content = model.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model {model}: {error.strerror or error}") from error
    found, expected = hashlib.sha256(content).hexdigest(), told["outputs"]["onnx_sha256"]
    if found != expected:
        raise ModelError(f"{model} is not the manifest's model: its sha256 is {found}, the manifest says {expected}")
    return content


def _license(checkout: Path, told: dict[str, Any]) -> tuple[Path, Path | None]:
    path, upstream = checkout / "LICENSE", told["upstream"]
    if not path.is_file():
        raise ModelError(f"{checkout} has no LICENSE")
    check_license(path)
    if digest(path) != upstream["license_sha256"]:
        raise ModelError(
            f"{path} is not the licence that the model was made under (sha256 {upstream['license_sha256']})"
        )
    notice = find_notice(checkout)
    if (notice is not None) != upstream["notice_present"]:
        raise ModelError(f"{checkout} and the manifest disagree on whether there is a NOTICE: is it the same checkout?")
    return path, notice


def _place(files: dict[str, bytes], folder: Path) -> None:
    """Write the files into a folder beside ``folder``, then give it the name."""
    try:
        if folder.exists() and any(folder.iterdir()):
            raise OutputError(f"{folder} is not empty: give a folder that is, or does not exist")
        with TemporaryDirectory(dir=folder.absolute().parent, prefix=f".{folder.name}.") as waiting:
            made = Path(waiting) / "release"
            made.mkdir()
            write_together({made / name: data for name, data in files.items()})
            made.replace(folder)  # over an empty folder too
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
