"""Saliency features for very large tables of video clips.

::

    from saliency_engine import Engine, RunConfig, enrich

    table = enrich(dataframe, model="saliency_open_v1")  # of pandas, polars, DuckDB, PyArrow

    with Engine(RunConfig(model="saliency_open_v1")) as engine:
        for batch in engine.process(batches):  # Arrow RecordBatches in, the same with saliency columns out
            ...
"""

from __future__ import annotations

import os
import sys

if sys.argv[:1] == ["-m"] and "saliency_engine" in sys.orig_argv and not sys.flags.safe_path:
    # As ``python -m saliency_engine`` this is the program, and must not take modules from the current folder, which
    # Python has put first. While it looks for what -m names, the first argument is "-m".
    del sys.path[0]

from importlib import import_module
from typing import TYPE_CHECKING, Any

from saliency_engine.config import RunConfig

if TYPE_CHECKING:
    from saliency_engine.pipeline.engine import Engine
    from saliency_engine.pipeline.enrich import enrich
    from saliency_engine.pipeline.one_clip import OneClip, compute_clip

    __version__: str

# When ONNX Runtime is loaded (seen in 1.31), it writes a device id and a file of events to ~/.cache/Microsoft, and
# some seconds later it sends them. It reads this variable then, once. Nothing stops it afterwards, not even its own
# disable_telemetry_events(). So the variable is set here, before any module of ours can load it.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = ["Engine", "OneClip", "RunConfig", "__version__", "compute_clip", "enrich"]

# What these load (numba, ONNX Runtime, PyArrow), the command line's help, workers and the exporter do without.
_HOMES = {
    "Engine": "pipeline.engine",
    "OneClip": "pipeline.one_clip",
    "compute_clip": "pipeline.one_clip",
    "enrich": "pipeline.enrich",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"saliency_engine.{_HOMES[name]}"), name)
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415  at least 25 ms, for which nobody should wait who does not ask

        return version("saliency-batch")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
