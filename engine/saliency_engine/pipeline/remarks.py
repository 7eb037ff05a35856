"""What the row of a clip that is ok says of it: that something is missing."""

from __future__ import annotations

from collections.abc import Collection

from saliency_engine.samplings import Keyframes
from saliency_engine.types import ClipStatistics, DecodeSpec


def describe_lack(statistics: ClipStatistics, spec: DecodeSpec, groups: Collection[str]) -> str | None:
    """The note of an ``ok`` clip that gave fewer frames than ``spec`` asks for, or not all of the columns of
    ``groups``; ``None`` where nothing is missing.
    """
    notes = []
    # Fewer keyframes are what there is, and the sampling tag says so.
    if len(statistics.means) < spec.frames_per_clip and not isinstance(spec.sampling, Keyframes):
        # Clips with too few frames have failed, unless they are accepted: what is left are frames of uneven length.
        why = "" if spec.accept_short else ": some are shown so long that they are due more than once"
        notes.append(f"computed from {len(statistics.means)} of {spec.frames_per_clip} frames{why}")
    lacks = statistics.extras.lacks
    notes += [f"--extra {group} could not be measured: {lacks[group]}" for group in lacks if group in groups]
    return "; ".join(notes) or None
