"""NaN and infinity among a graph's weights, found before it runs.

A library need not pass them on: with one NaN in the weights of a hidden layer of the second student, OpenVINO gave
finite, wrong maps for all but the last layer, because its ReLU takes NaN for 0; ONNX Runtime gave NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

_RAW: dict[int, str] = {
    **{TensorProto.FLOAT: "<f4", TensorProto.FLOAT16: "<f2"},
    **{TensorProto.DOUBLE: "<f8", TensorProto.BFLOAT16: "<u2"},
}
"""How the element types that can hold NaN stand in ``raw_data``; bfloat16, which numpy does not know, as integers."""


def find_fault(tensor: TensorProto) -> str:
    """What is wrong with the values of a tensor; empty where nothing is.

    NaN is wrong anywhere, infinity in all but a single number, which may well be a bound (``Clip``) or a mask.
    """
    if tensor.data_type not in _RAW:
        return ""
    parts = _spelled_values(tensor)
    if any(np.isnan(part).any() for part in parts):
        return f"its weight {tensor.name!r} holds NaN"
    if sum(map(len, parts)) > 1 and any(np.isinf(part).any() for part in parts):
        return f"its weight {tensor.name!r} holds infinity"
    return ""


def _spelled_values(tensor: TensorProto) -> list[NDArray[Any]]:
    """The numbers of a tensor by the ways there are to write them; what belongs to another element type is left out."""
    kind, dtype = tensor.data_type, np.dtype(_RAW[tensor.data_type])
    data = tensor.raw_data
    parts = [np.frombuffer(data, dtype, len(data) // dtype.itemsize)]  # a length that is wrong is the runtime's to see
    match kind:
        case TensorProto.FLOAT:
            parts.append(np.array(tensor.float_data, "<f4"))
        case TensorProto.DOUBLE:
            parts.append(np.array(tensor.double_data, "<f8"))
        case _:
            parts.append(np.array(tensor.int32_data, "<i4").astype("<u2").view(dtype))
    return [_widen(part) for part in parts] if kind == TensorProto.BFLOAT16 else parts


def _widen(part: NDArray[Any]) -> NDArray[Any]:
    """bfloat16 as float32: it is that one's upper half."""
    return (part.astype("<u4") << 16).view("<f4")
