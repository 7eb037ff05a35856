"""The columns of ``--extra``: numbers beside the saliency that models of quality are trained with, in groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

EXTRAS = {
    "luma": ("y_avg", "y_var", "frame_diff_mean"),
    "texture": ("luma_std", "sharpness_laplacian_var", "highfreq_abs_mean", "noise_lap_mad"),
    "spread": ("p10", "p90", "std"),
    "shots": ("shot_count_norm", "shot_mean_len_norm", "shot_cut_density"),
}
"""Group to the roles of its columns, both in output order. docs/numbers.md has the formulas."""
EXTRA_ROLES = tuple(role for roles in EXTRAS.values() for role in roles)
MEASURED = ("luma", "texture", "shots")
"""Groups for which a clip must be decoded: the others follow from what every clip's statistics hold."""
OF_FRAMES = ("luma", "texture")
"""Groups that are measured on the sampled frames."""
_PREFIX = "saliency_"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of a clip beside its saliency."""

    values: Mapping[str, float] = field(default_factory=dict)
    """By the roles of ``EXTRAS``. Of a group that was measured one may be missing that nothing tells."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Why a group could not be measured, by its name. Memos keep it for a run only."""

    def has(self, group: str) -> bool:
        """Whether the group was measured, or is known to be impossible."""
        return group in self.lacks or any(role in self.values for role in EXTRAS[group])

    def __or__(self, other: Measured) -> Measured:
        """Both; where both have something, that of ``other``."""
        return Measured({**self.values, **other.values}, {**self.lacks, **other.lacks})


NOTHING_MEASURED = Measured()


def extra_columns(groups: Iterable[str], prefix: str) -> dict[str, str]:
    """Role to column name of all columns of ``groups``, in output order.

    Under the usual prefix only those of ``spread`` have it: the others say nothing of saliency, and models look for
    them by their plain names. Any other prefix stands before all, as the rows then have other numbers, too.
    """
    wanted = set(groups)
    return {
        role: prefix + role if prefix != _PREFIX or group == "spread" else role
        for group, roles in EXTRAS.items()
        for role in roles
        if group in wanted
    }
