"""The option that says what raw video is, checked before any clip."""

from __future__ import annotations

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, DecodeError
from saliency_engine.types import RawFormat


def check_pixel_format(config: RunConfig) -> None:
    """Raise ``ConfigError`` where ``config.yuv_pixel_format`` is none that can be read."""
    if not config.yuv_pixel_format:
        return
    from saliency_engine.video.frame_sizes import frame_bytes  # noqa: PLC0415  a run's own process needs it only here

    try:
        frame_bytes(RawFormat(16, 16, config.yuv_pixel_format))
    except DecodeError as error:
        raise ConfigError(f"--yuv-pixel-format: {error}; give one such as yuv420p or yuv420p10le") from error
