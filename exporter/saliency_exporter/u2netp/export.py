"""U2NETP from an upstream checkout and a checkpoint to a proven ONNX file with its manifest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from saliency_engine.errors import ModelError
from saliency_engine.numerics.fidelity import PARITY, Fidelity, compare
from saliency_engine.storage.atomic import write_together
from saliency_exporter import manifest
from saliency_exporter import sample_frames as made
from saliency_exporter.graphs import MODEL_ID, finish, maps_of, signature
from saliency_exporter.u2netp import sandbox
from saliency_exporter.u2netp.checkout import AUDITED_COMMIT, Checkout, digest, find_checkpoint, open_checkout
from saliency_exporter.u2netp.isolation import HOOK

SCHEMA = "u2netp-mirror-export-manifest-v1"
_NATURAL, _FROM_CLIPS = 16, 16


@dataclass(frozen=True)
class Export:
    """What to export, from where, and where to: the options of ``saliency-export u2netp``."""

    upstream_dir: Path
    output: Path
    checkpoint: Path | None = None
    module_path: Path | None = None
    manifest_out: Path | None = None
    batch: int = 1
    height: int = 320
    width: int = 320
    opset: int = 17
    model_id: str = "u2netp_mirror_v1"
    upstream_repo: str = "https://github.com/xuebinqin/U-2-Net"
    upstream_commit: str = AUDITED_COMMIT[:8]
    strict_load: bool = True
    frames: tuple[str, ...] = ()


def export(options: Export) -> tuple[dict[str, Any], list[str]]:
    """Make the model, prove it, write it with its manifest; returns the manifest and remarks for people.

    Raises ``ModelError`` when checkout, checkpoint or proof is not in order, and ``OutputError``; no file is left
    behind then.
    """
    sandbox.check_torch()
    checkout = open_checkout(options.upstream_dir, options.upstream_commit, options.module_path)
    checkpoint = find_checkpoint(checkout.folder, options.checkpoint)
    inputs = {"module": checkout.module, "checkpoint": checkpoint, "license": checkout.license}
    checkpoint_sha256 = digest(checkpoint)
    frames, counts = _frames(options)
    exported = sandbox.run(
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
    content = _signed(exported, options, checkpoint_sha256)
    figures = compare(exported.maps, maps_of(content, frames))
    if missed := PARITY.misses(figures):
        raise ModelError(f"ONNX Runtime and torch disagree on this model: {'; '.join(missed)}")
    parity = {**counts, **_parity(figures, exported)}
    said = {
        "schema": SCHEMA,
        "model_id": options.model_id,
        "upstream": {
            "repo": options.upstream_repo,
            "commit": options.upstream_commit,
            "checkpoint_path": str(checkpoint),
            "checkpoint_sha256": checkpoint_sha256,
            **checkout.as_json(),
        },
        "export": _settings(options, exported),
        "parity": parity,
        "outputs": manifest.outputs(options.output, content),
        "run_provenance": manifest.provenance(inputs, options.output, content, asdict(options)),
    }
    target = options.manifest_out or manifest.beside(options.output)
    write_together({options.output: content, target: manifest.as_bytes(said)})
    return said, _remarks(checkout, exported.answer, parity)


def _frames(options: Export) -> tuple[made.Frames, dict[str, int]]:
    size = options.height, options.width
    parts = {"natural": made.natural(_NATURAL, *size), "extreme": made.extreme(*size)}
    if options.frames:
        parts["clips"] = made.from_sources(options.frames, *size, most=_FROM_CLIPS)
    return np.concatenate(list(parts.values())), {name: len(part) for name, part in parts.items()}


def _signed(exported: sandbox.Exported, options: Export, checkpoint_sha256: str) -> bytes:
    """The child's graph, found to be what was asked for, with the contract's metadata."""
    model = onnx.load_from_string(exported.onnx)
    ends = [options.batch, 3, options.height, options.width], [options.batch, 1, options.height, options.width]
    if signature(model) != ends or (model.graph.input[0].name, model.graph.output[0].name) != ("input", "saliency_map"):
        raise ModelError(f"the graph takes and gives {signature(model)}; expected {ends}")
    if [entry.version for entry in model.opset_import] != [options.opset]:
        raise ModelError(f"the graph's opset is not {options.opset}")
    model.graph.doc_string = ""
    return finish(
        model,
        {
            MODEL_ID: options.model_id,
            "lusoris.upstream_repo": options.upstream_repo,
            "lusoris.upstream_commit": options.upstream_commit,
            "lusoris.upstream_checkpoint_sha256": checkpoint_sha256,
            "lusoris.conversion": "saliency-export u2netp: upstream's output d0 alone, weights unchanged; ONNX opset "
            f"{options.opset} by torch {exported.answer['torch']}, shapes fixed to {ends[0]}",
        },
    )


def _settings(options: Export, exported: sandbox.Exported) -> dict[str, Any]:
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


def _parity(figures: Fidelity, exported: sandbox.Exported) -> dict[str, Any]:
    return {
        "frames": figures.frames,
        "max_abs_difference": figures.max_abs,
        "mean_abs_difference": figures.mae,
        "limit": PARITY.max_abs,
        "mean_map_deviation": float(exported.maps.std(axis=(1, 2)).mean()),
        "torch": exported.answer["torch"],
        "onnxruntime": onnxruntime.__version__,
    }


def _remarks(checkout: Checkout, answer: dict[str, Any], parity: dict[str, Any]) -> list[str]:
    remarks = []
    if checkout.differing:
        names = " and ".join(checkout.differing)
        remarks.append(
            f"{names} of {checkout.folder} differ from the audited {AUDITED_COMMIT[:8]}: have you read them?"
        )
    if checkout.head is None:
        remarks.append(f"{checkout.folder} is not a git checkout: its commit {checkout.commit} is your word alone")
    if answer["network"] == HOOK:
        remarks.append("no network namespace could be had here: only Python's own sockets were refused to the checkout")
    for what in ("missing", "unexpected"):
        if answer[what]:
            remarks.append(f"loaded with {len(answer[what])} {what} weights: {', '.join(answer[what][:3])} …")
    if parity["mean_map_deviation"] < 1e-3:
        remarks.append("the network's maps are flat on every frame: is this a trained checkpoint?")
    return remarks
