"""What the exporter takes from the engine's report stays light."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["saliency_exporter.manifest", "saliency_engine.report.provenance"])
def test_provenance_loads_nothing_of_the_engine(module: str) -> None:
    script = (
        f"import sys, {module}\n"
        "heavy = {'numpy', 'numba', 'pyarrow', 'av', 'onnxruntime', 'openvino', 'rich', 'click', 'torch', 'onnx'}\n"
        "rooms = {'inference', 'pipeline', 'tables', 'video', 'numerics', 'jobs'}\n"
        "heavy |= {f'saliency_engine.{room}' for room in rooms}\n"
        "print(*sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert done.stdout.split() == []
