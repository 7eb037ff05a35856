"""The release folder: complete, consistent, and refused where its parts do not belong together."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from tests.exporter.upstream import StandIn, manifest_path, saliency_export

pytest.importorskip("torch", reason="torch is not installed (extra: export)")


def release(model: Path, checkout: Path, folder: Path) -> Result:
    inputs = ("--model", model, "--manifest", manifest_path(model), "--checkout", checkout)
    return saliency_export("release", *inputs, "--output-dir", folder)


def test_the_folder_holds_what_a_release_needs(exported: Path, stand_in: StandIn, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    folder.mkdir()  # empty: allowed
    result = release(exported, stand_in.folder, folder)
    assert result.exit_code == 0, result.stderr
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "Apache-2.0-u2netp.txt",
        "SHA256SUMS",
        "u2netp_mirror_v1.manifest.json",
        "u2netp_mirror_v1.md",
        "u2netp_mirror_v1.onnx",
    ]
    assert result.stdout.split() == [str(folder / name) for name in names]
    assert list(tmp_path.iterdir()) == [folder]
    names.remove("SHA256SUMS")
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    assert (folder / "SHA256SUMS").read_text(encoding="utf-8") == "".join(sums)
    assert (folder / "u2netp_mirror_v1.onnx").read_bytes() == exported.read_bytes()


def test_licence_and_card_say_what_apache_asks_for(exported: Path, stand_in: StandIn, tmp_path: Path) -> None:
    folder = tmp_path / "release"
    assert release(exported, stand_in.folder, folder).exit_code == 0
    manifest = json.loads((folder / "u2netp_mirror_v1.manifest.json").read_bytes())
    text = (folder / "Apache-2.0-u2netp.txt").read_text(encoding="utf-8")
    assert text.endswith((stand_in.folder / "LICENSE").read_text(encoding="utf-8").rstrip("\n") + "\n")
    for words in ("Xuebin Qin", "STATEMENT OF CHANGES", "converted to one ONNX file", "d0", "1 x 3 x 48 x 64"):
        assert words in text
    assert "holds no NOTICE file" in text
    card = (folder / "u2netp_mirror_v1.md").read_text(encoding="utf-8")
    for value in (
        manifest["outputs"]["onnx_sha256"],
        manifest["upstream"]["checkpoint_sha256"],
        manifest["upstream"]["module_sha256"],
        "`[1, 3, 48, 64]`",
        "these files differ from the audited commit: model/u2net.py, LICENSE",
        f"{manifest['parity']['max_abs_difference']:.2e}",
    ):
        assert value in card


def test_a_notice_goes_along(checkout: StandIn, tmp_path: Path) -> None:
    (checkout.folder / "NOTICE").write_text("The stand-in\nCopyright somebody\n", encoding="utf-8")
    model = tmp_path / "u2netp_mirror_v1.onnx"
    assert checkout.export(model).exit_code == 0
    assert release(model, checkout.folder, tmp_path / "release").exit_code == 0
    assert "The stand-in\nCopyright somebody" in (tmp_path / "release" / "Apache-2.0-u2netp.txt").read_text()
    (checkout.folder / "NOTICE").unlink()
    result = release(model, checkout.folder, tmp_path / "second")
    assert (result.exit_code, "disagree on whether there is a NOTICE" in result.stderr) == (2, True)


@pytest.mark.parametrize("what", ["model", "licence", "schema", "id", "folder"])
def test_parts_that_do_not_belong_together(exported: Path, checkout: StandIn, tmp_path: Path, what: str) -> None:
    model = Path(shutil.copy(exported, tmp_path / "model.onnx"))
    path = tmp_path / "model.onnx.manifest.json"
    manifest: dict[str, Any] = json.loads(manifest_path(exported).read_bytes())
    folder = tmp_path / "release"
    message = {
        "model": "is not the manifest's model",
        "licence": "is not the licence that the model was made under",
        "schema": "not a manifest of schema u2netp-mirror-export-manifest-v1",
        "id": "'../escaped'",
        "folder": "is not empty",
    }[what]
    if what == "model":
        content = bytearray(model.read_bytes())
        content[len(content) // 2] ^= 1
        model.write_bytes(content)
    elif what == "licence":
        with (checkout.folder / "LICENSE").open("a", encoding="utf-8") as file:
            file.write("\nCopyright another\n")
    elif what == "schema":
        manifest["schema"] = "another"
    elif what == "id":
        manifest["model_id"] = "../escaped"
    else:
        folder.mkdir()
        (folder / "mine").touch()
    path.write_text(json.dumps(manifest), encoding="utf-8")
    result = release(model, checkout.folder, folder)
    assert result.exit_code == 2
    assert message in result.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name != "release") == [
        "U-2-Net",
        "model.onnx",
        "model.onnx.manifest.json",
    ]
    assert [entry.name for entry in folder.iterdir()] == ["mine"] if what == "folder" else not folder.exists()
