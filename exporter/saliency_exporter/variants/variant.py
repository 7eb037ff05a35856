"""A variant of a float32 model: measured against it, gated, tagged with what it is, written with a manifest."""

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
from saliency_exporter import manifest
from saliency_exporter.graphs import MODEL_ID, Parent, finish, metadata

SCHEMA = "saliency-variant-manifest-v1"


@dataclass(frozen=True)
class Variant:
    """A variant's name (``int8``), its graph, how it was made, and how it compares on frames it had not seen."""

    name: str
    content: bytes
    figures: Fidelity
    settings: Mapping[str, Any] = field(default_factory=dict)


def signed(parent: Parent, name: str, content: bytes) -> bytes:
    """The variant's graph with the metadata of its parent and its own id, checked as any graph that goes out."""
    kept = metadata(parent.model())
    own = {MODEL_ID: f"{parent.model_id}_{name}", "lusoris.variant": name, "lusoris.parent_model_id": parent.model_id}
    return finish(onnx.load_from_string(content), {**kept, **own, "lusoris.parent_sha256": parent.sha256})


def publish(parent: Parent, variant: Variant, gate: Gate, output: Path, sources: Sequence[str]) -> dict[str, Any]:
    """Write the variant and its manifest; returns the manifest.

    Raises ``ModelError`` naming what missed when the gate is not passed, and ``OutputError``; no file is left then.
    """
    if missed := gate.misses(variant.figures):
        raise ModelError(f"the {variant.name} variant of {parent.model_id} is refused: {'; '.join(missed)}")
    figures = asdict(variant.figures)
    model = onnx.load_from_string(variant.content)
    told = orjson.dumps(figures, option=orjson.OPT_SORT_KEYS).decode()
    content = finish(model, {**metadata(model), "lusoris.variant_figures": told})
    said = {
        "schema": SCHEMA,
        "model_id": metadata(model)[MODEL_ID],
        "variant": {"name": variant.name, **variant.settings},
        "parent": {"path": str(parent.path), "model_id": parent.model_id, "sha256": parent.sha256},
        "figures": figures,
        "gate": gate.as_json(),
        "outputs": manifest.outputs(output, content),
        "run_provenance": manifest.provenance(
            {"parent": parent.path, **{f"frames_{at}": Path(source) for at, source in enumerate(sources)}},
            output,
            content,
            {"variant": variant.name, "model": parent.path, "output": output, "frames": list(sources)},
        ),
    }
    write_together({output: content, manifest.beside(output): manifest.as_bytes(said)})
    return said
