"""Rewraps an upstream ONNX file: the same weights as a graph that ``saliency-batch`` runs, proven against the file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto

from saliency_engine.errors import ConfigError, ModelError
from saliency_engine.models.entry import check_id
from saliency_engine.numerics.fidelity import PARITY, compare
from saliency_engine.report.provenance import file_sha256
from saliency_engine.storage.atomic import write_together
from saliency_engine.storage.overwrite import Files
from saliency_exporter import manifest
from saliency_exporter.graphs import MODEL_ID_KEY, compute_maps, finish_model
from saliency_exporter.licence import find_license, find_notice, read_head
from saliency_exporter.rewrap.convention import Convention, MapForm, read_form, to_pictures
from saliency_exporter.rewrap.graph import convert_opset, wrap
from saliency_exporter.rewrap.statement import describe_export, describe_parity, list_changes, measure_deviation
from saliency_exporter.rewrap.upstream import Upstream, open_upstream
from saliency_exporter.sample_frames import Frames, decode_clips, draw_extreme, draw_natural

_NATURAL, _FROM_CLIPS = 16, 16
_TOLERANCE = 1e-3
"""How far outside [0, 1] a map may be; the engine refuses clips with more."""


@dataclass(frozen=True)
class RewrapOptions:
    """The options of ``saliency-export rewrap``."""

    upstream: Path
    output: Path
    upstream_output: str = ""
    """Empty: the one that all others flow into."""
    batch: int = 1
    """Frames per call of the graph."""
    height: int | None = None
    """``None``: the file's own, 320 where it leaves that free."""
    width: int | None = None
    """Likewise."""
    layout: str = "nchw"
    range: str | None = None
    """``None``: ``0-255`` where the file takes uint8, else ``imagenet``."""
    channels: str = "rgb"
    activation: str = "none"
    model_id: str | None = None
    """``None``: the stem of ``output``."""
    upstream_dir: Path | None = None
    """A checkout with the LICENSE that upstream gives the file under; without one the result may not be released."""
    upstream_repo: str | None = None
    frames: tuple[str, ...] = ()
    """Clips, and tables of clips, that parity is proven on as well."""


@dataclass(frozen=True)
class _Licence:
    """What the checkout says; nothing, where none was given."""

    path: Path | None = None
    notice: Path | None = None
    head: str | None = None

    @property
    def inputs(self) -> dict[str, Path]:
        return {"license": self.path} if self.path else {}


def rewrap(options: RewrapOptions) -> tuple[dict[str, Any], list[str]]:
    """Make the model, prove it, and write it with its manifest; returns the manifest, and remarks for the user.

    Raises ``ModelError`` when the file, the licence or the proof is not in order, ``ConfigError`` and ``OutputError``;
    no file is left then.
    """
    model_id = check_id(options.model_id or options.output.stem)
    licence = _find_licence(options.upstream_dir)
    files = _list_files(options, licence)
    upstream = open_upstream(options.upstream, options.upstream_output)
    convention = _choose_convention(options, upstream)
    size = _choose_size(options, upstream)
    frames, counts = _collect_frames(options, size, files)
    pictures, frames = to_pictures(frames)
    values = upstream.run(convention.feed(pictures))
    form, expected, model = _build(options, upstream, convention, values, size)
    shape = [options.batch, 3, *size]
    changes = list_changes(upstream, convention, form, shape)
    content = finish_model(model, _compose_metadata(options, model_id, upstream, licence, changes))
    figures = compare(expected, compute_maps(content, frames))
    if missed := PARITY.misses(figures):
        raise ModelError(f"the rewrapped model and {upstream.path} disagree: {'; '.join(missed)}")
    document = {
        "schema": manifest.MIRROR_SCHEMA,
        "model_id": model_id,
        "upstream": _describe_upstream(options, upstream, licence),
        "export": describe_export(shape, upstream, convention, content, changes),
        "parity": {**counts, **describe_parity(figures, expected)},
        "outputs": manifest.describe_output(options.output, content),
        "run_provenance": manifest.describe_run(
            {"checkpoint": upstream.path, **licence.inputs}, options.output, content, asdict(options)
        ),
    }
    path = manifest.default_path(options.output)
    write_together({options.output: content, path: manifest.serialize(document)})
    return document, _list_remarks(options, values, expected)


def _build(
    options: RewrapOptions, upstream: Upstream, convention: Convention, values: NDArray[Any], size: tuple[int, int]
) -> tuple[MapForm, NDArray[np.float32], ModelProto]:
    """What ``values`` of the upstream file are: their form, the maps ``[n, H, W]``, and the graph that gives them."""
    try:
        form = read_form(values, options.activation)
        maps = _check_values(form.read(values))
        frames, given = [options.batch, 3, *size], [options.batch, 1, *maps.shape[1:]]
        return form, maps, wrap(convert_opset(upstream.model), convention, form, frames, given)
    except ModelError as error:
        raise ModelError(f"{upstream.path} cannot be rewrapped: {error}") from error


def _find_licence(folder: Path | None) -> _Licence:
    if folder is None:
        return _Licence()
    if not folder.is_dir():
        raise ModelError(f"--upstream-dir {folder}: no such folder")
    return _Licence(find_license(folder), find_notice(folder), read_head(folder))


def _list_files(options: RewrapOptions, licence: _Licence) -> Files:
    """The files of the command; raises ``ConfigError`` where one would be written over another."""
    files = Files()
    files.reads("UPSTREAM", options.upstream)
    files.reads("--upstream-dir", *filter(None, [licence.path, licence.notice]))
    files.reads("--frames", *options.frames)
    files.writes("--output", options.output, holds=".onnx")
    files.writes("--output", manifest.default_path(options.output), holds=".json")
    return files


def _choose_convention(options: RewrapOptions, upstream: Upstream) -> Convention:
    integers = upstream.element == TensorProto.UINT8
    values = options.range or ("0-255" if integers else "imagenet")
    if integers and values != "0-255":
        raise ConfigError(f"{upstream.path} takes uint8, which holds 0 to 255 alone: leave --range {values} out")
    return Convention(options.layout, values, options.channels, options.activation, upstream.element)


def _choose_size(options: RewrapOptions, upstream: Upstream) -> tuple[int, int]:
    """(height, width) in pixels: what was asked for, the file's own, or 320."""
    own, size = upstream.read_size(options.layout), (options.height, options.width)
    for fixed, asked, name in zip(own, size, ("--height", "--width"), strict=True):
        if fixed and asked not in (None, fixed):
            raise ModelError(
                f"{upstream.path} runs at {name[2:]} {fixed} only, so that with {name} {asked} there would be nothing "
                f"to compare it with: leave {name} out, or get a file whose {name[2:]} is free"
            )
    height, width = (asked or fixed or 320 for fixed, asked in zip(own, size, strict=True))
    return height, width


def _collect_frames(options: RewrapOptions, size: tuple[int, int], files: Files) -> tuple[Frames, dict[str, int]]:
    """The frames that parity is proven on, and how many of each kind they are."""
    parts = {"natural": draw_natural(_NATURAL, *size), "extreme": draw_extreme(*size)}
    if options.frames:
        parts["clips"] = decode_clips(options.frames, *size, files, most=_FROM_CLIPS)
    return np.concatenate(list(parts.values())), {name: len(part) for name, part in parts.items()}


def _check_values(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    least, most = float(maps.min()), float(maps.max())
    if not (least >= -_TOLERANCE and most <= 1 + _TOLERANCE):
        raise ModelError(
            f"its maps reach from {least:.3g} to {most:.3g}, and saliency lies in [0, 1]: if they are logits, give "
            "--activation sigmoid; if not, --range or --channels may be others"
        )
    return maps


def _compose_metadata(
    options: RewrapOptions, model_id: str, upstream: Upstream, licence: _Licence, changes: list[str]
) -> dict[str, str]:
    texts = {
        MODEL_ID_KEY: model_id,
        "lusoris.upstream_repo": options.upstream_repo,
        "lusoris.upstream_commit": licence.head,
        "lusoris.upstream_checkpoint_sha256": upstream.sha256,
        "lusoris.conversion": f"saliency-export rewrap: weights unchanged. {' '.join(changes)}",
    }
    return {key: text for key, text in texts.items() if text}


def _describe_upstream(options: RewrapOptions, upstream: Upstream, licence: _Licence) -> dict[str, Any]:
    return {
        "repo": options.upstream_repo,
        "commit": licence.head,
        "head": licence.head,
        "checkpoint_path": str(upstream.path),
        "checkpoint_sha256": upstream.sha256,
        "module_path": None,
        "module_sha256": None,
        "license_path": str(licence.path) if licence.path else None,
        "license_sha256": file_sha256(licence.path) if licence.path else None,
        "notice_present": licence.notice is not None,
        "audit": None,
    }


def _list_remarks(options: RewrapOptions, values: NDArray[Any], expected: NDArray[np.float32]) -> list[str]:
    """What the user should know, and what does not stop the command."""
    remarks = []
    if options.upstream_dir is None:
        remarks.append(
            "nothing was given that says under what licence upstream gives this file, so the model is for your own "
            "use: to release it, give the checkout with its LICENSE (--upstream-dir)"
        )
    if options.activation == "sigmoid" and values.min() >= 0 and values.max() <= 1:
        remarks.append("upstream's values lie in [0, 1] before --activation sigmoid: are they logits at all?")
    if measure_deviation(expected) < 1e-3:
        remarks.append("the maps are nearly flat: does upstream take pictures in the way that was said?")
    return remarks
