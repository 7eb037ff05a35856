"""``saliency-batch compare``: tables joined by key, agreement and prediction as SciPy has them, a page to look at."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from tests.engine.conftest import command
from tests.engine.jobs.compare.rows_to_compare import ROWS, TAGS, column, compare, rows_of, scores
from tests.in_process import stderr_of
from tests.rows import write_rows

from saliency_engine.errors import ConfigError, InputError
from saliency_engine.numerics.correlation import bootstrap, fit_logistic, partial_correlation, srocc


def test_agreement_is_scipys_on_the_clips_that_both_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = rows_of(2), rows_of(3, saliency_aggregator="max")
    failed = {"saliency_mean": None, "saliency_var": None, "saliency_status": "decode-failed", **dict.fromkeys(TAGS)}
    a[5] |= failed
    b[6] |= failed | {"saliency_status": "missing-source"}
    del b[80:]
    document = compare(tmp_path, write_rows(tmp_path / "a.jsonl", a), write_rows(tmp_path / "b.jsonl", b))
    assert document["schema"] == "saliency-compare-v1"
    assert document["clips"] == ROWS
    assert [(side["name"], side["clips"], side["absent"]) for side in document["sides"]] == [
        ("aggregator mean", 89, 0),
        ("aggregator max", 79, 10),
    ]
    assert document["sides"][1]["statuses"] == {"missing-source": 1}
    (pair,) = document["pairs"]
    assert (pair["only_first"], pair["only_second"]) == (11, 1)
    assert {(one["first"], one["second"]): one["clips"] for one in pair["status_disagreements"]} == {
        ("ok", "not in the table"): 10,
        ("decode-failed", "ok"): 1,
        ("ok", "missing-source"): 1,
    }
    both = [place for place in range(80) if place not in {5, 6}]
    for one in pair["signals"]:
        x, y = (column([rows[place] for place in both], f"saliency_{one['signal']}") for rows in (a, b))
        assert one["clips"] == 78
        assert one["plcc"] == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-9)
        assert one["srocc"] == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-9)
        assert one["delta_mean"] == pytest.approx((y - x).mean(), abs=1e-12)
        assert one["delta_abs_mean"] == pytest.approx(np.abs(y - x).mean(), abs=1e-12)
        assert one["delta_abs_max"] == pytest.approx(np.abs(y - x).max(), abs=1e-12)
    largest = document["largest_differences"][0]
    assert largest["spread"] == pytest.approx(pair["signals"][0]["delta_abs_max"])
    assert largest["means"]["aggregator mean"] == a[int(largest["key"])]["saliency_mean"]
    shown = capsys.readouterr().out
    assert "between aggregator mean and aggregator max on 78 clips" in shown
    assert "missing-source" in shown


def test_clips_with_fewer_keyframes_are_of_the_same_side(tmp_path: Path) -> None:
    rows = rows_of(2, saliency_sampling="keyframes:8@320x320")
    rows[3]["saliency_sampling"] = "keyframes:6/8@320x320"
    others = rows_of(3, saliency_sampling="uniform:8@320x320")
    document = compare(tmp_path, write_rows(tmp_path / "a.jsonl", rows), write_rows(tmp_path / "b.jsonl", others))
    assert [(side["sampling"], side["clips"]) for side in document["sides"]] == [
        ("keyframes:8@320x320", ROWS),
        ("uniform:8@320x320", ROWS),
    ]


@pytest.mark.parametrize("aggregator", [None, "ema"])
def test_an_alpha_that_is_no_number_says_nothing(tmp_path: Path, aggregator: str | None) -> None:
    """Tables made by hand have dashes where nothing belongs; they ended in a traceback."""
    rows = rows_of(2, saliency_ema_alpha="-", saliency_aggregator=aggregator)
    rows[3]["saliency_ema_alpha"] = "nan"
    tables = [write_rows(tmp_path / "a.jsonl", rows), write_rows(tmp_path / "b.jsonl", rows_of(3))]
    sides = compare(tmp_path, *tables)["sides"]
    assert [(side["rows"], side["ema_alpha"]) for side in sides] == [(ROWS, None), (ROWS, None)]


def test_settings_and_prefixes_in_one_table_are_sides_of_their_own(tmp_path: Path) -> None:
    rows = rows_of(2)
    for place, row in enumerate(rows):
        row |= {"saliency_aggregator": "ema", "saliency_ema_alpha": 0.3 if place % 2 else 0.9}
        row |= {f"v2_{name}": row[f"saliency_{name}"] for name in ("mean", "var", "status")}
    rows[0] |= {"saliency_mean": None, "saliency_status": "decode-failed", "v2_mean": 0.5}
    document = compare(tmp_path, write_rows(tmp_path / "wide.jsonl", rows))
    sides = {side["name"]: side for side in document["sides"]}
    assert {name: side["clips"] for name, side in sides.items()} == {
        "saliency · ema 0.3": 45,
        "saliency · ema 0.9": 44,
        "v2": 90,
    }
    assert sides["saliency · ema 0.3"]["statuses"]["decode-failed"] == 1
    assert len(document["pairs"]) == 3
    # Alpha says nothing of an aggregator that has none.
    for place, row in enumerate(rows):
        row |= {"saliency_aggregator": "max", "saliency_ema_alpha": place / 100}
        del row["v2_mean"]
    assert len(compare(tmp_path, write_rows(tmp_path / "max.jsonl", rows))["sides"]) == 1


def test_prediction_is_scipys_and_intervals_resample_contents(tmp_path: Path) -> None:
    a, b, labels = rows_of(2), rows_of(3, 1.5, saliency_model_id="m2"), scores()
    a[3]["saliency_mean"] = None
    labels[4]["adm2"] = None
    tables = [write_rows(tmp_path / f"{name}.jsonl", rows) for name, rows in (("a", a), ("b", b), ("l", labels))]
    document = compare(tmp_path, *tables[:2], "--labels", tables[2], "--content", "content")
    target = document["target"]
    assert (target["name"], target["clips"], target["labelled"], target["contents"]) == ("mos", 89, 90, 30)
    assert (target["given"], target["given_clips"]) == (["adm2", "motion2"], 88)
    kept = [place for place in range(ROWS) if place != 3]
    mos = column([labels[place] for place in kept], "mos")
    contents = column([labels[place] for place in kept], "content")
    names = [(one["side"], one["signal"]) for one in target["signals"]]
    assert names == [("m1", "mean"), ("m1", "var"), ("m2", "mean"), ("m2", "var")]
    for one, rows in zip(target["signals"], (a, a, b, b), strict=True):
        x = column([rows[place] for place in kept], f"saliency_{one['signal']}").astype(float)
        mapped = fit_logistic(x, mos).values
        assert one["srocc"]["value"] == pytest.approx(stats.spearmanr(x, mos).statistic, abs=1e-9)
        assert one["krcc"]["value"] == pytest.approx(stats.kendalltau(x, mos).statistic, abs=1e-9)
        assert one["plcc"]["value"] == pytest.approx(stats.pearsonr(mapped, mos).statistic, abs=1e-9)
        assert one["plcc_unmapped"] == pytest.approx(stats.pearsonr(x, mos).statistic, abs=1e-9)
        assert one["rmse"]["value"] == pytest.approx(np.sqrt(np.mean((mapped - mos) ** 2)), abs=1e-9)
        has = [place for place, of in enumerate(kept) if of != 4]
        given = np.array([[labels[kept[place]][name] for name in ("adm2", "motion2")] for place in has], float)
        assert one["partial"]["value"] == pytest.approx(partial_correlation(x[has], mos[has], given), abs=1e-9)
        low, high = one["partial"]["interval"]
        assert low < one["partial"]["value"] < high
        if one["signal"] == "mean":
            interval = bootstrap(lambda chosen, x=x: srocc(x[chosen], mos[chosen]), contents)  # type: ignore[misc]
            assert one["srocc"]["interval"] == pytest.approx(interval, abs=1e-9)
    first, second = (target["signals"][place] for place in (0, 2))
    assert first["srocc_gain_over_first"] is None
    gain = second["srocc_gain_over_first"]
    assert gain["value"] == pytest.approx(abs(second["srocc"]["value"]) - abs(first["srocc"]["value"]))
    assert gain["interval"][0] < gain["value"] < gain["interval"][1] < 0, "m2 is noisier, and that is shown"
    assert target["best"] == {"side": "m1", "signal": "mean"}
    usual = compare(tmp_path, *tables[:2], "--labels", tables[2])
    assert usual["target"] == target, "the column content is the one by default"


def test_noise_is_not_shown_to_go_with_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(2)
    for row, value in zip(rows, np.random.default_rng(4).normal(size=ROWS), strict=True):
        row["mos"] = float(value)
    table = write_rows(tmp_path / "a.jsonl", rows)
    command("compare", table, "--target", "mos")
    assert "No signal is shown to go with mos: the nearest, " in capsys.readouterr().out
    for row in rows:
        row["mos"] = 5 * row["saliency_mean"]
    command("compare", write_rows(table, rows), "--target", "mos")
    assert "mean of a goes with mos: SROCC 1.000" in " ".join(capsys.readouterr().out.split())


def test_keys_are_text_and_several_rows_of_a_clip_are_pooled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [
        row | {"key": f"/clips/{row['key']}.mp4", "saliency_var": var} for row in rows_of(2) for var in (0.1, 0.3)
    ]
    table = write_rows(tmp_path / "frames.jsonl", frames)
    labels = tmp_path / "scores.csv"
    labels.write_text("clip_id,mos\n" + "".join(f"{row['key']},{row['mos']}\n" for row in scores()))
    document = compare(tmp_path, table, "--key", "key", "--key-normalize", "stem", "--labels", labels)
    assert document["target"]["clips"] == ROWS, "0007 is no number, and is the stem of /clips/0007.mp4"
    assert document["sides"][0]["signals"]["var"]["mean"] == pytest.approx(0.2)
    assert "frames.jsonl has several rows for a clip: their mean stands for it" in capsys.readouterr().out
    with pytest.raises(
        InputError, match=r"no clip has both a label 'mos' and numbers.*'/clips/0000.mp4', of the second '0000'"
    ):
        compare(tmp_path, table, "--labels", labels)


def test_mistakes_are_told_with_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = write_rows(tmp_path / "a.jsonl", rows_of(2))
    twice = write_rows(tmp_path / "l.jsonl", [*scores(), {"key": "0007", "mos": -1.0}])
    with pytest.raises(InputError, match=r"the clip '0007' has two labels: .* in .*l.jsonl and -1 in .*l.jsonl"):
        compare(tmp_path, table, "--labels", twice)
    with pytest.raises(InputError, match=r"no table has a column 'mox' \(--target\); the columns are 'key', "):
        compare(tmp_path, table, "--target", "mox")
    with pytest.raises(InputError, match=r"no table has a column 'scene' \(--content\)"):
        compare(tmp_path, table, "--labels", write_rows(twice, scores()), "--content", "scene")
    with pytest.raises(InputError, match=r"l.jsonl: no columns are those of a run, such as saliency_mean"):
        compare(tmp_path, twice)
    with pytest.raises(ConfigError, match=r"--json .*a\.jsonl would overwrite the tables .*a.jsonl"):
        command("compare", table, "--json", table)
    assert "compare needs a table" in stderr_of("compare", code=2)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in {"scipy", "sklearn"} else find(name))
    with pytest.raises(
        ConfigError, match=r"compare needs scipy and scikit-learn: pip install 'saliency-batch\[analysis\]'"
    ):
        compare(tmp_path, table)


def test_tables_without_a_key_in_common_are_an_error_that_shows_the_keys(tmp_path: Path) -> None:
    ours = write_rows(tmp_path / "a.jsonl", rows_of(2))
    theirs = write_rows(tmp_path / "b.jsonl", [row | {"key": f"clip-{row['key']}"} for row in rows_of(3)])
    with pytest.raises(InputError, match=r"no key is in two .*'0000' in .*a.jsonl .*'clip-0000' in .*--key-normalize"):
        compare(tmp_path, ours, theirs)


@pytest.mark.parametrize("column", ["saliency_mean", "saliency_motion", "mos"])
def test_numbers_that_are_none_are_told_with_their_row(tmp_path: Path, column: str) -> None:
    rows = [row | {"saliency_motion": 0.1, "mos": place} for place, row in enumerate(rows_of(2))]
    rows[6][column] = -1e308
    table = write_rows(tmp_path / "a.jsonl", rows)
    with pytest.raises(InputError, match=rf"a.jsonl: column '{column}' holds -1e\+308 in row 7"):
        compare(tmp_path, table, "--target", "mos")


@pytest.mark.parametrize(
    ("clips", "score", "words"),
    [
        (ROWS, 3.0, "Nothing can go with mos: the scores of all 90 clips are one number"),
        (1, None, "Too few clips to show what goes with mos: 1 of the 10 that this takes"),
        (9, None, "Too few clips to show what goes with mos: 9 of the 10 that this takes"),
    ],
)
def test_what_cannot_be_measured_has_no_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], clips: int, score: float | None, words: str
) -> None:
    labels = [row | {"mos": score or row["mos"]} for row in scores()[:clips]]
    table = write_rows(tmp_path / "a.jsonl", rows_of(2))
    target = compare(tmp_path, table, "--labels", write_rows(tmp_path / "l.jsonl", labels))["target"]
    shown = " ".join(capsys.readouterr().out.split())
    assert words in shown
    assert ("there is no PLCC and no RMSE" in shown) == (score is None)
    assert "[0.000, 0.000]" not in shown
    for one in target["signals"]:
        assert one["plcc"] == one["rmse"] == {"value": None, "interval": [None, None]}
        assert one["mapping"] == {"form": "none", "parameters": []}
        assert (one["srocc"]["value"] is None) == (clips != 9)


def test_signals_that_do_not_vary_can_go_with_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row | {"saliency_mean": 0.5, "saliency_var": 0.1} for row in rows_of(2)]
    command("compare", write_rows(tmp_path / "a.jsonl", rows), "--labels", write_rows(tmp_path / "l.jsonl", scores()))
    assert "Nothing can go with mos: every signal is one number on all 90 clips" in capsys.readouterr().out


def test_options_that_cannot_be_meant_are_errors(tmp_path: Path) -> None:
    table, labels = write_rows(tmp_path / "a.jsonl", rows_of(2)), write_rows(tmp_path / "l.jsonl", scores())
    with pytest.raises(ConfigError, match="--clips is -3"):
        command("compare", table, "--clips", "-3")
    with pytest.raises(ConfigError, match=r"a\.jsonl is given twice"):
        command("compare", table, table)
    with pytest.raises(ConfigError, match="--given is for scores"):
        command("compare", table, "--given", "vif_*")
    with pytest.raises(InputError, match=r"--given 'nope\*' fits no column of numbers; the columns are .*'adm2'"):
        command("compare", table, "--labels", labels, "--given", "nope*")


def test_tables_that_hold_nothing_to_compare_are_told_so(tmp_path: Path) -> None:
    table, empty = write_rows(tmp_path / "a.jsonl", rows_of(2)), tmp_path / "empty.csv"
    empty.write_text("key,saliency_mean,saliency_var,saliency_status\n")
    with pytest.raises(InputError, match=r"empty\.csv: it has no rows"):
        command("compare", table, empty)
    labels = write_rows(tmp_path / "l.jsonl", [row | {"mos": "good"} for row in scores()])
    with pytest.raises(InputError, match=r"no score is a number: the column 'mos' of .*l.jsonl"):
        command("compare", table, "--labels", labels)
