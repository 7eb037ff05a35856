"""Saliency features for very large tables of video clips.

::

    from saliency_engine import Engine, RunConfig

    with Engine(RunConfig(model="frequency_tuned_v1")) as engine:
        for batch in engine.process(batches):  # Arrow RecordBatches in, the same with saliency columns out
            ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from saliency_engine.config import RunConfig

if TYPE_CHECKING:
    from saliency_engine.pipeline.engine import Engine

    __version__: str

__all__ = ["Engine", "RunConfig", "__version__"]


def __getattr__(name: str) -> Any:
    # The engine loads numba and ONNX Runtime, which the command line's help, workers and the exporter do without.
    if name == "Engine":
        from saliency_engine.pipeline.engine import Engine  # noqa: PLC0415

        return Engine
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  at least 25 ms, for which nobody should wait who does not ask

        return version("saliency-batch")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
