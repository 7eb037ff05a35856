"""The manifest of a batch: what it may say, what is wrong in it, and which options win."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engine.jobs.batches import MODEL, table, write_manifest
from tests.rows import write_rows

from saliency_engine.errors import ConfigError
from saliency_engine.jobs.batch import BatchJob, run_batch
from saliency_engine.jobs.manifest import read_manifest

WRONG = [
    ("[]", "is no object"),
    ("{", "cannot be read: Expecting property name"),
    ('{"tables": []}', "has no tables"),
    ('{"defaults": {}}', "has no tables"),
    ('{"tables": [{"input": "a", "output": "b"}]}', "table 1 has no id"),
    ('{"tables": [{"id": "", "input": "a", "output": "b"}]}', "table 1 has no id"),
    ('{"tables": [{"id": 7, "input": "a", "output": "b"}]}', "its id is no text but 7"),
    ('{"defaults": [], "tables": [{"id": "a"}]}', "defaults is []: give an object of options"),
    ('{"tables": ["a"]}', "table 1 is 'a': give an object"),
    ('{"tables": [{"id": "a", "id": "b"}]}', "'id' is given twice"),
    ('{"tables": [{"id": "a", "output": "b.jsonl"}]}', "table 'a': --input is missing"),
    ('{"tables": [{"id": "a", "input": "-", "output": "b.jsonl"}]}', "reads stdin"),
    ('{"tables": [{"id": "a", "input": "a", "output": "b", "max_frame": 1}]}', "did you mean 'max_frames'"),
    ('{"defaults": {"output": "b"}, "tables": [{"id": "a"}]}', "defaults: unknown option 'output'"),
    ('{"tables": [{"id": "a", "input": "a", "output": "b", "max_frames": 0}]}', "table 'a': --max-frames is 0"),
    (
        '{"tables": [{"id": "a", "input": "a", "output": "b"}, {"id": "a", "input": "c", "output": "d"}]}',
        "two tables have the id 'a'",
    ),
]


@pytest.mark.parametrize(("text", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_wrong_manifest_is_an_error_before_anything_runs(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(ConfigError) as error:
        run_batch(BatchJob(str(tmp_path / "m.json"), {}))
    assert str(tmp_path / "m.json") in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ([table("a"), table("b", output="out/a.jsonl")], "--output of table 'b'"),
        ([table("a"), table("b", input="out/a.jsonl")], "--input of table 'b'"),
        ([table("a"), table("b", output="a.jsonl")], "--input of table 'a'"),
        ([table("a", audit_json="m.json")], "--manifest"),
    ],
)
def test_no_file_is_written_over_another(tmp_path: Path, tables: list[dict[str, Any]], words: str) -> None:
    for name in "ab":
        write_rows(tmp_path / f"{name}.jsonl", [{"src": "x"}])
    with pytest.raises(ConfigError, match="would overwrite") as error:
        run_batch(BatchJob(write_manifest(tmp_path, tables), {}))
    assert words in str(error.value)


def test_toml_comments_paths_and_precedence(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text(
        'title = "ignored"\n[defaults]\n_why = "a comment"\nmax-frames = 4\nframe_samples = 4\n'
        'root = "clips"\nmodel_id = "mine"\nffmpeg_bin = "ffmpeg"\n'
        '[[tables]]\nid = "a"\ninput = ["a.jsonl", "/b.jsonl"]\noutput = "out/a.jsonl"\nframe_samples = 2\n'
        'memo = "off"\naudit_json = "audit.json"\n'
    )
    (entry,) = read_manifest(str(tmp_path / "m.toml"), {"max_frames": 3, "model_path": "m.onnx"})
    assert entry.job.input == (str(tmp_path / "a.jsonl"), "/b.jsonl")
    assert entry.job.audit_json == str(tmp_path / "audit.json")
    config = entry.config
    assert (config.max_frames, config.frame_samples, config.ffmpeg_bin) == (3, 2, "ffmpeg")
    assert (config.root, config.memo) == (str(tmp_path / "clips"), "off")
    assert (config.model_path, config.model_id) == ("m.onnx", "mine")  # the command line's paths start where one is
    (entry,) = read_manifest(str(tmp_path / "m.toml"), {"model": MODEL}, str(tmp_path.parent))
    assert (entry.config.model, entry.config.model_id) == (MODEL, "")
    assert entry.job.output == str(tmp_path.parent / "out/a.jsonl")
