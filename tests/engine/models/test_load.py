"""Which bytes run: hashes, and what a graph may hold, as a user meets them."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from tests.engine.conftest import command, sha256
from tests.in_process import stderr_of
from tests.rows import write_clips, write_rows
from tests.small_models import BUILT_IN_SHA256, miniature

from saliency_engine.config import RunConfig, load_options, split_options
from saliency_engine.errors import ConfigError, ModelError
from saliency_engine.models.load import load_model

pytestmark = pytest.mark.usefixtures("home")


# Hash: registry, --model-sha256, neither


def test_a_registered_models_bytes_are_verified_by_their_hash(models: Path, tmp_path: Path) -> None:
    built_in = load_model(RunConfig(model="frequency_tuned_v1", require_verified=True))
    assert (built_in.sha256, built_in.as_json()["verified_by"]) == (BUILT_IN_SHA256, {"how": "registry"})
    renamed = tmp_path / "mine.onnx"
    renamed.write_bytes((models / "saliency_student_v2.onnx").read_bytes())
    student = load_model(RunConfig(model_path=str(renamed), require_verified=True))
    assert (student.model_id, student.as_json()["registry_entry"]) == ("mine", "saliency_student_v2")


def test_other_bytes_under_a_registered_id_are_refused(tmp_path: Path, mini: Path) -> None:
    path = tmp_path / "saliency_student_v2.onnx"
    path.write_bytes(mini.read_bytes())
    with pytest.raises(ModelError, match=f"sha256 {sha256(mini)}, but the registry's saliency_student_v2 is 8cdaa6c1"):
        load_model(RunConfig(model_path=str(path)))
    assert not load_model(RunConfig(model_path=str(path), model_id="mine")).as_json()["verified"]


@pytest.mark.parametrize("model_id", ["saliency_student_v2", "u2netp_mirror_v1"])
def test_a_registered_id_is_not_given_to_another_model(model_id: str, mini: Path) -> None:
    configs = (
        RunConfig(model="frequency_tuned_v1", model_id=model_id),
        RunConfig(model_path=str(mini), model_id=model_id),
    )
    for config in configs:
        with pytest.raises(ModelError, match="two models must not share an id in the rows"):
            load_model(config)


def test_a_name_that_is_no_text_is_no_id(tmp_path: Path, mini: Path) -> None:
    path = tmp_path / os.fsdecode(b"mini\xff.onnx")
    path.write_bytes(mini.read_bytes())
    with pytest.raises(ModelError, match=r"does not state a model's id, .* is not UTF-8: rename the file"):
        load_model(RunConfig(model_path=str(path)))
    assert load_model(RunConfig(model_path=str(path), model_id="mine")).model_id == "mine"
    model = onnx.load(mini)
    helper.set_model_props(model, {"lusoris.model_id": "mini"})
    path.write_bytes(model.SerializeToString())
    assert load_model(RunConfig(model_path=str(path))).model_id == "mini"


def test_the_id_inside_a_file_is_that_of_its_rows(tmp_path: Path, mini: Path) -> None:
    model = onnx.load(mini)
    helper.set_model_props(model, {"lusoris.model_id": "u2netp_mirror_v1"})
    path = tmp_path / "renamed.onnx"
    onnx.save(model, path)
    assert load_model(RunConfig(model_path=str(path))).model_id == "u2netp_mirror_v1"
    assert load_model(RunConfig(model_path=str(path), model_id="u2netp_mirror_v1")).model_id == "u2netp_mirror_v1"
    assert load_model(RunConfig(model_path=str(path), model_id="mine")).model_id == "mine"
    helper.set_model_props(model, {"lusoris.model_id": "u2netp_mirror_v1_int8"})
    onnx.save(model, tmp_path / "u2netp_mirror_v1.onnx")
    variant = RunConfig(model_path=str(tmp_path / "u2netp_mirror_v1.onnx"))
    assert load_model(variant).model_id == "u2netp_mirror_v1_int8"
    with pytest.raises(ModelError, match=r"says that it is u2netp_mirror_v1_int8 .* u2netp_mirror_v1 is the id of a"):
        load_model(dataclasses.replace(variant, model_id="u2netp_mirror_v1"))


@pytest.mark.parametrize("spell", [str.lower, str.upper])
def test_the_users_hash_verifies(mini: Path, spell: Callable[[str], str]) -> None:
    config = RunConfig(model_path=str(mini), model_sha256=spell(sha256(mini)), require_verified=True)
    assert load_model(config).as_json()["verified_by"] == {"how": "sha256"}


def test_one_flipped_bit_of_model_or_hash_is_refused_naming_both(mini: Path) -> None:
    right = sha256(mini)
    wrong = f"{int(right[0], 16) ^ 1:x}{right[1:]}"
    with pytest.raises(ModelError, match=f"has the sha256 {right}, not {wrong}"):
        load_model(RunConfig(model_path=str(mini), model_sha256=wrong))
    data = bytearray(mini.read_bytes())
    data[len(data) // 2] ^= 1
    mini.write_bytes(data)
    with pytest.raises(ModelError, match=f"has the sha256 {sha256(mini)}, not {right}"):
        load_model(RunConfig(model_path=str(mini), model_sha256=right))


def test_unverified_is_said_once_and_can_be_forbidden(tmp_path: Path, clips: dict[str, Path], mini: Path) -> None:
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    common = ("run", "--input", source, "--output", tmp_path / "out.jsonl", "--model-path", mini, "--quiet")
    message = stderr_of(*common, "--audit-json", tmp_path / "a.json")
    assert message.count("not verified") == 1
    assert f"--model-sha256 {sha256(mini)}" in message
    audit = json.loads((tmp_path / "a.json").read_text())
    assert (audit["model"]["verified"], audit["model"]["sha256"]) == (False, sha256(mini))
    with pytest.raises(ModelError, match="--require-verified"):
        command(*common, "--require-verified")
    assert stderr_of(*common, "--model-sha256", sha256(mini), "--require-verified") == ""


def test_a_hash_that_is_none_is_a_wrong_option() -> None:
    with pytest.raises(ConfigError, match="--model-sha256 is 'abc': give all 64 hex digits"):
        RunConfig(model_path="m.onnx", model_sha256="abc")


def test_only_files_are_models(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    for name in ("pipe.onnx", "", "gone.onnx"):
        with pytest.raises(ModelError, match="cannot read the model"):
            load_model(RunConfig(model_path=str(tmp_path / name)))


# Graph


@pytest.mark.parametrize("how", ["parent", "symlink", "hard link"])
def test_weights_in_another_file_are_refused_however_they_are_reached(tmp_path: Path, how: str) -> None:
    secret, folder = tmp_path / "secret.bin", tmp_path / "model"
    secret.write_bytes(np.full(27, 0.1, np.float32).tobytes())
    folder.mkdir()
    location = "../secret.bin" if how == "parent" else "weights.bin"
    if how == "symlink":
        (folder / location).symlink_to(secret)
    elif how == "hard link":
        (folder / location).hardlink_to(secret)
    model = miniature()
    onnx.external_data_helper.set_external_data(model.graph.initializer[0], location)
    model.graph.initializer[0].ClearField("raw_data")
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"m\.onnx is refused: .*external data"):
        load_model(RunConfig(model_path=str(folder / "m.onnx")))


def test_a_custom_domain_is_refused(tmp_path: Path, mini: Path) -> None:
    mini.write_bytes(miniature(helper.make_node("Evil", ["conv"], ["e"], domain="evil.ops")).SerializeToString())
    source = write_rows(tmp_path / "in.jsonl", [{"src": "a.mp4"}])
    message = stderr_of("run", "--input", source, "--output", tmp_path / "out.jsonl", "--model-path", mini, code=2)
    assert "custom domain 'evil.ops'" in message
    assert not (tmp_path / "out.jsonl").exists()


def test_an_unlisted_operator_is_named_and_can_be_admitted(tmp_path: Path, clips: dict[str, Path], mini: Path) -> None:
    extra = [helper.make_node("Sin", ["conv"], ["s"]), helper.make_node("Cos", ["conv"], ["c"])]
    mini.write_bytes(miniature(*extra).SerializeToString())
    source = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    common = ("run", "--input", source, "--output", tmp_path / "out.jsonl", "--model-path", mini)
    (tmp_path / "a.toml").write_text('allow-op = ["Sin", "Cos"]\n')
    for options, reason in (
        ((), "unsupported op Cos, Sin: .* --allow-op Cos --allow-op Sin"),
        (("--allow-op", "Sin"), "unsupported op Cos: "),
        (("--config", tmp_path / "a.toml", "--allow-op", "Cos"), "unsupported op Sin: "),
    ):
        with pytest.raises(ModelError, match=reason):
            command(*common, *options)
    stderr_of(*common, "--allow-op", "Sin", "--allow-op", "Cos")
    assert load_model(RunConfig(model_path=str(mini), **load_options(tmp_path / "a.toml"))).sha256 == sha256(mini)


@pytest.mark.parametrize("value", ['"Sin"', "[1]", "true"])
def test_a_list_in_a_file_must_be_one(tmp_path: Path, value: str) -> None:
    (tmp_path / "a.toml").write_text(f'allow-op = {value}\nmodel = "m"\n')
    with pytest.raises(ConfigError, match=r"--allow-op .*: give a list of texts"):
        split_options({**load_options(tmp_path / "a.toml"), "input": "a.jsonl", "output": "b.jsonl"})
