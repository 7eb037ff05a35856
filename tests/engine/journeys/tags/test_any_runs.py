"""Tags that cannot lie: what stands beside a number is what made it, whatever runs went over the table."""

from __future__ import annotations

import itertools
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.engine.journeys.tags.runs import FORMATS, enrich, read

from saliency_engine.config import RunConfig
from saliency_engine.errors import InputError
from saliency_engine.pipeline.engine import Engine
from saliency_engine.tables.sampling_tag import parse_sampling
from saliency_engine.tags import TAG_ROLES, Tags

SETTINGS: list[dict[str, Any]] = [
    {"temporal_aggregator": "ema", "ema_alpha": 0.3},
    {"temporal_aggregator": "ema"},
    {"temporal_aggregator": "max"},
    {"temporal_aggregator": "mean", "ema_alpha": 0.3},
    {"sampling": "uniform", "frame_samples": 3},
    {"max_frames": 4},
    {"temporal_aggregator": "ema", "max_frames": 4, "frame_samples": 2},
]


NUMBERS = [("saliency_mean", "saliency_var", "saliency_"), ("m", "v", "saliency_"), ("v_mean", "v_var", "v_")]


@pytest.fixture(scope="module")
def fresh() -> dict[tuple[str, Tags], tuple[float, float]]:
    """What fresh runs gave, by clip and tags."""
    return {}


@pytest.mark.parametrize("seed", range(3))
def test_after_any_runs_every_number_is_that_of_its_own_tags(
    seed: int,
    tmp_path: Path,
    clips: dict[str, Path],
    other_model: Path,
    fresh: dict[tuple[str, Tags], tuple[float, float]],
) -> None:
    generator = random.Random(seed)
    table, source = tmp_path / f"table.{FORMATS[seed % 3]}", tmp_path / "in.jsonl"
    originals = {"a.mp4": clips["bikes"], "b.mp4": clips["carphone_pristine"]}
    for name, original in originals.items():
        shutil.copyfile(original, tmp_path / name)
    names = [*originals, "never.mp4"] * 2
    source.write_text("".join(json.dumps({"src": name, "n": n}) + "\n" for n, name in enumerate(names)))
    models: list[dict[str, Any]] = [{"model": "frequency_tuned_v1"}, {"model_path": str(other_model)}]
    refused = 0
    for _ in range(8):
        path = tmp_path / generator.choice(list(originals))
        if generator.random() < 0.3:  # it goes, or comes back
            hidden = path.with_suffix(".gone")
            _ = hidden.rename(path) if hidden.exists() else path.rename(hidden)
        columns = generator.choice([{}, {}, {"prefix": "v_"}, {"mean_column": "m", "var_column": "v"}])
        extra = generator.choice([{}, {}, {"overwrite": True}, {"keep_others": True}])
        before = table.read_bytes() if table.exists() else b""
        options = {**generator.choice(models), **generator.choice(SETTINGS), **columns, **extra}
        try:
            enrich(table if before else source, table, memo=str(tmp_path / "memo.sqlite"), **options)
        except InputError:
            refused += 1
            assert (table.read_bytes() if table.exists() else b"") == before
    assert refused < 8
    seen = 0
    for row, (mean, var, prefix) in itertools.product(read(table), NUMBERS):
        if mean not in row:
            continue
        tags = Tags(*(row[prefix + role] for role in TAG_ROLES))
        if (key := (row["src"], tags)) not in fresh:
            model = models[tags.model_id == "other_v1"]
            options = {
                "temporal_aggregator": tags.aggregator,
                "ema_alpha": tags.ema_alpha,
                **parse_sampling(tags.sampling or ""),
            }
            with Engine(RunConfig(memo="off", decode_workers=1, **model, **options)) as engine:
                (batch,) = engine.process([pa.record_batch({"src": [str(originals[row["src"]])]})])
                assert engine.tags == tags
            fresh[key] = batch["saliency_mean"][0].as_py(), batch["saliency_var"][0].as_py()
        assert (row[mean], row[var]) == pytest.approx(fresh[key], abs=1e-9)
        seen += 1
    assert seen
