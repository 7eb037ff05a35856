"""Installing models and verifying them, as a user does: what is in order runs by its id, all else leaves nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from onnx import helper
from tests.engine.conftest import command, sha256
from tests.in_process import stderr_of
from tests.rows import read_rows, write_clips
from tests.small_models import miniature

from saliency_engine.config import RunConfig
from saliency_engine.errors import ConfigError, ModelError, OutputError, SaliencyError
from saliency_engine.models.load import load_model
from saliency_engine.storage.atomic import PartialFile

pytestmark = pytest.mark.usefixtures("home")


def test_an_installed_model_runs_by_its_id(  # noqa: PLR0917
    tmp_path: Path, clips: dict[str, Path], mini: Path, licence: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "m.json"
    manifest.write_text(json.dumps({"outputs": {"onnx_sha256": sha256(mini)}}))
    options = ("--sha256", sha256(mini), "--license", licence, "--manifest", manifest, "--model-id", "mini_v1")
    command("models", "install", mini, *options)
    assert "Verified OK by sha256" in capsys.readouterr().out
    assert sorted(path.name for path in (home / "mini_v1").iterdir()) == [
        "entry.json",
        "licence.txt",
        "manifest.json",
        "model.onnx",
    ]
    entry = json.loads((home / "mini_v1" / "entry.json").read_text())
    assert (entry["sha256"], entry["verified"], entry["input_size"]) == (sha256(mini), {"how": "sha256"}, "48x32")
    assert (home / "mini_v1" / "licence.txt").read_text() == licence.read_text()
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    message = stderr_of(
        *("run", "--input", source, "--output", tmp_path / "out.jsonl", "--model", "mini_v1"),
        *("--audit-json", tmp_path / "audit.json", "--require-verified", "--quiet"),
    )
    assert message == ""
    (row,) = read_rows(tmp_path / "out.jsonl")
    assert (row["saliency_model_id"], row["saliency_status"]) == ("mini_v1", "ok")
    audit = json.loads((tmp_path / "audit.json").read_text())
    assert audit["model"] == {
        "id": "mini_v1",
        "source": str(home / "mini_v1" / "model.onnx"),
        "sha256": sha256(mini),
        "verified": True,
        "verified_by": {"how": "sha256"},
        "registry_entry": "mini_v1",
    }
    assert audit["run_provenance"]["inputs"]["model"]["sha256"] == sha256(mini)
    command("models", "verify", "mini_v1")
    command("models", "list")
    assert re.search(r"mini_v1 +installed +sha256 +48x32", capsys.readouterr().out)


def test_an_installed_model_that_was_changed_does_not_run(mini: Path, licence: Path, home: Path) -> None:
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    installed = home / "mini" / "model.onnx"
    installed.write_bytes(installed.read_bytes() + b"\x12\x00")
    with pytest.raises(ModelError, match="changed after it was installed"):
        load_model(RunConfig(model="mini"))
    with pytest.raises(ModelError, match="changed after it was installed"):
        command("models", "verify", "mini")


@pytest.mark.parametrize("spoiled", ["", "[]", "{}", '{"id": 7}', '{"id": "../x"}', "\0"])
def test_a_damaged_entry_harms_only_itself(
    mini: Path, licence: Path, home: Path, capsys: pytest.CaptureFixture[str], spoiled: str
) -> None:
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    (home / "mini" / "entry.json").write_text(spoiled)
    (home / "stray.txt").write_text("not a model")
    command("models", "list")
    captured = capsys.readouterr()
    assert "frequency_tuned_v1" in captured.out
    assert "entry.json cannot be used" in captured.err
    with pytest.raises(ModelError, match=r"no model 'mini' is registered.*entry\.json cannot be used"):
        load_model(RunConfig(model="mini"))
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    assert load_model(RunConfig(model="mini")).evidence is not None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "nothing to verify"),
        (["--sha256", "0" * 64], "not 0000"),
        (["--sha256", "RIGHT", "--model-id", "../mini"], "cannot be a model's id"),
        (["--sha256", "RIGHT", "--model-id", "frequency_tuned_v1"], "frequency_tuned_v1 is built in"),
        (["--sha256", "RIGHT", "--model-id", "saliency_student_v2"], "and has the sha256 8cdaa6c1"),
        (["--sha256", "RIGHT", "--manifest", "other.json"], "belongs to another model"),
        (["--sha256", "RIGHT", "--manifest", "LICENSE"], "is not the manifest of a model"),
        (["--sha256", "RIGHT", "--license", "gone.txt"], "gone.txt"),
    ],
)
def test_what_is_not_in_order_is_not_installed(
    mini: Path, licence: Path, home: Path, options: list[str], reason: str
) -> None:
    other = mini.with_name("other.json")
    other.write_text(json.dumps({"outputs": {"onnx_sha256": "0" * 64}}))
    names = {"RIGHT": sha256(mini), "other.json": str(other), "LICENSE": str(licence)}
    given = [names.get(option, option) for option in options]
    with pytest.raises(SaliencyError, match=re.escape(reason)):
        command("models", "install", mini, "--license", licence, *given)
    assert not home.exists() or list(home.iterdir()) == []


def test_a_model_that_may_not_run_is_not_installed(mini: Path, licence: Path, home: Path) -> None:
    mini.write_bytes(miniature(helper.make_node("Evil", ["conv"], ["e"], domain="evil.ops")).SerializeToString())
    with pytest.raises(ModelError, match="custom domain"):
        command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    assert not home.exists()


def test_a_model_keeps_the_id_it_bears(mini: Path, licence: Path, home: Path) -> None:
    model = miniature()
    helper.set_model_props(
        model, {"lusoris.model_id": "u2netp_mirror_v1_int8", "lusoris.parent_model_id": "u2netp_mirror_v1"}
    )
    mini.write_bytes(model.SerializeToString())
    common = ("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    with pytest.raises(ModelError, match="is the model u2netp_mirror_v1_int8 by its metadata"):
        command(*common, "--model-id", "u2netp_mirror_v1")
    command(*common)
    entry = json.loads((home / "u2netp_mirror_v1_int8" / "entry.json").read_text())
    assert (entry["variant_of"], entry["licence"]) == ("u2netp_mirror_v1", "Apache-2.0")


def test_other_bytes_never_take_an_installed_id(tmp_path: Path, mini: Path, licence: Path, home: Path) -> None:
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    other = tmp_path / "other.onnx"
    other.write_bytes(miniature(helper.make_node("Neg", ["conv"], ["n"])).SerializeToString())
    with pytest.raises(ModelError, match="mini is installed and has the sha256"):
        command("models", "install", other, "--sha256", sha256(other), "--license", licence, "--model-id", "mini")
    assert sha256(home / "mini" / "model.onnx") == sha256(mini)
    assert [path.name for path in home.iterdir()] == ["mini"]


def test_installing_is_all_or_nothing(mini: Path, licence: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fails at every write in turn: nothing half-installed, and what was installed before still runs."""
    real, calls = PartialFile.sync, [0]

    def failing(file: PartialFile) -> None:
        calls[0] -= 1
        if calls[0] < 0:
            raise OSError(28, "No space left on device")
        real(file)

    monkeypatch.setattr(PartialFile, "sync", failing)
    options = ("--sha256", sha256(mini), "--license", licence)
    for before in (False, True):
        for writes in range(6):  # each of three files is flushed when it is written, and when it gets its name
            calls[0] = writes
            with pytest.raises(OutputError, match="No space left"):
                command("models", "install", mini, *options)
            assert [path.name for path in home.iterdir()] == (["mini"] if before else [])
            if before:
                assert load_model(RunConfig(model="mini")).sha256 == sha256(mini)
        calls[0] = 99
        command("models", "install", mini, *options)


# Verify


def test_verify_needs_something_to_verify_against(mini: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="nothing to verify"):
        command("models", "verify", mini)
    command("models", "verify", mini, "--sha256", sha256(mini))
    command("models", "verify", "frequency_tuned_v1")
    assert capsys.readouterr().out.count("Verified OK") == 2
    assert "is not 64 hex digits" in stderr_of("models", "verify", mini, "--sha256", "12", code=2)
