"""Exports U2NETP: an upstream checkout and a checkpoint become a proven ONNX file with its manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from saliency_engine.errors import ModelError
from saliency_engine.numerics.fidelity import PARITY, Fidelity, compare
from saliency_engine.report.provenance import file_sha256
from saliency_engine.storage.atomic import write_together
from saliency_engine.storage.overwrite import Files
from saliency_exporter import manifest
from saliency_exporter.graphs import MODEL_ID_KEY, compute_maps, finish_model, read_shapes
from saliency_exporter.sample_frames import Frames, decode_clips, draw_extreme, draw_natural
from saliency_exporter.torch_version import check_torch
from saliency_exporter.u2netp.checkout import AUDITED_COMMIT, Checkout, find_checkpoint, open_checkout
from saliency_exporter.u2netp.enlarge import enlarge_by_factors
from saliency_exporter.u2netp.isolation import HOOK
from saliency_exporter.u2netp.sandbox import Exported, export_in_child

_NATURAL, _FROM_CLIPS = 16, 16


@dataclass(frozen=True)
class ExportOptions:
    """The options of ``saliency-export u2netp``."""

    upstream_dir: Path
    output: Path
    checkpoint: Path | None = None
    """``None``: the first of upstream's own places in the checkout."""
    module_path: Path | None = None
    """``None``: ``model/u2net.py`` or ``u2net.py`` in the checkout."""
    manifest_out: Path | None = None
    """``None``: beside ``output``."""
    batch: int = 1
    """Frames per call of the graph."""
    height: int = 320
    width: int = 320
    opset: int = 17
    model_id: str = "u2netp_mirror_v1"
    upstream_repo: str = "https://github.com/xuebinqin/U-2-Net"
    upstream_commit: str = AUDITED_COMMIT[:8]
    strict_load: bool = True
    """Whether every weight must be in the checkpoint, and no other."""
    frames: tuple[str, ...] = ()
    """Clips, and tables of clips, that parity is proven on as well."""

    @property
    def manifest_path(self) -> Path:
        """The file that the manifest is written to."""
        return self.manifest_out or manifest.default_path(self.output)


def export(options: ExportOptions) -> tuple[dict[str, Any], list[str]]:
    """Make the model, prove it, and write it with its manifest; returns the manifest, and remarks for the user.

    Raises ``ModelError`` when the checkout, the checkpoint or the proof is not in order, and ``OutputError``; no file
    is left then.
    """
    check_torch("exporting U2NETP")
    checkout = open_checkout(options.upstream_dir, options.upstream_commit, options.module_path)
    checkpoint = find_checkpoint(checkout.folder, options.checkpoint)
    files = _list_files(options, checkout, checkpoint)
    checkpoint_sha256 = file_sha256(checkpoint)
    frames, counts = _collect_frames(options, files)
    exported = export_in_child(
        {
            "module": str(checkout.module),
            "module_sha256": checkout.module_sha256,
            "checkpoint": str(checkpoint),
            "checkpoint_sha256": checkpoint_sha256,
            "strict": options.strict_load,
            "batch": options.batch,
            "opset": options.opset,
        },
        frames,
    )
    content = _finish_graph(exported, options, checkpoint_sha256)
    figures = compare(exported.maps, compute_maps(content, frames))
    if missed := PARITY.misses(figures):
        raise ModelError(f"ONNX Runtime and torch disagree on this model: {'; '.join(missed)}")
    inputs = {"module": checkout.module, "checkpoint": checkpoint, "license": checkout.license}
    document = {
        "schema": manifest.MIRROR_SCHEMA,
        "model_id": options.model_id,
        "upstream": _describe_upstream(options, checkout, checkpoint, checkpoint_sha256),
        "export": _describe_export(options, exported),
        "parity": {**counts, **_describe_parity(figures, exported)},
        "outputs": manifest.describe_output(options.output, content),
        "run_provenance": manifest.describe_run(inputs, options.output, content, asdict(options)),
    }
    write_together({options.output: content, options.manifest_path: manifest.serialize(document)})
    return document, _list_remarks(checkout, exported)


def _list_files(options: ExportOptions, checkout: Checkout, checkpoint: Path) -> Files:
    """The files of the export; raises ``ConfigError`` where one would be written over another."""
    files = Files()
    files.reads("--checkpoint", checkpoint)
    files.reads("--module-path", checkout.module)
    files.reads("--upstream-dir", checkout.license, *filter(None, [checkout.notice]))
    files.reads("--frames", *options.frames)
    files.writes("--output", options.output, holds=".onnx")
    files.writes("--manifest-out", options.manifest_path, holds=".json")
    return files


def _collect_frames(options: ExportOptions, files: Files) -> tuple[Frames, dict[str, int]]:
    """The frames that parity is proven on, and how many of each kind they are."""
    size = options.height, options.width
    parts = {"natural": draw_natural(_NATURAL, *size), "extreme": draw_extreme(*size)}
    if options.frames:
        parts["clips"] = decode_clips(options.frames, *size, files, most=_FROM_CLIPS)
    return np.concatenate(list(parts.values())), {name: len(part) for name, part in parts.items()}


def _finish_graph(exported: Exported, options: ExportOptions, checkpoint_sha256: str) -> bytes:
    """The child's graph with the contract's metadata, once its names, shapes and opset are those asked for."""
    model = onnx.load_from_string(exported.onnx)
    shapes = [options.batch, 3, options.height, options.width], [options.batch, 1, options.height, options.width]
    actual = read_shapes(model, "torch's graph")
    if actual != shapes:
        raise ModelError(f"torch's graph takes {actual[0]} and gives {actual[1]}, not {shapes[0]} and {shapes[1]}")
    names = model.graph.input[0].name, model.graph.output[0].name
    if names != ("input", "saliency_map"):
        raise ModelError(f"torch's graph names its ends {names[0]!r} and {names[1]!r}, not 'input' and 'saliency_map'")
    opsets = [entry.version for entry in model.opset_import]
    if opsets != [options.opset]:
        raise ModelError(f"torch's graph has opset {opsets}, not {options.opset}")
    model.graph.doc_string = ""
    enlarge_by_factors(model)
    return finish_model(
        model,
        {
            MODEL_ID_KEY: options.model_id,
            "lusoris.upstream_repo": options.upstream_repo,
            "lusoris.upstream_commit": options.upstream_commit,
            "lusoris.upstream_checkpoint_sha256": checkpoint_sha256,
            "lusoris.conversion": "saliency-export u2netp: upstream's output d0 alone, weights unchanged, maps "
            f"enlarged by factors; ONNX opset {options.opset} by torch {exported.answer['torch']}, shapes fixed to "
            f"{shapes[0]}",
        },
    )


def _describe_upstream(
    options: ExportOptions, checkout: Checkout, checkpoint: Path, checkpoint_sha256: str
) -> dict[str, Any]:
    return {
        "repo": options.upstream_repo,
        "commit": options.upstream_commit,
        "checkpoint_path": str(checkpoint),
        "checkpoint_sha256": checkpoint_sha256,
        **checkout.as_json(),
    }


def _describe_export(options: ExportOptions, exported: Exported) -> dict[str, Any]:
    return {
        "opset": options.opset,
        "batch": options.batch,
        "height": options.height,
        "width": options.width,
        "input_name": "input",
        "output_name": "saliency_map",
        "selected_upstream_output": "d0",
        "metadata_written": True,
        "network": exported.answer["network"],
        "missing_weights": exported.answer["missing"],
        "unexpected_weights": exported.answer["unexpected"],
    }


def _describe_parity(figures: Fidelity, exported: Exported) -> dict[str, Any]:
    return {
        "frames": figures.frames,
        "max_abs_difference": figures.max_abs,
        "mean_abs_difference": figures.mae,
        "limit": PARITY.max_abs,
        "mean_map_deviation": _measure_deviation(exported),
        "torch": exported.answer["torch"],
        "onnxruntime": onnxruntime.__version__,
    }


def _measure_deviation(exported: Exported) -> float:
    """Standard deviation within a map, on average: near 0 the maps are flat, and equal maps prove little."""
    return float(exported.maps.std(axis=(1, 2)).mean())


def _list_remarks(checkout: Checkout, exported: Exported) -> list[str]:
    """What the user should know, and what does not stop the export."""
    remarks, answer = [], exported.answer
    if checkout.differing:
        remarks.append(
            f"these files of {checkout.folder} differ from the audited commit {AUDITED_COMMIT[:8]}: "
            f"{', '.join(checkout.differing)}; read them before you use the model"
        )
    if checkout.head is None:
        remarks.append(
            f"{checkout.folder} is not a git checkout, so nothing shows that it is at commit {checkout.commit}; the "
            "manifest says so because --upstream-commit does"
        )
    if answer["network"] == HOOK:
        remarks.append(
            "this machine gave no network namespace: sockets were refused to the checkout's Python code, and native "
            "code was not stopped"
        )
    for what in ("missing", "unexpected"):
        if answer[what]:
            remarks.append(f"loaded with {len(answer[what])} {what} weights: {', '.join(answer[what][:3])} …")
    if _measure_deviation(exported) < 1e-3:
        remarks.append("the network's maps are nearly flat: is the checkpoint a trained one?")
    return remarks
