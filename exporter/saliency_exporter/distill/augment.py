"""What is changed about a frame before the student sees it, so that it learns what does not matter."""

from __future__ import annotations

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from saliency_engine.numerics.normalize import IMAGENET_MEAN, IMAGENET_STD

_MEAN, _STD = (torch.tensor(values).reshape(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
_CROPPED = 0.5
LEAST_SHARE = 0.75
"""Of a frame's height and width that is seen: below this, what stands out in the crop is no more what stands out in the
frame. With crops of 0.7 and more, U-2-Net's maps of the crops correlate 0.84 with its maps of the frames, cropped."""
LEAST_SHARE_TAUGHT = 0.5
"""The same where the teacher sees the crops itself."""


def augment(
    frame: NDArray[np.uint8],
    heat: NDArray[np.float16] | None,
    size: tuple[int, int],
    least_share: float,
    rng: np.random.Generator,
) -> tuple[Tensor, Tensor]:
    """A frame ``[3, H, W]`` and its map ``[H, W]``, cropped, flipped and scaled to ``size``; the frame disturbed, too.

    Both are float32 in [0, 1], ``[3, h, w]`` and ``[1, h, w]``. Without a map the second is ``[0, h, w]``.
    """
    height, width = frame.shape[1:]
    share = rng.uniform(least_share, 1, 2) if rng.random() < _CROPPED else np.ones(2)
    rows, columns = round(height * share[0]), round(width * share[1])
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    part = np.s_[top : top + rows, left : left + columns]
    planes = [torch.from_numpy(frame[:, *part] / np.float32(255))]
    if heat is not None:
        planes.append(torch.from_numpy(heat[part].astype(np.float32))[None])
    both = interpolate(torch.cat(planes)[None], size, mode="bilinear", align_corners=False, antialias=True)[0]
    if rng.random() < 0.5:
        both = both.flip(-1)
    return _disturb(both[:3], rng), both[3:]


def normalize(pictures: Tensor) -> Tensor:
    """R'G'B' in [0, 1], ``[..., 3, h, w]``, as the model takes it."""
    return (pictures - _MEAN.to(pictures.device)) / _STD.to(pictures.device)


def _disturb(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Other light, colours, sharpness and noise, and what a codec leaves: each now and then. All in [0, 1]."""
    if rng.random() < 0.8:
        gains = torch.from_numpy(rng.uniform(0.75, 1.25) * rng.uniform(0.9, 1.1, (3, 1, 1))).float()
        picture = (picture * gains + rng.uniform(-0.1, 0.1)).clamp(0, 1) ** rng.uniform(0.7, 1.5)
        grey = picture.mean(0, keepdim=True)
        picture = grey + (picture - grey) * (0.0 if rng.random() < 0.05 else rng.uniform(0.5, 1.4))
    if rng.random() < 0.15:
        small = interpolate(picture[None], scale_factor=rng.uniform(0.3, 0.8), mode="bilinear", antialias=True)
        picture = interpolate(small, picture.shape[1:], mode="bilinear")[0]
    if rng.random() < 0.25:
        picture = picture + torch.from_numpy(rng.normal(0, rng.uniform(0.01, 0.06), picture.shape)).float()
    picture = picture.clamp(0, 1)
    return _compress(picture, int(rng.integers(20, 90))) if rng.random() < 0.25 else picture


def _compress(picture: Tensor, quality: int) -> Tensor:
    file = io.BytesIO()
    pixels = (picture * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1).float() / 255
