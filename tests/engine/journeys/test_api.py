"""The Python API, by its documentation."""

from __future__ import annotations

import ast
import gc
import importlib.metadata
import re
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.in_process import saliency_batch
from tests.processes import HANG

import saliency_engine
from saliency_engine import Engine, RunConfig, compute_clip, enrich
from saliency_engine.errors import ConfigError, InputError, MissingSourceError
from saliency_engine.inference.session import Session

DOCS = Path(__file__).parents[3] / "docs"


def test_the_documented_examples_run(tmp_path: Path, clips: dict[str, Path]) -> None:
    whole, example = re.findall(r"```python\n(.*?)```", (DOCS / "api.md").read_text(), re.DOTALL)
    (tmp_path / "example.py").write_text(example)
    for name, clip in (("clip1.mp4", clips["bikes"]), ("clip2.mp4", clips["carphone_pristine"])):
        (tmp_path / name).symlink_to(clip)
    for _ in range(2):  # the second time from the memo
        done = subprocess.run(
            [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=HANG
        )
        lines = [line.split() for line in done.stdout.splitlines()]
        assert [line[:2] for line in lines] == [
            ["clip1.mp4", "ok"],
            ["clip2.mp4", "ok"],
            ["gone.mp4", "missing-source"],
        ]
        assert 0.0 < float(lines[0][2]) < 1.0
    (tmp_path / "example.py").write_text(whole)
    done = subprocess.run(
        [sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=HANG
    )
    rows = ast.literal_eval(done.stdout)
    assert [(row["src"], row["saliency_status"]) for row in rows] == [tuple(line[:2]) for line in lines]
    assert rows[0]["saliency_mean"] == float(lines[0][2])
    assert done.stderr == ""


def test_what_is_exported() -> None:
    assert set(saliency_engine.__all__) == {
        *("Engine", "OneClip", "RunConfig", "__version__", "compute_clip", "enrich"),
    }
    for name in set(saliency_engine.__all__) - {"__version__"}:
        assert getattr(saliency_engine, name).__name__ == name
    assert set(saliency_engine.__all__) <= set(dir(saliency_engine))
    with pytest.raises(AttributeError, match="no attribute 'Engin'"):
        _ = saliency_engine.Engin


def test_the_version_is_the_distributions_and_costs_nothing_until_it_is_asked_for() -> None:
    script = "import sys, saliency_engine\nassert not {'importlib.metadata', 'numpy'} & set(sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", script + "print(saliency_engine.__version__)"],
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout.strip() == importlib.metadata.version("saliency-batch")


def test_batches_stream_in_order_through_one_engine(clips: dict[str, Path]) -> None:
    schema = pa.schema([("n", pa.int64()), ("src", pa.string())])
    names = list(clips.values())
    batches = [pa.record_batch([[n], [str(names[n % 4]) if n % 5 else None]], schema=schema) for n in range(20)]
    with Engine(RunConfig(model="frequency_tuned_v1", batch_size=3)) as engine:
        first = list(engine.process(batches))
        again = list(engine.process(iter(batches)))
        assert engine.counts.clips_computed == 4
    assert first == again
    assert [batch.column("n")[0].as_py() for batch in first] == list(range(20))
    for batch in first:
        (row,) = batch.to_pylist()
        assert row["saliency_status"] == ("ok" if row["n"] % 5 else "missing-source")


def test_a_caller_may_stop_early_and_go_on(clips: dict[str, Path]) -> None:
    batches = [pa.record_batch({"src": [str(clip)]}) for clip in clips.values()]
    with Engine(RunConfig(model="frequency_tuned_v1")) as engine:
        stopped = engine.process(batches)
        next(stopped)
        del stopped
        assert [batch.column("saliency_status")[0].as_py() for batch in engine.process(batches)] == ["ok"] * 4


def test_a_missing_path_column_is_named() -> None:
    with Engine(RunConfig(model="frequency_tuned_v1")) as engine, pytest.raises(InputError, match=r"'src'.*'source'"):
        list(engine.process([pa.record_batch({"source": ["a.mp4"]})]))


class Stream:
    """A table of somebody else's library, of which nothing is known but that it hands out an Arrow stream."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


def test_whatever_hands_out_an_arrow_stream_is_taken(clips: dict[str, Path]) -> None:
    names = ["bikes", "carphone_pristine", "bigbuckbunny"]
    table = pa.table({"n": [0, 1, 2], "src": pa.array([str(clips[name]) for name in names], pa.string_view())})
    pieces = [table.slice(0, 1), table.slice(1)]
    streams: list[Any] = [
        table,
        Stream(table),
        pa.concat_tables(pieces),
        table.to_reader(),
        table.to_batches()[0],
        iter([Stream(piece) for piece in pieces]),
        pieces,
    ]
    with Engine(RunConfig(model="frequency_tuned_v1")) as engine:
        expected = pa.Table.from_batches(engine.process(table.to_batches()))
        for stream in streams:
            assert pa.Table.from_batches(engine.process(stream)).combine_chunks() == expected
        for wrong in (7, [{"src": "a.mp4"}], {"src": ["a.mp4"]}):
            with pytest.raises(InputError, match="are not a table"):
                list(engine.process(wrong))  # type: ignore[arg-type]
    assert expected["saliency_status"].to_pylist() == ["ok"] * 3
    assert expected["n"].to_pylist() == [0, 1, 2]


def test_enrich_gives_the_same_rows_and_saliency(tmp_path: Path, clips: dict[str, Path]) -> None:
    table = pa.table({"clip": [str(clips["bikes"]), "gone.mp4", str(clips["bikes"])], "key": ["0012", None, "7"]})
    options = {"path_column": "clip", "root": tmp_path, "memo": tmp_path / "memo"}  # Paths, where files are named
    result = enrich(Stream(table), model="frequency_tuned_v1", **options)
    assert result.select(["clip", "key"]) == table
    assert result["saliency_status"].to_pylist() == ["ok", "missing-source", "ok"]
    assert str(tmp_path / "gone.mp4") in result["saliency_error"][1].as_py()
    assert (tmp_path / "memo").is_file()
    assert enrich(result, model="frequency_tuned_v1", **options)["saliency_mean"] == result["saliency_mean"]
    another = pa.Table.from_pylist([{"clip": str(clips["carphone_pristine"])}], result.schema)
    with pytest.raises(InputError, match="2 rows keep numbers that other settings made"):
        enrich(pa.concat_tables([result, another]), temporal_aggregator="max", model="frequency_tuned_v1", **options)
    empty = enrich(table.slice(0, 0), model="frequency_tuned_v1", path_column="clip")
    assert (empty.num_rows, empty.schema) == (0, result.schema)


def test_enrich_takes_paths_as_the_command_does(tmp_path: Path, clips: dict[str, Path]) -> None:
    for name in ("bikes", "carphone_pristine"):
        (tmp_path / f"{name}.mp4").symlink_to(clips[name])
    expected = [str(tmp_path / "bikes.mp4"), str(tmp_path / "carphone_pristine.mp4")]
    for paths in (tmp_path, str(tmp_path / "*.mp4"), [Path(path) for path in expected]):
        result = enrich(paths, model="frequency_tuned_v1", memo=tmp_path / "memo.sqlite")
        assert result["src"].to_pylist() == expected
        assert result["saliency_status"].to_pylist() == ["ok", "ok"]
    (tmp_path / "clips.csv").write_text(f"key,src\n0012,{expected[0]}\n")
    result = enrich(tmp_path / "clips.csv", model="frequency_tuned_v1", memo=tmp_path / "memo.sqlite")
    assert (result["key"].to_pylist(), result["saliency_status"].to_pylist()) == (["0012"], ["ok"])
    with pytest.raises(InputError, match=r"gone\.parquet: no such file"):
        enrich(tmp_path / "gone.parquet")


def test_a_table_that_is_done_leaves_no_model_in_memory(
    tmp_path: Path, clips: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor when Python does not look for rings of objects, as it seldom does: each model would take 70 MB more."""
    sessions: list[weakref.ref[Session]] = []
    start = Session.__init__

    def watch(self: Session, *arguments: Any, **options: Any) -> None:
        sessions.append(weakref.ref(self))
        start(self, *arguments, **options)

    monkeypatch.setattr(Session, "__init__", watch)
    gc.disable()
    try:
        enrich(pa.table({"src": [str(clips["bikes"])]}), model="frequency_tuned_v1")
        saliency_batch("run", clips["bikes"], "-o", tmp_path / "out.jsonl", "--model", "frequency_tuned_v1")
        assert [session() for session in sessions] == [None, None]
    finally:
        gc.enable()


def test_an_option_that_does_not_exist_gets_the_one_that_may_be_meant() -> None:
    with pytest.raises(ConfigError, match="unknown option 'ema_alhpa'; did you mean 'ema_alpha'"):
        enrich(pa.table({"src": ["a.mp4"]}), ema_alhpa=0.3)
    with pytest.raises(ConfigError, match="unknown option 'output'"):
        compute_clip("a.mp4", output="b")


def test_a_clip_has_its_maps_and_the_numbers_of_its_frames(clips: dict[str, Path]) -> None:
    options: dict[str, Any] = {"frame_samples": 5, "temporal_aggregator": "ema", "ema_alpha": 0.3}
    clip = compute_clip(clips["bikes"], model="frequency_tuned_v1", frame_samples=5)
    assert (clip.maps.shape, clip.frames.shape) == ((5, 320, 320), (5, 3, 320, 320))
    assert clip.means == pytest.approx(clip.maps.mean(axis=(1, 2)), rel=1e-5)
    assert clip.variances == pytest.approx(clip.maps.astype(float).var(axis=(1, 2)), rel=1e-5)
    assert clip.motion[0] == 0
    assert (clip.motion[1:] > 0).all()
    (row,) = enrich([clips["bikes"]], model="frequency_tuned_v1", **options).to_pylist()
    assert clip.summarize("ema", 0.3) == (row["saliency_mean"], row["saliency_var"])
    assert clip.combine("ema", 0.3).mean() == pytest.approx(row["saliency_mean"], rel=1e-5)
    with Engine(RunConfig(model="frequency_tuned_v1", **options)) as engine:
        assert engine.compute_clip(str(clips["bikes"])).summarize("ema", 0.3) == clip.summarize("ema", 0.3)
        with pytest.raises(MissingSourceError, match="no such file"):
            engine.compute_clip("gone.mp4")
