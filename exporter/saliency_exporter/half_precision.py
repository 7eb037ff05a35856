"""A graph in half precision inside."""

from __future__ import annotations

import warnings

from onnx import ModelProto, version_converter
from onnxruntime.transformers.float16 import convert_float_to_float16

from saliency_engine.errors import ModelError
from saliency_exporter.graphs import EMPTY_IS_OPTIONAL, leave_out_empty, read_opset, sort_nodes


def halve(model: ModelProto, source: str) -> bytes:
    """``model`` as ``Parent.load`` gives it, of the file ``source``, in half precision, float32 at its borders.

    Raises ``ModelError`` where it cannot be converted.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # weights below the least half become zero: the gate judges that
            # No operator stays in float32: what the converter is wary of by default, CUDA has in half precision.
            half = convert_float_to_float16(_without_empty(model), keep_io_types=True, op_block_list=[])
    except Exception as error:  # the converter raises what its helpers raise
        raise ModelError(f"{source} cannot be converted to half precision: {error}") from error
    sort_nodes(half)  # the converter appends its casts
    content: bytes = half.SerializeToString()
    return content


def _without_empty(model: ModelProto) -> ModelProto:
    """The model, of a newer opset where its own demands empty inputs of Resize, without these."""
    if read_opset(model) >= EMPTY_IS_OPTIONAL:
        return model  # they have been left out
    older = ModelProto.FromString(model.SerializeToString())
    if not leave_out_empty(model):
        return model
    newer: ModelProto = version_converter.convert_version(older, EMPTY_IS_OPTIONAL)
    leave_out_empty(newer)
    return newer
