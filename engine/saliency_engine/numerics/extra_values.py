"""From a clip's statistics to the numbers of ``--extra``."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from saliency_engine.extras import EXTRAS
from saliency_engine.types import ClipStatistics


def extra_values(statistics: ClipStatistics, groups: Collection[str]) -> tuple[tuple[str, float], ...]:
    """The numbers of ``groups`` by role, in output order; those that were not measured are left out.

    ``p10``, ``p90`` and ``std`` are percentiles (linear between the nearest two) and population standard deviation of
    the frames' map means, as ``aggregate_clip_stats`` of VMAFx's ``ai/data/feature_extractor.py`` pools other
    features. ``frame_diff_mean`` is in 8-bit code values; 0 where there is one frame.
    """
    if not groups:
        return ()
    values = dict(statistics.extras.values)
    motion = statistics.motion[1:]
    values["frame_diff_mean"] = float(255 * motion.mean()) if len(motion) else 0.0
    low, high = np.percentile(statistics.means, (10, 90))
    values |= {"p10": float(low), "p90": float(high), "std": float(statistics.means.std())}
    wanted = (role for group, roles in EXTRAS.items() if group in groups for role in roles)
    return tuple((role, values[role]) for role in wanted if role in values)
