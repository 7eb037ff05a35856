"""What this installation can do, tried for real: ``saliency-batch doctor``."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import resource
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import pyarrow as pa
from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from saliency_engine.config import BUILT_IN_MODEL, RunConfig
from saliency_engine.errors import SaliencyError
from saliency_engine.machine import PACKAGES, cores, has_nvidia_driver
from saliency_engine.models import registry
from saliency_engine.numerics import kernels
from saliency_engine.pipeline.engine import Engine
from saliency_engine.pipeline.ring import Ring
from saliency_engine.report.terminal import printable
from saliency_engine.video.synthetic import make_small_clip

OK, NOTE, BROKEN = "ok", "note", "broken"

ADVISORIES = (
    ("CVE-2026-8461", "out-of-bounds write in the MagicYUV decoder", ((7, 1, 5), (8, 0, 3), (8, 1, 2))),
    ("CVE-2026-40962", "out-of-bounds write on encrypted MP4", ((8, 1, 0),)),
)
"""Holes in FFmpeg that a clip can reach here: number, what, and the releases that closed it, oldest branch first."""

_GIB = 2**30
_OPEN_FILES = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``state`` is ``ok``, ``note`` (works, but know this) or ``broken``."""

    name: str
    state: str
    told: str


def examine() -> list[Finding]:
    """Look at everything; nothing raises, what fails is a finding."""
    checks = (_versions, _decoder, _onnxruntime_packages, _providers, _shared_memory, _folders, _open_files)
    return [finding for check in checks for finding in _safely(check)]


def print_findings(findings: list[Finding], *, as_json: bool) -> None:
    """Print findings on stdout, as a table or as one JSON list of objects with ``name``, ``state`` and ``told``."""
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
        return
    grid = Grid(box=None, show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        style = {OK: "green", NOTE: "yellow", BROKEN: "bold red"}[finding.state]
        grid.add_row(Text(finding.state, style), finding.name, Text(printable(finding.told)))
    console = Console()
    Console(width=None if console.is_terminal else 120).print(grid)


def _safely(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    name = check.__name__.strip("_").replace("_", " ")
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001  a broken installation breaks in ways that nobody can list
        yield Finding(name, BROKEN, f"{type(error).__name__}: {error}")


def _versions() -> Iterator[Finding]:
    found = {distribution.name.lower(): distribution.version for distribution in importlib.metadata.distributions()}
    versions = [f"{name} {found[name]}" for name in PACKAGES if name in found]
    yield Finding("versions", OK, ", ".join([f"Python {platform.python_version()}", *versions]))


def _decoder() -> Iterator[Finding]:
    text = str(av.ffmpeg_version_info)
    holes = known_holes(text)
    told = f"FFmpeg {text} in PyAV {av.__version__}"
    if holes:
        told += f" has {'; '.join(holes)}: pip install -U av, unless your build has the fixes"
    yield Finding("decoder", NOTE if holes else OK, told)


def known_holes(version: str) -> list[str]:
    """The ``ADVISORIES`` that concern FFmpeg ``version`` (as it prints it, e.g. ``n8.1.1-3``); none of unknown ones."""
    match = re.match(r"n?(\d+)\.(\d+)(?:\.(\d+))?", version)
    if match is None:  # built from a commit: no release tells what is in it
        return []
    own = tuple(int(part or 0) for part in match.groups())
    return [f"{number} ({what})" for number, what, closed in ADVISORIES if not _has_fix(own, closed)]


def _has_fix(own: tuple[int, ...], closed: tuple[tuple[int, int, int], ...]) -> bool:
    return own >= closed[-1] or any(own[:2] == release[:2] and own >= release for release in closed)


def _onnxruntime_packages() -> Iterator[Finding]:
    owners = sorted(set(importlib.metadata.packages_distributions().get("onnxruntime", [])))
    if len(owners) == 1:
        yield Finding("onnxruntime packages", OK, f"one: {owners[0]}")
    else:
        cure = f"pip uninstall {' '.join(owners)}, then install one again" if owners else "pip install onnxruntime-gpu"
        told = f"{', '.join(owners) or 'none'}: several overwrite each other's files" if owners else "none installed"
        yield Finding("onnxruntime packages", BROKEN, f"{told}; {cure}")


def _providers() -> Iterator[Finding]:
    """A made clip through the whole engine, once with each library that can run a model."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_small_clip(clip)
        yield _run(clip, "cpu")
        if importlib.util.find_spec("openvino") is None:
            yield Finding("provider openvino", NOTE, "not installed: pip install 'saliency-batch[openvino]'")
        else:
            yield _run(clip, "openvino")
        if not has_nvidia_driver():
            yield Finding("provider cuda", NOTE, "no NVIDIA driver on this machine")
        else:
            yield _run(clip, "cuda")


def _run(clip: Path, provider: str) -> Finding:
    config = RunConfig(model=BUILT_IN_MODEL, provider=provider, memo="off", decode_workers=1)
    table = pa.RecordBatch.from_pydict({"src": [str(clip)]})
    try:
        with Engine(config) as engine:
            row = next(iter(engine.process([table]))).to_pylist()[0]
            ran = engine.session.provider
    except SaliencyError as error:
        return Finding(f"provider {provider}", BROKEN, str(error))
    if row["saliency_status"] != "ok":
        return Finding(f"provider {provider}", BROKEN, f"{row['saliency_status']}: {row['saliency_error']}")
    return Finding(f"provider {provider}", OK, f"decodes a made clip and runs the built-in model on {ran}")


def _shared_memory() -> Iterator[Finding]:
    needed = ring_bytes()
    ring = Ring((needed // 2,))
    ring.frames[:: 4096 // 2] = 1  # every page for real
    ring.close()
    told = f"{needed / _GIB:.2f} GiB, what a run with default options takes, can be had"
    yield Finding("shared memory", OK, told + ("; /dev/shm is not used" if ring.anonymous else ""))


def ring_bytes(side: int = 320, frames: int = 8) -> int:
    """What a run with default options puts into shared memory: two clips a worker, and two batches."""
    return (2 * cores() + 2) * frames * 3 * side * side * 2


def _folders() -> Iterator[Finding]:
    home = registry.home()
    if home is None:
        yield Finding("model folder", NOTE, "none: HOME is not set; SALIENCY_BATCH_HOME can name one")
    else:
        above = next(path for path in (home, *home.parents) if path.exists())
        state = OK if os.access(above, os.W_OK) else NOTE
        yield Finding("model folder", state, f"{home}{'' if state == OK else ': cannot be written'}")
        for problem in registry.entries()[1]:
            yield Finding("installed model", BROKEN, problem)
    temporary = Path(tempfile.gettempdir())
    free = shutil.disk_usage(temporary).free
    yield Finding("temporary folder", OK, f"{temporary}: {free / _GIB:.1f} GiB free")
    yield _kernel_cache()


def _kernel_cache() -> Finding:
    path = kernels.cache_folder()
    if path is None:
        return Finding("kernel cache", NOTE, "no folder for it can be written: every process compiles its kernels anew")
    return Finding("kernel cache", OK, str(path))


def _open_files() -> Iterator[Finding]:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = soft == resource.RLIM_INFINITY or soft >= _OPEN_FILES + 4 * cores()
    told = f"at most {soft}" if soft != resource.RLIM_INFINITY else "no limit"
    yield Finding("open files", OK if enough else BROKEN, told + ("" if enough else "; raise it with ulimit -n"))
