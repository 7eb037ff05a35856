"""A variant of a float32 model: measured against it, gated, tagged with an id of its own, written with a manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx
import orjson

from saliency_engine.errors import ModelError
from saliency_engine.numerics.fidelity import Fidelity, Gate
from saliency_engine.storage.atomic import write_together
from saliency_engine.storage.overwrite import Files
from saliency_exporter import manifest
from saliency_exporter.graphs import MODEL_ID_KEY, Parent, finish_model, read_metadata

SCHEMA = "saliency-variant-manifest-v1"


@dataclass(frozen=True)
class Variant:
    """A variant that was made and measured, and is not written yet."""

    name: str
    """What its id gains, as in ``int8``."""
    content: bytes
    """The ONNX file, as ``tag`` gives it."""
    figures: Fidelity
    """How its maps compare with the parent's, on frames that did not calibrate it."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """How it was made: JSON values for the manifest."""


def list_files(path: Path, output: Path, frames: str, clips: Sequence[str]) -> Files:
    """The files of a command that makes the variant ``output`` of the model ``path``; ``frames`` names ``clips``.

    Raises ``ConfigError`` where one would be written over another.
    """
    files = Files()
    files.reads("MODEL", path)
    files.reads(frames, *clips)
    files.writes("--output", output, holds=".onnx")
    files.writes("--output", manifest.default_path(output), holds=".json")
    return files


def tag(parent: Parent, name: str, content: bytes) -> bytes:
    """The variant's graph with its parent's metadata and an id of its own; checked as ``finish_model`` checks."""
    own = {
        MODEL_ID_KEY: f"{parent.model_id}_{name}",
        "lusoris.variant": name,
        "lusoris.parent_model_id": parent.model_id,
        "lusoris.parent_sha256": parent.sha256,
    }
    return finish_model(onnx.load_from_string(content), {**read_metadata(parent.load()), **own})


def publish(parent: Parent, variant: Variant, gate: Gate, output: Path, clips: Sequence[str]) -> dict[str, Any]:
    """Write the variant and its manifest; returns the manifest.

    ``clips`` are the clips and tables that it was measured on. Raises ``ModelError`` that names what was missed when
    the gate is not passed, and ``OutputError``; no file is left then.
    """
    if missed := gate.misses(variant.figures):
        raise ModelError(f"the {variant.name} variant of {parent.model_id} is refused: {'; '.join(missed)}")
    figures = asdict(variant.figures)
    model = onnx.load_from_string(variant.content)
    figures_json = orjson.dumps(figures, option=orjson.OPT_SORT_KEYS).decode()
    content = finish_model(model, {**read_metadata(model), "lusoris.variant_figures": figures_json})
    document = {
        "schema": SCHEMA,
        "model_id": read_metadata(model)[MODEL_ID_KEY],
        "variant": {"name": variant.name, **variant.settings},
        "parent": {"path": str(parent.path), "model_id": parent.model_id, "sha256": parent.sha256},
        "figures": figures,
        "gate": gate.as_json(),
        "outputs": manifest.describe_output(output, content),
        "run_provenance": manifest.describe_run(
            {"parent": parent.path, **{f"frames_{at}": Path(path) for at, path in enumerate(clips)}},
            output,
            content,
            {"variant": variant.name, "model": parent.path, "output": output, "frames": list(clips)},
        ),
    }
    write_together({output: content, manifest.default_path(output): manifest.serialize(document)})
    return document
