"""Settings of a run that a benchmark tries, and which of them suit a machine."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from saliency_engine.config import Auto, RunConfig
from saliency_engine.machine import cores

_FIELDS = {field.name: field for field in dataclasses.fields(RunConfig)}
PROVIDERS = tuple(name for name in _FIELDS["provider"].metadata["choices"] if name != "auto")
PRECISIONS: tuple[str, ...] = _FIELDS["precision"].metadata["choices"]


@dataclass(frozen=True)
class Setting:
    """What is tried: options of ``run`` by the same names."""

    provider: str
    precision: str
    threads: int | Auto = "auto"
    batch_size: int = 8

    def __str__(self) -> str:
        return f"{self.provider} {self.precision}, threads {self.threads}, batch {self.batch_size}"


REFERENCE = Setting("cpu", "float32")


@dataclass(frozen=True)
class Asked:
    """What to try, every combination of it, so many ``rounds``; an empty list: whatever suits this machine."""

    providers: Sequence[str] = ()
    precisions: Sequence[str] = ()
    threads: Sequence[int | Auto] = ()
    batch_sizes: Sequence[int] = ()
    rounds: int = 3


def grid(asked: Asked, runs_on: Mapping[tuple[str, str], str]) -> list[Setting]:
    """The settings to time, of the providers and precisions that start here: what they really run on by their names."""
    settings: dict[Setting, None] = {}
    for provider, precision in itertools.product(asked.providers or PROVIDERS, asked.precisions or PRECISIONS):
        if (provider, precision) in runs_on:
            on_cpu = "CPU" in runs_on[provider, precision]
            # A processor runs the frames of a batch one by one, and a GPU's work is not divided among threads.
            threads = asked.threads or (_thread_counts() if on_cpu else ("auto",))
            batches = asked.batch_sizes or ((8,) if on_cpu else (8, 32))
            settings |= {Setting(provider, precision, *rest): None for rest in itertools.product(threads, batches)}
    return list(settings)


def _thread_counts() -> tuple[int | Auto, ...]:
    """All cores, half, and a quarter of many: hyper-threads may be worth nothing, and decoding needs cores, too."""
    half, quarter = cores() // 2, cores() // 4
    return ("auto", *([half] if half else []), *([quarter] if quarter >= 2 else []))
