"""What is stated of a student, in its manifest and in the file itself."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from saliency_engine.models.load import Model
from saliency_exporter import manifest
from saliency_exporter.distill.beginning import Beginning
from saliency_exporter.distill.onnx_file import OPSET
from saliency_exporter.distill.options import DistillOptions
from saliency_exporter.distill.pictures import Corpus, Source
from saliency_exporter.graphs import MODEL_ID_KEY

SCHEMA = "saliency-student-manifest-v1"


def compose_metadata(model_id: str, teacher: Model, beginning: Beginning) -> dict[str, str]:
    """The metadata of the ONNX file."""
    begun = f"; {beginning.sentence}" if beginning.sentence else ""
    return {
        MODEL_ID_KEY: model_id,
        "lusoris.teacher_model_id": teacher.model_id,
        "lusoris.teacher_sha256": teacher.sha256,
        "lusoris.conversion": f"saliency-export distill: a network of its own that learned the teacher's maps{begun}",
    }


def describe(
    options: DistillOptions, metadata: dict[str, str], corpus: Corpus, content: bytes, measured: dict[str, Any]
) -> dict[str, Any]:
    """The manifest of the student ``content``; ``measured`` is what else belongs into it."""
    inputs = {"teacher": options.teacher} | ({"fine_tune": options.fine_tune} if options.fine_tune else {})
    teacher = {"model_id": metadata["lusoris.teacher_model_id"], "sha256": metadata["lusoris.teacher_sha256"]}
    return {
        "schema": SCHEMA,
        "model_id": metadata[MODEL_ID_KEY],
        "teacher": {"path": str(options.teacher), **teacher},
        "export": {"opset": OPSET, "input_shape": [1, *corpus.frames.shape[1:]]},
        "gate": {"correlation": options.gate_r},
        "frames": [_describe_source(source) for source in corpus.sources],
        "left_out": list(corpus.left_out),
        "outputs": manifest.describe_output(options.output, content),
        "run_provenance": manifest.describe_run(inputs, options.output, content, asdict(options)),
        **measured,
    }


def _describe_source(source: Source) -> dict[str, Any]:
    return {
        "path": source.path,
        "sha256": source.sha256,
        "frames": len(source.frames),
        "group": source.group,
        "held_out": source.is_held_out,
    }
