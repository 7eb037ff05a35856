"""Whether added columns help: planted signals are found, noise is not, and the sentence says which."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.browser import check_page, needs_chromium
from tests.engine.jobs.answer.tables_to_answer import TAGS, ask, write_scores

from saliency_engine.errors import ConfigError
from saliency_engine.jobs.answer.measure import measure
from saliency_engine.jobs.answer.questions import Question
from saliency_engine.jobs.answer.settings import Settings
from saliency_engine.jobs.answer.verdict import HELPS, NOT_SHOWN, answer


def test_a_planted_signal_is_found(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (one,) = ask([write_scores(tmp_path / "t.parquet", 1, signal=0.35)])
    assert one.verdict == HELPS
    low, high = one.chosen.intervals["srocc"]
    assert 0 < low < one.chosen.gains["srocc"] < high
    assert list(one.question.added_columns) == ["saliency_mean", "saliency_var"]
    assert one.sentence.startswith("saliency (u2netp, ema 0.6) adds 0.")
    assert one.sentence.endswith("over VMAF features on 120 clips: shown to help")
    assert one.sentence in capfd.readouterr().out


def test_noise_is_not(tmp_path: Path) -> None:
    (one,) = ask([write_scores(tmp_path / "t.parquet", 2, signal=0.0)])
    assert one.verdict == NOT_SHOWN
    assert one.sentence.endswith("on 120 clips: not shown to help")


@pytest.mark.parametrize("base", [0.4, 0.0], ids=["beside a signal", "beside noise"])
def test_noise_is_not_shown_to_help_in_at_least_93_of_100_tables(base: float) -> None:
    """By chance alone 2 or 3 intervals would lie above zero."""
    verdicts = []
    for seed in range(100):
        generator = np.random.default_rng(seed)
        x, numbers = generator.normal(size=(60, 5)), np.arange(60)
        mos = 3 + base * x[:, 0] + 0.4 * generator.normal(size=60)
        question = Question("t", "", ["b0", "b1"], ["a0", "a1", "a2"], x[:, :2], x[:, 2:], mos, numbers, [])
        settings = Settings(tables=["t"], base="b*", add=["a*"], repeats=1, folds=4, resamples=200, seed=seed)
        verdicts.append(answer([question], [[measure(question, "ridge", settings)]])[0].verdict)
    assert verdicts.count(NOT_SHOWN) >= 93


def test_rows_of_one_content_are_counted_once(tmp_path: Path) -> None:
    """Twelve versions of thirty contents are no 360 clips: a content's saliency tells its score by heart."""
    generator = np.random.default_rng(6)
    contents = np.repeat(np.arange(30), 12)
    columns: dict[str, Any] = {
        "content": [f"scene {number}" for number in contents],
        "saliency_mean": generator.normal(size=30)[contents],
        "mos": np.clip(3 + generator.normal(size=30)[contents], 1, 5),
    }
    path = write_scores(tmp_path / "t.parquet", 6, signal=0, clips=360, **columns)
    (one,) = ask([path], add=["saliency_mean"], regressor=["svr"], repeats=1)
    assert (one.question.content_count, one.verdict) == (30, NOT_SHOWN)


def test_clips_that_say_less_of_their_saliency_are_of_the_one_kind_that_there_is(tmp_path: Path) -> None:
    table = pq.read_table(
        write_scores(tmp_path / "t.parquet", 1, signal=0.35, saliency_sampling=["head:8@320x320"] * 120)
    )
    untold = [pa.nulls(60, column.type) for column in (table[name] for name in (*TAGS, "saliency_sampling"))]
    half = table.slice(60)
    for name, nulls in zip((*TAGS, "saliency_sampling"), untold, strict=True):
        half = half.set_column(half.schema.get_field_index(name), name, nulls)
    pq.write_table(pa.concat_tables([table.slice(0, 60), half]), tmp_path / "half.parquet")
    (one,) = ask([str(tmp_path / "half.parquet")])
    assert one.sentence.endswith("over VMAF features on 120 clips: shown to help")
    assert "(u2netp, ema 0.6, head:8@320x320)" in one.sentence
    other = table.set_column(table.schema.get_field_index("saliency_model_id"), "saliency_model_id", [["m2"] * 120])
    pq.write_table(pa.concat_tables([half, other, table]), tmp_path / "three.parquet")
    for answered in ask([str(tmp_path / "three.parquet")]):
        assert len(answered.question.target) == 120
        assert "60 rows that could be of several kinds of saliency are left out" in answered.question.notes


def test_models_and_aggregators_are_questions_of_their_own(tmp_path: Path) -> None:
    """One of four has a signal; intervals are wide enough for all of them together."""
    tables = [
        write_scores(
            tmp_path / f"{model}-{aggregator}.parquet",
            seed,
            signal=0.35 if seed == 3 else 0.0,
            tags={"saliency_model_id": model, "saliency_aggregator": aggregator},
        )
        for seed, (model, aggregator) in enumerate((m, a) for m in ("m1", "m2") for a in ("mean", "max"))
    ]
    together = pa.concat_tables([pq.read_table(path) for path in tables[:2]])
    pq.write_table(together, tmp_path / "two.parquet")
    answers = ask([str(tmp_path / "two.parquet"), *tables[2:]])
    assert [one.question.kind for one in answers] == ["m1, mean", "m1, max", "m2, mean", "m2, max"]
    assert [one.verdict for one in answers] == [NOT_SHOWN] * 3 + [HELPS]
    assert answers[3].p == pytest.approx(4 * answers[3].chosen.p["srocc"])
    for one in answers:
        (low, high), judged = one.chosen.intervals["srocc"], one.chosen.judged
        assert judged[0] < low < high < judged[1]


def test_the_regressor_is_chosen_without_the_added_columns(tmp_path: Path) -> None:
    (one,) = ask([write_scores(tmp_path / "t.parquet", 1, signal=0.35)], regressor=["ridge", "svr"], repeats=1)
    assert one.chosen.base["srocc"] == max(each.base["srocc"] for each in one.measured)
    assert [each.regressor for each in one.measured] == ["ridge", "svr"]


def test_the_gate_of_vmafx(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "t.parquet", 1, signal=0.35)
    gate = ask([path])[0].chosen.gate["both"]
    assert (gate["passed"], gate["on_scale"], gate["passes"]["spread"]) == (False, True, False)
    mos = 3 + np.random.default_rng(1).normal(size=(5, 120))[0] / 4
    columns = {"mos": mos, "saliency_mean": mos}
    gate = ask([write_scores(tmp_path / "u.parquet", 1, signal=0, **columns)])[0].chosen.gate["both"]
    assert gate["passed"]
    assert gate["passes"] == {"plcc": True, "srocc": True, "rmse": True, "spread": True}
    gate = ask([write_scores(tmp_path / "v.parquet", 1, signal=0, mos=mos * 20, saliency_mean=mos)])[0].chosen.gate[
        "both"
    ]
    assert (gate["passed"], gate["on_scale"]) == (False, False)


def test_a_missing_extra_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "sklearn" else name)
    with pytest.raises(ConfigError, match=r"answer needs scikit-learn: pip install 'saliency-batch\[analysis\]'"):
        ask([write_scores(tmp_path / "t.parquet", 1, signal=0)])


@needs_chromium
def test_the_page_can_be_read_on_a_phone_and_at_night(tmp_path: Path) -> None:
    (one,) = ask([write_scores(tmp_path / "t.parquet", 1, signal=0.35)], html=str(tmp_path / "a.html"), repeats=1)
    seen = check_page(tmp_path / "a.html", tmp_path)
    assert seen["headline"] == "Does it help?"
    assert len(seen["charts"]) == 2
    assert one.verdict in (tmp_path / "a.html").read_text()


def test_json_and_page(tmp_path: Path) -> None:
    path = write_scores(tmp_path / "t.parquet", 1, signal=0.35)
    add = ["saliency_*", "saliency_var"]
    answers = ask([path], add=add, json=str(tmp_path / "a.json"), html=str(tmp_path / "a.html"), repeats=1)
    document = json.loads((tmp_path / "a.json").read_text())
    assert [one["sentence"] for one in document["answers"]] == [one.sentence for one in answers]
    assert document["answers"][0]["regressors"][0]["gains"]["srocc"] == answers[0].chosen.gains["srocc"]
    page = (tmp_path / "a.html").read_text()
    assert len(page) < 2 << 20
    assert all(one.sentence in page for one in answers)
    assert "http" not in page.replace("http://www.w3.org", "")
    assert page.count("<svg") == 5
