"""Whether what detects shots is there: decoding processes import it, and this one only looks."""

from __future__ import annotations

from importlib.util import find_spec

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError


def check_detector(config: RunConfig) -> None:
    """Raise ``ConfigError`` where ``config`` wants shots and PySceneDetect, or the OpenCV it needs, is missing."""
    if "shots" in config.extra and not (find_spec("scenedetect") and find_spec("cv2")):
        raise ConfigError("--extra shots needs PySceneDetect: pip install 'saliency-batch[shots]'")
