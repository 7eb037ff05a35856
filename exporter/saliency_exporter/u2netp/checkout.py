"""The upstream checkout: where its files are, what licence it has, and whether it is the audited one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saliency_engine.errors import ConfigError, ModelError
from saliency_engine.report.provenance import file_sha256
from saliency_exporter.licence import find_first, find_license, find_notice, read_head

AUDITED_COMMIT = "ac7e1c817ecab7c7dff5ce6b1abba61cd213ff29"
AUDITED_SHA256 = {
    "model/u2net.py": "96dd7a19c7de4f13520ccfc1075ded3350ff4946493be3561b9918a46218f415",
    "LICENSE": "c71d239df91726fc519c6eb72d318ec65820627232b2f796219e87dcf35d0ab4",
}
"""sha256 of the two files that matter, at ``AUDITED_COMMIT`` of github.com/xuebinqin/U-2-Net."""

_MODULES = ("model/u2net.py", "u2net.py")
_CHECKPOINTS = ("saved_models/u2netp/u2netp.pth", "u2netp.pth", "model/u2netp.pth")


@dataclass(frozen=True)
class Checkout:
    """An upstream checkout whose licence and commit have been checked."""

    folder: Path
    module: Path
    """The file that defines ``U2NETP``."""
    module_sha256: str
    license: Path
    license_sha256: str
    notice: Path | None
    """The NOTICE file, ``None`` where there is none."""
    commit: str
    """The commit that it must be at, 7 to 40 hex digits."""
    head: str | None
    """The git HEAD, ``None`` where the folder is not a git checkout."""
    differing: tuple[str, ...]
    """Names of the files that differ from those of ``AUDITED_COMMIT``."""

    def as_json(self) -> dict[str, Any]:
        """The manifest's part about module, licence and audit."""
        return {
            "module_path": str(self.module),
            "module_sha256": self.module_sha256,
            "license_path": str(self.license),
            "license_sha256": self.license_sha256,
            "notice_present": self.notice is not None,
            "head": self.head,
            "audit": {"commit": AUDITED_COMMIT, "differing": list(self.differing)},
        }


def open_checkout(folder: Path, commit: str, module_path: Path | None) -> Checkout:
    """Find and check the checkout's files.

    Raises ``ModelError`` when a file is missing, when the licence is not recognisably Apache-2.0, and when a git
    checkout's HEAD is not ``commit``; ``ConfigError`` when ``commit`` is not a hash.
    """
    if not re.fullmatch(r"[0-9a-f]{7,40}", commit):
        raise ConfigError(f"--upstream-commit {commit!r} is not a commit's hash: give at least its first 7 hex digits")
    if not folder.is_dir():
        raise ModelError(f"--upstream-dir {folder}: no such folder")
    license_path = find_license(folder)
    names = _MODULES if module_path is None else (str(module_path),)
    module = find_first(folder, names)
    if module is None:
        raise ModelError(f"{folder} has no {' or '.join(names)}: give the file that defines U2NETP with --module-path")
    head = read_head(folder)
    if head is not None and not head.startswith(commit):
        raise ModelError(
            f"{folder} is at commit {head}, not at --upstream-commit {commit}: check out that commit, or give the "
            "one that is checked out"
        )
    digests = {"model/u2net.py": file_sha256(module), "LICENSE": file_sha256(license_path)}
    return Checkout(
        folder=folder,
        module=module,
        module_sha256=digests["model/u2net.py"],
        license=license_path,
        license_sha256=digests["LICENSE"],
        notice=find_notice(folder),
        commit=commit,
        head=head,
        differing=tuple(name for name, value in digests.items() if value != AUDITED_SHA256[name]),
    )


def find_checkpoint(folder: Path, given: Path | None) -> Path:
    """The checkpoint: the given one, or the first where upstream keeps it. Raises ``ModelError`` without one."""
    path = find_first(folder, _CHECKPOINTS) if given is None else given
    if path is None:
        raise ModelError(f"there is no checkpoint in {folder} ({', '.join(_CHECKPOINTS)}): give it with --checkpoint")
    if not path.is_file():
        raise ModelError(f"--checkpoint {path}: no such file")
    return path
