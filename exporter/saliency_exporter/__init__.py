import saliency_engine  # noqa: F401  it switches off the telemetry of ONNX Runtime, before any module here loads that
