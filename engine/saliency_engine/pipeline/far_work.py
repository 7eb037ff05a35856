"""What travels between a run and the engines that compute for it on other machines. All of it is frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from saliency_engine.errors import ClipError
from saliency_engine.types import ClipRequest, ClipStatistics


@dataclass(frozen=True, slots=True)
class Known:
    """What the memo has of a clip for one model, and whether the model's numbers of it are wanted."""

    wanted: bool
    statistics: ClipStatistics | None = None
    """``None``: nothing. Else some of ``--extra`` may be missing, for which the model does not run again."""


@dataclass(frozen=True, slots=True)
class ClipWork:
    """A clip to be computed, as the run has located it."""

    request: ClipRequest
    key: bytes
    """The key that the memo has for it under the run's first model."""
    models: tuple[Known, ...]
    """One for each of the run's models, in their order."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What became of a clip for one model."""

    request: ClipRequest
    model: int
    """Which of the run's models."""
    outcome: ClipStatistics | ClipError


@dataclass(frozen=True, slots=True)
class EngineState:
    """How a far engine is doing."""

    actor: str
    """No other engine of the run has it."""
    node: str
    """Where it is, for people."""
    threads: int
    decode_workers: int
    clips: int
    """How many it has computed so far, or failed to."""
    failed: int
    elapsed: float
    """Seconds since it was made."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """How long each of its stages was busy."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a far engine cannot go on: an error that is no clip's fault."""

    kind: str
    """The name of one of ``errors``."""
    reason: str
    trace: str = ""
    """The traceback there, of a mistake of ours."""


@dataclass(frozen=True, slots=True)
class WorkDone:
    """What a far engine sends back for some clips."""

    node: str
    """The machine, for people."""
    state: EngineState | None
    """``None`` where the engine has not started."""
    computed: tuple[Computed, ...] = ()
    absent: tuple[ClipRequest, ...] = ()
    """The clips that are not there, on that machine, as the run has located them."""
    fault: Fault | None = None
