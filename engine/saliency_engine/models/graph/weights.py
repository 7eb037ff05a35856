"""NaN and infinity among a graph's weights, found before it runs.

A library need not pass them on: with one NaN in the weights of a hidden layer of the second student, OpenVINO gave
finite, wrong maps for all but the last layer, because its ReLU takes NaN for 0; ONNX Runtime gave NaN.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saliency_engine.models.graph.protobuf import Field, fields, varints

# Fields of TensorProto, and its element types that can hold NaN.
_TYPE, _FLOAT_DATA, _INT32_DATA, _NAME, _RAW_DATA, _DOUBLE_DATA = 2, 4, 5, 8, 9, 10
_FLOAT, _FLOAT16, _DOUBLE, _BFLOAT16 = 1, 10, 11, 16
_RAW = {_FLOAT: "<f4", _FLOAT16: "<f2", _DOUBLE: "<f8", _BFLOAT16: "<u2"}


def fault(tensor: memoryview) -> str:
    """What is wrong with the values of a ``TensorProto``; empty where nothing is.

    NaN is wrong anywhere, infinity in all but a single number, which may well be a bound (``Clip``) or a mask.
    """
    entries = list(fields(tensor))
    kind = next((entry.value for entry in reversed(entries) if entry.number == _TYPE), 0)
    name = next((entry.text() for entry in entries if entry.number == _NAME), "")
    parts = [_widened(part, kind) for entry in entries for part in _parts(entry, kind)]
    values = np.concatenate(parts) if parts else np.empty(0, np.float32)
    if np.isnan(values).any():
        return f"its weight {name!r} holds NaN"
    if len(values) > 1 and np.isinf(values).any():
        return f"its weight {name!r} holds infinity"
    return ""


def _parts(entry: Field, kind: Any) -> Iterator[NDArray[Any]]:
    """The numbers in one field: as raw bytes, packed, or one by one."""
    if (entry.number, kind) in {(_FLOAT_DATA, _FLOAT), (_DOUBLE_DATA, _DOUBLE)} or (
        entry.number == _RAW_DATA and kind in _RAW
    ):
        data, dtype = entry.message(), np.dtype(_RAW[kind])
        yield np.frombuffer(data, dtype, len(data) // dtype.itemsize)  # a length that is wrong is the runtime's to see
    elif entry.number == _INT32_DATA and kind in {_FLOAT16, _BFLOAT16}:
        numbers = [entry.value] if isinstance(entry.value, int) else varints(entry.value)
        yield np.array([number & 0xFFFF for number in numbers], "<u2").view(_RAW[kind])


def _widened(part: NDArray[Any], kind: Any) -> NDArray[Any]:
    """bfloat16, which numpy does not know, as float32: it is that one's upper half."""
    return (part.astype("<u4") << 16).view("<f4") if kind == _BFLOAT16 else part
