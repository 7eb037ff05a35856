"""Which settings of a run a benchmark tries."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from saliency_engine.config import Auto, RunConfig
from saliency_engine.machine import cores

_FIELDS = {field.name: field for field in dataclasses.fields(RunConfig)}
PROVIDERS = tuple(name for name in _FIELDS["provider"].metadata["choices"] if name != "auto")
_CARDS = ("cuda", "tensorrt")
PRECISIONS: tuple[str, ...] = _FIELDS["precision"].metadata["choices"]


@dataclass(frozen=True)
class Setting:
    """One combination of options of ``run``, by their names."""

    provider: str
    precision: str
    threads: int | Auto = "auto"
    batch_size: int = 8

    def __str__(self) -> str:
        return f"{self.provider} {self.precision}, threads {self.threads}, batch size {self.batch_size}"


REFERENCE = Setting("cpu", "float32")
"""The setting with whose numbers all others are compared."""


@dataclass(frozen=True)
class Choices:
    """What to try: every combination of the lists. An empty list stands for all that suits this machine."""

    providers: Sequence[str] = ()
    precisions: Sequence[str] = ()
    threads: Sequence[int | Auto] = ()
    batch_sizes: Sequence[int] = ()
    rounds: int = 3
    """How many times every setting is timed."""
    reuse: bool = False
    """Whether --reuse is tried, too."""


def list_settings(choices: Choices, runs_on: Mapping[tuple[str, str], str]) -> list[Setting]:
    """The settings to time. ``runs_on``: for every (provider, precision) that starts here, what it really runs on."""
    settings: dict[Setting, None] = {}
    for provider, precision in itertools.product(choices.providers or PROVIDERS, choices.precisions or PRECISIONS):
        if (provider, precision) in runs_on:
            on_cpu = "CPU" in runs_on[provider, precision]
            # One value is enough where the option changes nothing: a processor runs the frames of a batch one by one,
            # and a GPU's work is not divided among threads.
            threads = choices.threads or (_thread_counts() if on_cpu else ("auto",))
            batches = choices.batch_sizes or ((8,) if on_cpu else (8, 32))
            settings |= {Setting(provider, precision, *rest): None for rest in itertools.product(threads, batches)}
    return list(settings)


def find_objection(provider: str, operators: Collection[str]) -> str:
    """Why a model with these ``operators`` is not tried with ``provider``; empty where nothing speaks against it."""
    if provider in _CARDS and "QuantizeLinear" in operators:
        return "models in int8 are not for cards: CUDA has no kernel for their biases"
    return ""


def _thread_counts() -> tuple[int | Auto, ...]:
    """All cores, half of them, and a quarter where that is 2 or more.

    Fewer may be faster: hyper-threads may be worth nothing, and decoding needs cores too.
    """
    half, quarter = cores() // 2, cores() // 4
    return ("auto", *([half] if half else []), *([quarter] if quarter >= 2 else []))
