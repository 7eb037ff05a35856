"""A stand-in for ONNX Runtime on a card: no machine of the tests has one."""

from __future__ import annotations

from typing import Any

import onnxruntime


class StandIn(onnxruntime.InferenceSession):  # type: ignore[misc]
    """Notes what is asked of a provider, and runs on the CPU."""

    asked: list[list[tuple[str, dict[str, str]]]]
    capture: bool
    stale: bool
    """A graph that has been captured gives what it gave then."""
    idle: bool
    """Bound buffers are never written to."""
    takes_operators: bool
    failure: str
    """With what runs on bound buffers fail; empty where they do not."""

    def __init__(self, data: bytes, options: Any, providers: Any, **settings: Any) -> None:
        self.wanted, self.captured = [name for name, _ in providers], set[str]()
        if self.wanted != ["CPUExecutionProvider"]:
            self.asked.append(providers)
            if providers[-1][1]["enable_cuda_graph"] == "1" and not self.capture:
                raise RuntimeError("This session cannot use the graph capture feature")
        super().__init__(data, options, providers=["CPUExecutionProvider"], **settings)

    def run_with_iobinding(self, binding: Any, options: Any = None) -> None:
        graph = options.get_run_config_entry("gpu_graph_id")
        if self.failure:
            raise RuntimeError(self.failure)
        if not self.idle and not (self.stale and graph in self.captured):
            super().run_with_iobinding(binding, options)
        if graph != "-1":
            self.captured.add(graph)

    def get_providers(self) -> list[str]:
        return self.wanted

    def get_provider_graph_assignment_info(self) -> Any:
        class Part:
            ep_name = self.wanted[0] if self.takes_operators else "CPUExecutionProvider"

            @staticmethod
            def get_nodes() -> list[int]:
                return [0]

        return [Part, Part]
