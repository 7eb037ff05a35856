"""The process in which the checkout's code runs: no network, one request, one answer.

Started as ``python -m saliency_exporter.u2netp.torch_child REQUEST ANSWER``; both are JSON files. Torch runs here only,
so that the process that writes the files never loads the checkpoint or the checkout's module.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

from saliency_engine.errors import SaliencyError
from saliency_exporter.u2netp import isolation


def main(request_path: str, answer_path: str) -> None:
    """Do what the request says; the answer holds the result, or the message of an ``error``."""
    isolated = isolation.enter_empty_namespace()  # before torch, which starts threads
    request = json.loads(Path(request_path).read_text(encoding="utf-8"))
    from saliency_exporter.u2netp import torch_export  # noqa: PLC0415  torch starts threads when it is imported

    isolation.refuse_in_python(processes=not isolated)
    try:
        answer = torch_export.export(request)
        answer["network"] = isolation.NAMESPACE if isolated else isolation.HOOK
    except SaliencyError as error:
        answer = {"error": str(error)}
    except Exception as error:  # noqa: BLE001  foreign code raises what it likes
        traceback.print_exc()
        answer = {"error": f"{type(error).__name__}: {error}"}
    Path(answer_path).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
