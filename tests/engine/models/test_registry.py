"""Models by id: what is known of them and where they are looked for, as a user meets them."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.engine.conftest import command, sha256
from tests.small_models import BUILT_IN_SHA256

from saliency_engine.config import RunConfig
from saliency_engine.errors import ModelError, OutputError
from saliency_engine.models import registry
from saliency_engine.models.entry import asset
from saliency_engine.models.load import load_model

pytestmark = pytest.mark.usefixtures("home")


def test_what_is_known_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    command("models", "list")
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert all("built in" in lines[name] for name in ("saliency_open_v1", "frequency_tuned_v1"))
    assert "not installed" in lines["u2netp_mirror_v1"]
    command("models", "show", "u2netp_mirror_v1")
    entry = json.loads(capsys.readouterr().out)
    assert entry["licence"] == "Apache-2.0"
    assert entry["source"] == "https://github.com/VMAFx/vmafx/releases/download/u2netp-mirror-v1"
    assert set(entry) >= {"id", "sha256", "licence", "input_size", "preprocessing", "source", "variant_of"}


@pytest.mark.parametrize("model_id", ["saliency_open_v1", "frequency_tuned_v1"])
def test_a_built_in_entry_is_its_file(model_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    command("models", "show", model_id)
    shown = json.loads(capsys.readouterr().out)
    assert shown["sha256"] == hashlib.sha256(asset(f"{model_id}.onnx").read_bytes()).hexdigest()
    card = Path(shown["card"]).read_text(encoding="utf-8")
    assert card.startswith(f"# {model_id}\n")
    assert shown["sha256"] in card
    assert (shown["licence"], shown["state"]) == ("Apache-2.0", "built in")


def test_other_models_have_no_card(capsys: pytest.CaptureFixture[str]) -> None:
    command("models", "show", "saliency_student_v2")
    assert json.loads(capsys.readouterr().out)["card"] is None


def test_a_known_model_that_is_not_installed_says_how_to_get_it() -> None:
    with pytest.raises(ModelError, match=r"u2netp_mirror_v1 is known but not installed.*models fetch"):
        load_model(RunConfig(model="u2netp_mirror_v1"))
    with pytest.raises(
        ModelError, match="no model 'none_v1' is registered; there are: saliency_open_v1, frequency_tuned_v1"
    ):
        load_model(RunConfig(model="none_v1"))


def test_a_mistyped_id_gets_the_one_that_may_be_meant() -> None:
    with pytest.raises(ModelError, match=r"Did you mean saliency_student_v2 \(not installed\)\? Give a file"):
        load_model(RunConfig(model="saliency_studnet_v2"))
    with pytest.raises(ModelError, match=r"Did you mean frequency_tuned_v1 \(built in\)\?"):
        load_model(RunConfig(model="frequency-tuned-v1"))


def test_the_list_says_what_each_is_for_and_how_to_get_it(
    mini: Path, licence: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)
    capsys.readouterr()
    command("models", "list")
    blocks = re.split(r"^(?=\S)", capsys.readouterr().out, flags=re.MULTILINE)[2:]
    below = {block.split()[0]: [line.strip() for line in block.splitlines()[1:]] for block in blocks}
    assert below["mini"] == ["Run it with --model mini."]
    assert below["frequency_tuned_v1"][0].startswith("A baseline without weights")
    assert "saliency-batch models fetch u2netp_mirror_v1" in below["u2netp_mirror_v1"][1]
    assert "model/tiny/saliency_student_v2.onnx) and give it with --model-path" in below["saliency_student_v2"][1]


def test_without_a_home_what_is_built_in_works(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], mini: Path, licence: Path
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("SALIENCY_BATCH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", "relative/is/ignored")
    monkeypatch.setattr(Path, "home", homeless)
    assert load_model(RunConfig(model="frequency_tuned_v1")).sha256 == BUILT_IN_SHA256
    command("models", "list")
    assert "SALIENCY_BATCH_HOME" in capsys.readouterr().err
    with pytest.raises(OutputError, match="SALIENCY_BATCH_HOME"):
        command("models", "install", mini, "--sha256", sha256(mini), "--license", licence)


def test_the_model_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry.home() == tmp_path / "home" / "models"
    monkeypatch.delenv("SALIENCY_BATCH_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert registry.home() == tmp_path / "data" / "saliency-batch" / "models"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert registry.home() == tmp_path / ".local" / "share" / "saliency-batch" / "models"


@pytest.mark.parametrize("name", ["", "list", "show", "verify", "install", "fetch"])
def test_help_is_instant_and_has_an_example(name: str) -> None:
    script = (
        "import sys\nfrom saliency_engine.cli.app import main\nsys.argv[0] = 'saliency-batch'\n"
        "try:\n    main()\nfinally:\n"
        "    assert not {'numpy', 'onnxruntime', 'sigstore', 'cryptography', 'ssl', 'onnx'} & set(sys.modules)\n"
    )
    arguments = ["models", *([name] if name else []), "--help"]
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    assert "Example" in done.stdout or "Try it" in done.stdout
