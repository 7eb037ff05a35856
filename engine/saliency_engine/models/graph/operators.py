"""The operators a saliency graph may use: the one list, for whoever builds a model and whoever loads it."""

from __future__ import annotations

ADMITTED: frozenset[str] = frozenset(
    """
    Identity Reshape Flatten Squeeze Unsqueeze Transpose Concat Slice Gather Cast Shape Expand Add Sub Mul Div Neg Abs
    Sqrt Pow Exp Log Clip Min Max Sum Mean ReduceMean ReduceSum ReduceMax ReduceMin GlobalAveragePool GlobalMaxPool Gemm
    MatMul Conv ConvTranspose MaxPool AveragePool Resize BatchNormalization LayerNormalization InstanceNormalization
    Relu LeakyRelu Sigmoid Tanh Softmax Elu Selu Softplus Softsign Gelu Erf HardSigmoid HardSwish PRelu Dropout
    QuantizeLinear DequantizeLinear Constant ConstantOfShape Pad Reciprocal ReduceProd GatherND ScatterND BitShift Loop
    If
    """.split()  # noqa: SIM905
)
"""Operator types of the standard ONNX domain that the fork's loader admits; anything else is its "unsupported op".

``Loop`` and ``If`` are admitted only with bodies that keep to the list.
"""
