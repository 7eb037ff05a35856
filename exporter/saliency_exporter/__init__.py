"""Builds and checks the ONNX models that saliency-batch runs."""
