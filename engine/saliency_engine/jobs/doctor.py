"""``saliency-batch doctor``: what works in this installation, found out by trying it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from saliency_engine.config import BUILT_IN_MODEL, RunConfig
from saliency_engine.errors import SaliencyError
from saliency_engine.machine import cores, has_nvidia_driver, onnxruntime_package, versions
from saliency_engine.models import registry
from saliency_engine.numerics import kernels
from saliency_engine.pipeline.engine import Engine
from saliency_engine.pipeline.ring import Ring, ring_slots_for
from saliency_engine.pipeline.worker import claim_open_files
from saliency_engine.report.terminal import printable
from saliency_engine.types import ClipReference, Status, decode_spec, row_batch_of
from saliency_engine.video.decode import ffmpeg_version
from saliency_engine.video.synthetic import make_small_clip

OK, NOTE, BROKEN = "ok", "note", "broken"

ADVISORIES = (
    ("CVE-2026-8461", "out-of-bounds write in the MagicYUV decoder", ((7, 1, 5), (8, 0, 3), (8, 1, 2))),
    ("CVE-2026-40962", "out-of-bounds write on encrypted MP4", ((8, 1, 0),)),
)
"""Security holes of FFmpeg that a clip can reach here: number, what it is, and the first release of every branch that
has closed it, oldest branch first."""

_GIB = 2**30
_CONSTRAINTS = Path(__file__).parent.parent / "assets" / "constraints.txt"


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of looking at one thing."""

    name: str
    state: str
    """``ok``, ``note`` (it works, but know this) or ``broken``."""
    message: str


def examine() -> list[Finding]:
    """Look at everything. Raises nothing: a check that fails is a finding."""
    checks = {
        "versions": _check_versions,
        "decoder": _check_decoder,
        "onnxruntime packages": _check_onnxruntime_packages,
        "providers": _check_providers,
        "shared memory": _check_shared_memory,
        "folders": _check_folders,
        "open files": _check_open_files,
    }
    return [finding for name, check in checks.items() for finding in _run_check(name, check)]


def print_findings(findings: list[Finding], *, as_json: bool) -> None:
    """Print findings on stdout, as a table or as one JSON list of objects with ``name``, ``state`` and ``message``."""
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
        return
    grid = Grid(box=None, show_header=False)
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in findings:
        style = {OK: "green", NOTE: "yellow", BROKEN: "bold red"}[finding.state]
        grid.add_row(Text(finding.state, style), finding.name, Text(printable(finding.message)))
    Console(width=None if Console().is_terminal else 120).print(grid)


def _run_check(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except SaliencyError as error:
        yield Finding(name, BROKEN, str(error))
    except Exception as error:  # noqa: BLE001  a broken installation breaks in ways that nobody can list
        yield Finding(name, BROKEN, f"{type(error).__name__}: {error}")


def _check_versions() -> Iterator[Finding]:
    yield Finding("versions", OK, ", ".join(f"{name} {version}" for name, version in versions().items()))
    for requirement in importlib.metadata.requires("saliency-batch") or []:
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if "extra == 'dev'" not in requirement:
            yield from _compare_with_tested(name)


def _compare_with_tested(name: str) -> Iterator[Finding]:
    """A note where the package ``name`` is newer than every version of it in constraints.txt."""
    tested = re.findall(rf"^{re.escape(name)}==(\S+)", _CONSTRAINTS.read_text(encoding="utf-8"), re.MULTILINE)
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return
    if tested and _parse_version(version) > max(map(_parse_version, tested)):
        newest = max(tested, key=_parse_version)
        cure = f"where something fails, run pip install '{name}=={newest}'"
        yield Finding(
            f"version of {name}", NOTE, f"{version} is newer than {newest}, the newest that was tested; {cure}"
        )


def _parse_version(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version.partition("+")[0])))


def _check_decoder() -> Iterator[Finding]:
    version = ffmpeg_version()
    if holes := known_holes(version):
        cure = "run pip install -U av, unless your build has the fixes"
        yield Finding("decoder", NOTE, f"FFmpeg {version} has the security holes {', '.join(holes)}; {cure}")
    else:
        yield Finding("decoder", OK, f"FFmpeg {version}")


def known_holes(version: str) -> list[str]:
    """Those ``ADVISORIES`` that concern FFmpeg ``version``, written as FFmpeg prints it, e.g. ``n8.1.1-3``.

    A version that is no release has none: nobody can tell which fixes are in it.
    """
    match = re.match(r"n?(\d+)\.(\d+)(?:\.(\d+))?", version)
    if match is None:
        return []
    own = tuple(int(part or 0) for part in match.groups())
    return [f"{number} ({what})" for number, what, closed in ADVISORIES if not _has_fix(own, closed)]


def _has_fix(own: tuple[int, ...], closed: tuple[tuple[int, int, int], ...]) -> bool:
    return own >= closed[-1] or any(own[:2] == release[:2] and own >= release for release in closed)


def _check_onnxruntime_packages() -> Iterator[Finding]:
    owners = sorted(set(importlib.metadata.packages_distributions().get("onnxruntime", [])))
    name, names = "onnxruntime packages", ", ".join(owners)
    if not owners:
        yield Finding(name, BROKEN, f"none is installed; run pip install {onnxruntime_package()}")
    elif len(owners) == 1:
        yield Finding(name, OK, f"one: {names}")
    else:
        cure = f"run pip uninstall {' '.join(owners)}, then pip install {onnxruntime_package()}"
        yield Finding(name, BROKEN, f"{names} are installed, and each overwrites files of the others; {cure}")


def _check_providers() -> Iterator[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        make_small_clip(clip)
        yield _try_provider("cpu", clip)
        if importlib.util.find_spec("openvino") is None:
            yield Finding(
                "provider openvino", NOTE, "not installed; pip install 'saliency-batch[openvino]' installs it"
            )
        else:
            yield _try_provider("openvino", clip)
        if not has_nvidia_driver():
            yield Finding("provider cuda", NOTE, "no NVIDIA driver on this machine")
        else:
            yield _try_provider("cuda", clip)


def _try_provider(provider: str, clip: Path) -> Finding:
    """A clip through the whole engine, in which ``provider`` runs the model."""
    name = f"provider {provider}"
    try:
        with Engine(RunConfig(model=BUILT_IN_MODEL, provider=provider, memo="off", decode_workers=1)) as engine:
            ((_, (result,)),) = engine.results([row_batch_of([ClipReference(str(clip))])])
            runs_on = engine.session.provider
    except SaliencyError as error:
        return Finding(name, BROKEN, str(error))
    if result.status is not Status.OK:
        return Finding(name, BROKEN, f"{result.status}: {result.reason}")
    return Finding(name, OK, f"decodes a small clip and runs the built-in model on {runs_on}")


def _check_shared_memory() -> Iterator[Finding]:
    config = RunConfig(model=BUILT_IN_MODEL)
    spec = decode_spec(config, *config.model_width_height)
    ring = Ring((ring_slots_for(spec, cores(), config.batch_size), *spec.shape))
    ring.frames.reshape(-1)[:: 4096 // 2] = 1  # every page for real
    ring.close()
    message = f"a run with default options takes {ring.frames.nbytes / _GIB:.2f} GiB, and there is as much"
    yield Finding("shared memory", OK, message + ("; /dev/shm is not used" if ring.anonymous else ""))


def _check_folders() -> Iterator[Finding]:
    home = registry.home()
    if home is None:
        yield Finding("model folder", NOTE, "there is none, because HOME is not set; SALIENCY_BATCH_HOME can name one")
    else:
        above = next(path for path in (home, *home.parents) if path.exists())
        state = OK if os.access(above, os.W_OK) else NOTE
        yield Finding("model folder", state, f"{home}{'' if state == OK else ' cannot be written'}")
        for problem in registry.entries()[1]:
            yield Finding("installed model", BROKEN, problem)
    temporary = Path(tempfile.gettempdir())
    free = shutil.disk_usage(temporary).free
    yield Finding("temporary folder", OK, f"{temporary}: {free / _GIB:.1f} GiB free")
    cache = kernels.cache_folder()
    if cache is None:
        message = "no folder for it can be written, so every process compiles its kernels again"
        yield Finding("kernel cache", NOTE, message)
    else:
        yield Finding("kernel cache", OK, cache)


def _check_open_files() -> Iterator[Finding]:
    claim_open_files(cores())
    yield Finding("open files", OK, "the limit is high enough for a run with default options")
