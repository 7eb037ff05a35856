"""A released model is brought, verified and installed. Nothing of a model runs here."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from saliency_engine.errors import ConfigError, FetchError, ModelError
from saliency_engine.models import registry
from saliency_engine.models.download import bring_file, lock_folder
from saliency_engine.models.entry import (
    BUNDLE_FILE,
    LICENCE_FILE,
    MANIFEST_FILE,
    MODEL_FILE,
    PREPROCESSING,
    Entry,
    Evidence,
    check_id,
    read_model,
)
from saliency_engine.models.graph.inspect import Graph, read_graph
from saliency_engine.models.signature import Expected, Signer, verify_signature

LICENCE_ASSET = "Apache-2.0-u2netp.txt"
_MODEL_LIMIT, _TEXT_LIMIT = 1 << 28, 1 << 20  # the released model has 4.7 MB


@dataclass(frozen=True)
class Checked:
    """A model's bytes, verified."""

    data: bytes
    sha256: str
    """Of ``data``, in lower-case hex."""
    evidence: Evidence
    signer: Signer | None
    """Who signed the bytes, where a signature was given."""


def verify(model: str, bundle: Path | None, sha256: str, expected: Expected) -> Checked:
    """Verify a file, or an installed model by its id, against all that is given and all that is known of it.

    An installed model's own signature is verified again. Raises ``ModelError`` or ``SignatureError`` when anything
    disagrees, and ``ConfigError`` when there is nothing to verify against.
    """
    path = Path(model)
    if path.is_file() or path.suffix == ".onnx":
        return _check_bytes(str(path), read_model(path), bundle, sha256, expected)
    entry = registry.find(model)
    source, data = entry.data()
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise ModelError(
            f"{source} was changed after it was installed, when it had the sha256 {entry.sha256}: remove its folder "
            "and install the model again"
        )
    if bundle is None and entry.folder is not None and (entry.folder / BUNDLE_FILE).is_file():
        bundle = entry.folder / BUNDLE_FILE
    return _check_bytes(source, data, bundle, sha256 or entry.sha256, expected, before=entry.verified_by)


def install(
    model: Path,
    *,
    licence: Path,
    bundle: Path | None,
    sha256: str,
    expected: Expected,
    manifest: Path | None = None,
    model_id: str = "",
    source: str = "",
) -> tuple[Entry, Checked]:
    """Verify a file and put it into the model folder with licence, manifest and signature; returns its entry.

    Raises as ``verify``, and ``ModelError`` when the graph may not run here, says that it is another model than
    ``model_id``, or is not the manifest's; ``OutputError`` when the folder cannot be written.
    """
    checked = _check_bytes(str(model), read_model(model), bundle, sha256, expected)
    try:
        graph = read_graph(checked.data)
        if graph.fault:
            raise ModelError(graph.fault)
    except ModelError as error:
        raise ModelError(f"the model {model} is refused: {error}") from error
    files = {MODEL_FILE: checked.data, LICENCE_FILE: _read_text(licence)}
    if bundle is not None:
        files[BUNDLE_FILE] = _read_text(bundle)
    if manifest is not None:
        files[MANIFEST_FILE] = _read_manifest(manifest, checked.sha256)
    given = {"MODEL": model, "--license": licence, "--bundle": bundle, "--manifest": manifest}
    own = graph.metadata.get("lusoris.model_id", "")
    if model_id and own and own != model_id:
        raise ModelError(f"{model} is the model {own} by its metadata: it cannot be installed as {model_id}")
    entry = _make_entry(model_id or own or model.stem, graph, checked, source or f"file {model.name}")
    _check_overwrites(registry.make_home() / entry.id, files, given)
    folder = registry.place_model(entry, files)
    return replace(entry, folder=folder), checked


def _check_overwrites(folder: Path, files: Mapping[str, bytes], given: Mapping[str, Path | None]) -> None:
    """Raise ``ConfigError`` where installing ``files`` in ``folder`` would lose a file that an option names.

    A model may be installed again from where it is installed, since its files are then the same.
    """
    inside = {
        option: path.resolve()
        for option, path in given.items()
        if path is not None and path.resolve().parent == folder.resolve()
    }
    for option, path in inside.items():
        if files.get(path.name) != path.read_bytes():
            raise ConfigError(f"{option} {path} would be lost, because its folder is replaced: move the file elsewhere")


def fetch(model_id: str, base: str, *, sha256: str, expected: Expected) -> tuple[Entry, Checked]:
    """Bring a release's model, signature and licence, verify them, install them; returns the entry.

    ``base`` is a URL or folder; empty: where the registry says that the model is released. What was brought is kept
    until it is complete, so that a broken download goes on, and removed when it is installed or refused. Raises
    ``FetchError``, also while another fetch is under way, and as ``install``.
    """
    check_id(model_id)
    base = base or _find_release(model_id)
    downloads = registry.make_home() / ".downloads"
    folder = downloads / model_id
    if Path(base.removeprefix("file://")).resolve() == folder.resolve():
        raise ConfigError(f"--from {base} is the folder for downloads, which is emptied: move the files elsewhere")
    with lock_folder(downloads):
        folder.mkdir(exist_ok=True)
        has_manifest = _bring_release(model_id, base, folder)
        try:
            return install(
                folder / f"{model_id}.onnx",
                licence=folder / LICENCE_ASSET,
                bundle=folder / f"{model_id}.onnx.bundle",
                sha256=sha256,
                expected=expected,
                manifest=folder / f"{model_id}.manifest.json" if has_manifest else None,
                model_id=model_id,
                source=f"{base.rstrip('/')}/{model_id}.onnx",
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _bring_release(model_id: str, base: str, folder: Path) -> bool:
    """A release's files into ``folder``; returns whether its manifest is there, which older releases do not have."""
    onnx = f"{model_id}.onnx"
    for name, limit in ((onnx, _MODEL_LIMIT), (f"{onnx}.bundle", _TEXT_LIMIT), (LICENCE_ASSET, _TEXT_LIMIT)):
        if not bring_file(base, name, folder / name, limit):
            raise FetchError(
                f"{base} has no {name}: the release may not be out yet. saliency-export u2netp makes the model as well"
            )
    manifest = f"{model_id}.manifest.json"
    return bring_file(base, manifest, folder / manifest, _TEXT_LIMIT)


def _find_release(model_id: str) -> str:
    for entry in registry.shipped():
        if entry.id == model_id and entry.release:
            return entry.release
    raise ConfigError(f"no release of {model_id} is known: give its place with --from URL or --from FOLDER")


def _check_bytes(
    source: str, data: bytes, bundle: Path | None, sha256: str, expected: Expected, *, before: Evidence | None = None
) -> Checked:
    """Check ``data`` against everything that is given; ``before`` is what was known of these bytes already."""
    actual = hashlib.sha256(data).hexdigest()
    if sha256 and actual != sha256.lower():
        raise ModelError(f"{source} has the sha256 {actual}, not {sha256.lower()}: it is not the model you meant")
    signer = verify_signature(data, _read_text(bundle), expected) if bundle is not None else None
    if signer is not None:
        return Checked(data, actual, Evidence("signature", signer.identity, signer.issuer), signer)
    known = before or next((Evidence("registry") for entry in registry.shipped() if entry.sha256 == actual), None)
    if known is None and not sha256:
        raise ConfigError(f"there is nothing to verify {source} against: give its signature with --bundle, or --sha256")
    return Checked(data, actual, known or Evidence("sha256"), None)


def _make_entry(model_id: str, graph: Graph, checked: Checked, source: str) -> Entry:
    parent = graph.metadata.get("lusoris.parent_model_id", "")
    shipped = {entry.id: entry for entry in registry.shipped()}
    known = shipped.get(model_id) or shipped.get(parent)
    if known is not None and known.sha256 == checked.sha256:
        source = known.source
    sizes = graph.input_shape[2:]
    fixed = len(sizes) == 2 and all(isinstance(size, int) for size in sizes)
    return Entry(
        id=model_id,
        sha256=checked.sha256,
        licence=known.licence if known else f"see {LICENCE_FILE}",
        input_size=f"{sizes[1]}x{sizes[0]}" if fixed else "free",
        preprocessing=PREPROCESSING,
        source=source,
        variant_of=parent,
        purpose=known.purpose if known and known.id == model_id else "",
        evidence=checked.evidence,
    )


def _read_manifest(path: Path, sha256: str) -> bytes:
    content = _read_text(path)
    try:
        named = json.loads(content)["outputs"]["onnx_sha256"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"{path} is not the manifest of a model: it has no outputs.onnx_sha256") from error
    if named != sha256:
        raise ModelError(f"{path} belongs to another model: it names the sha256 {named}, but the model has {sha256}")
    return content


def _read_text(path: Path) -> bytes:
    try:
        if path.stat().st_size > _TEXT_LIMIT:
            raise ModelError(f"{path} is larger than the {_TEXT_LIMIT} bytes that are allowed")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read {path}: {error.strerror or error}") from error
