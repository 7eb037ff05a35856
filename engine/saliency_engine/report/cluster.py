"""How the engines of a cluster are doing, and did."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from saliency_engine.pipeline.far_work import EngineState

_SHOWN = ("decode", "infer")
"""The stages that tell what a node is busy with."""


def cluster_of(states: Iterable[EngineState]) -> dict[str, Any]:
    """The audit's part about a cluster: each node's actors, clips and failures, and how busy each stage was."""
    by_node: dict[str, list[EngineState]] = {}
    for state in states:
        by_node.setdefault(state.node, []).append(state)
    nodes = [
        {
            "node": node,
            "actors": len(those),
            "clips": sum(state.clips for state in those),
            "failed": sum(state.failed for state in those),
            "threads": sum(state.threads for state in those),
            "decode_workers": sum(state.decode_workers for state in those),
            "stages": _stages_of(those),
        }
        for node, those in sorted(by_node.items())
    ]
    return {"nodes": nodes, "stages": _stages_of([state for those in by_node.values() for state in those])}


def _stages_of(states: list[EngineState]) -> dict[str, dict[str, float]]:
    """Seconds that each stage was busy in all of the engines, and its share of their time."""
    names = dict.fromkeys(name for state in states for name in state.seconds)
    stages = {}
    for name in names:
        seconds = sum(state.seconds.get(name, 0.0) for state in states)
        time = sum(state.elapsed * (state.decode_workers if name == "decode" else 1) for state in states)
        stages[name] = {"seconds": round(seconds, 3), "share": round(seconds / max(time, 1e-9), 4)}
    return stages


def describe_busy(cluster: dict[str, Any]) -> str:
    """For people: how busy decoding and model were, such as ``decode 93%, infer 41%``."""
    stages = cluster["stages"]
    return ", ".join(f"{name} {stages[name]['share']:.0%}" for name in _SHOWN if name in stages)


def describe_nodes(cluster: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Lines of a summary: the cluster, and each node with what it did."""
    nodes = cluster["nodes"]
    if not nodes:
        yield "cluster", "not needed: the memo knows every clip that there is"
        return
    actors = sum(node["actors"] for node in nodes)
    yield "cluster", f"{actors} actors on {len(nodes)} nodes: {describe_busy(cluster)} busy"
    for node in nodes:
        failed = f", {node['failed']} failed" if node["failed"] else ""
        yield "  node", f"{node['node']}: {node['clips']} clips{failed}"
