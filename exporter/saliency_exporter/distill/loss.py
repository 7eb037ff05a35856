"""How far the student's maps are from the teacher's while it is trained."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, binary_cross_entropy_with_logits

_DEPTH_WEIGHTS = (1.0, 0.4, 0.4, 0.4)
_MEAN_WEIGHT = 2.0


def measure_loss(logits: list[Tensor], maps: Tensor) -> Tensor:
    """Cross-entropy and soft IoU at every depth, and the error of each map's mean, which is what rows hold.

    ``logits``: ``[n, 1, h, w]`` each, the largest first; ``maps``: those that they should give, ``[n, 1, H, W]``.
    """
    total = logits[0].new_zeros(())
    for weight, value in zip(_DEPTH_WEIGHTS, logits, strict=True):
        goal = maps if value.shape == maps.shape else adaptive_avg_pool2d(maps, (value.shape[2], value.shape[3]))
        guess = value.sigmoid()
        both = (guess * goal).sum((1, 2, 3))
        either = (guess + goal - guess * goal).sum((1, 2, 3))
        overlap = (1 - (both + 1) / (either + 1)).mean()
        total = total + weight * (binary_cross_entropy_with_logits(value, goal) + overlap)
    error = (logits[0].sigmoid().mean((1, 2, 3)) - maps.mean((1, 2, 3))).abs().mean()
    return total + _MEAN_WEIGHT * error
