"""Makes pictures to train on: crops of photographs, objects pasted on them, and both as cameras and codecs spoil them.

Every function draws from the generator that it is given, so the same files make the same pictures.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

SIDE = 320
"""Width and height in pixels: the size to which the engine squeezes a frame."""
SHAPES = (16 / 9, 16 / 9, 16 / 9, 4 / 3, 4 / 3, 1.85, 3 / 2, 1.0, 3 / 4, 9 / 16)
"""Aspects of a crop, width to height, each as often as it stands here; a picture is squeezed from these to a square."""
SMALLEST = 190
"""The least number of pixels that a smaller crop's share of the picture's shorter side may be: fewer would be a blur.

The aspect is applied afterwards, so that a crop's own shorter side may have about half as many. The whole picture is
taken whatever its size.
"""


def squeezed(image: Image.Image) -> Image.Image:
    return image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def crop(image: Image.Image, scale: float, rng: random.Random) -> Image.Image:
    """A crop with the given share of the largest one of a drawn aspect, at a drawn place."""
    aspect = rng.choice(SHAPES)
    if scale == 1.0 and 0.5 <= image.width / image.height <= 2.0:
        aspect = image.width / image.height
    width = min(image.width, image.height * aspect) * scale
    height = width / aspect
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    return image.crop((round(left), round(top), round(left + width), round(top + height)))


def crops(image: Image.Image, rng: random.Random, most: int, largest: float = 1.0) -> Iterator[Image.Image]:
    """The whole picture, and as many smaller crops as its resolution carries.

    With ``largest`` below 1 a crop of at least this share stands in the whole picture's place.
    """
    for scale in (1.0, 0.8, 0.6, 0.4, 0.6, 0.25, 0.4, 0.8, 0.25, 0.4, 0.6, 0.25, 0.5, 0.3)[:most]:
        if scale == 1.0:
            yield crop(image, 1.0 if largest == 1 else rng.uniform(largest, 1), rng)
            continue
        drawn = scale * rng.uniform(0.92, 1.0)
        if drawn * min(image.size) >= SMALLEST:
            yield crop(image, drawn, rng)


def background(image: Image.Image, rng: random.Random) -> Image.Image:
    """A crop on a canvas of about 288 lines, blurred in two of five cases, to paste objects on."""
    scale = rng.uniform(min(1.0, SMALLEST / min(image.size)), 1.0)
    part = crop(image, scale, rng).convert("RGB")
    height = 288
    part = part.resize((max(144, round(height * part.width / part.height)), height), Image.Resampling.LANCZOS)
    if rng.random() < 0.4:
        part = part.filter(ImageFilter.GaussianBlur(rng.uniform(1.0, 7.0)))
    return part


def cut_out(stamp: Image.Image) -> Image.Image:
    """The stamp as RGBA without its transparent margin."""
    image = stamp.convert("RGBA")
    return image.crop(image.getchannel("A").point(lambda value: 255 if value > 8 else 0).getbbox())


def paste(canvas: Image.Image, stamp: Image.Image, share: float, rng: random.Random) -> None:
    """Pastes the stamp at ``share`` of the canvas's height, mirrored, turned, lit and softened as drawn."""
    image = cut_out(stamp)
    height = min(share * canvas.height, 1.7 * image.height, 0.9 * canvas.width * image.height / image.width)
    width = max(4, round(image.width * height / image.height))
    image = image.resize((width, max(4, round(height))), Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.3:
        image = image.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True)
    alpha = image.getchannel("A").filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.3)))
    colour = ImageEnhance.Brightness(image.convert("RGB")).enhance(rng.uniform(0.7, 1.2))
    colour = ImageEnhance.Color(colour).enhance(rng.uniform(0.7, 1.15))
    beyond = 0.15 if rng.random() < 0.2 else 0.0
    left = rng.uniform(-beyond * width, canvas.width - (1 - beyond) * width)
    lowest = canvas.height - (1 - beyond) * image.height
    top = rng.triangular(-beyond * image.height, lowest, canvas.height * 0.9 - height)
    canvas.paste(colour, (round(left), round(top)), alpha)


def composite(back: Image.Image, stamps: list[Image.Image], rng: random.Random) -> Image.Image:
    """One to four of the stamps, the first the largest, on a crop of the photograph."""
    canvas = background(back, rng)
    count = min(len(stamps), rng.choice((1, 1, 1, 2, 2, 3, 4)))
    shares = sorted((rng.triangular(0.1, 0.9, 0.4) / (1 if n == 0 else 1.4) for n in range(count)), reverse=True)
    for stamp, share in zip(rng.sample(stamps, count), shares, strict=True):
        paste(canvas, stamp, share, rng)
    return canvas


def spoiled(image: Image.Image, rng: random.Random) -> tuple[Image.Image, str]:
    """The picture as a codec, a lens or a dark room leaves it, and the name of what was done."""
    kind = rng.choice(("jpeg", "jpeg", "blur", "dark", "noise", "small"))
    if kind == "blur":
        return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.7, 2.5))), kind
    if kind == "small":
        side = rng.randint(90, 180)
        return image.resize((side, side), Image.Resampling.BILINEAR).resize(image.size, Image.Resampling.BICUBIC), kind
    pixels = np.asarray(image, dtype=np.float32) / 255
    if kind == "dark":
        pixels = pixels ** rng.uniform(1.3, 2.2) * rng.uniform(0.35, 0.8)
    if kind in ("dark", "noise"):
        normal = np.random.default_rng(rng.getrandbits(32)).standard_normal(pixels.shape, dtype=np.float32)
        pixels = pixels + normal * rng.uniform(0.01, 0.03 if kind == "dark" else 0.1)
        return Image.fromarray((pixels.clip(0, 1) * 255).round().astype(np.uint8)), kind
    packed = io.BytesIO()
    image.save(packed, "JPEG", quality=rng.randint(6, 35))
    return Image.open(packed).convert("RGB"), kind
