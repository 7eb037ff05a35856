"""``saliency-batch preview``: pictures of clips with the settings of their rows, and a reason where there are none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from tests.clips import Encode
from tests.engine.conftest import command
from tests.in_process import stderr_of
from tests.rows import read_rows, write_clips, write_rows

from saliency_engine.errors import InputError, ModelError
from saliency_engine.jobs import preview
from saliency_engine.report.contact_sheet import Tile, draw_contact_sheet

MODEL = ("--model", "frequency_tuned_v1")
LEFT, TOP, CAPTION = 28, 104, 76


def sheet_of(path: Path, *words: str | Path) -> NDArray[np.int64]:
    command("preview", *words, "--output", path.with_name("sheet.png"))
    with Image.open(path.with_name("sheet.png")) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture).astype(int)


@pytest.fixture
def tiles(monkeypatch: pytest.MonkeyPatch) -> list[Tile]:
    """What has been drawn."""
    drawn: list[Tile] = []

    def record(tiles: Sequence[Tile], title: str, format: str) -> bytes:
        drawn[:] = tiles
        return draw_contact_sheet(tiles, title, format)

    monkeypatch.setattr(preview, "draw_contact_sheet", record)
    return drawn


def test_a_sheet_has_two_pictures_of_each_distinct_clip(
    tmp_path: Path, clips: dict[str, Path], tiles: list[Tile]
) -> None:
    paths = [clips["carphone_pristine"]] * 2 + [tmp_path / "gone.mp4", clips["bikes"]]
    table = write_clips(tmp_path / "in.jsonl", paths)
    sheet = sheet_of(table, "--input", table, "--clips", "2", *MODEL)
    width, height = sheet.shape[1], sheet.shape[0]
    assert tiles[0].frame is not None
    high, wide = tiles[0].frame.shape[:2]
    assert (width, height) == (2 * LEFT + 804, TOP + high + CAPTION + 26 + 150 + CAPTION + LEFT), "one above the other"
    picture = sheet[TOP : TOP + high]
    frame, overlay = picture[:, LEFT + 400 - wide : LEFT + 400], picture[:, LEFT + 404 : LEFT + 404 + wide]
    assert (frame == tiles[0].frame).all()
    assert frame.std() > 20
    assert np.abs(frame - overlay).mean() > 20
    failed = sheet[TOP + high + CAPTION + 26 :][:150, LEFT : LEFT + 804]
    panel = (failed == failed[-1, -1]).all(axis=-1)
    assert 0.9 < panel.mean() < 1.0, "a clip that failed has a reason and no pictures"
    bar = sheet[LEFT + 8, -LEFT - 240 : -LEFT]
    assert (np.diff(bar.sum(axis=-1)) >= -1).all(), "the colour bar grows lighter"
    assert bar[-1].sum() - bar[0].sum() > 300


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        ((320, 180, 0, 1), (400, 225)),
        ((180, 320, 0, 1), (169, 300)),
        ((320, 180, 90, 1), (169, 300)),
        ((240, 240, 0, Fraction(16, 9)), (400, 225)),
        ((240, 240, 90, Fraction(16, 9)), (169, 300)),
    ],
)
def test_clips_keep_their_aspect(
    tmp_path: Path, encode: Encode, tiles: list[Tile], stored: tuple[int, int, int, Fraction], shown: tuple[int, int]
) -> None:
    width, height, rotation, aspect = stored
    name = f"{width}x{height}-{rotation}.mp4"
    clip = encode(name, size=(width, height), frames=8, rotation=rotation, sample_aspect_ratio=Fraction(aspect))
    sheet = sheet_of(tmp_path / "x", clip, *MODEL)
    assert sheet.shape[:2] == (TOP + shown[1] + CAPTION + LEFT, 2 * LEFT + 804)
    (tile,) = tiles
    assert tile.frame is not None
    assert tile.frame.shape == (shown[1], shown[0], 3)
    middle = LEFT + 402
    assert (sheet[TOP : TOP + shown[1], middle - 2 - shown[0] : middle - 2] == tile.frame).all()


def test_settings_are_those_of_the_rows_tags(tmp_path: Path, clips: dict[str, Path], tiles: list[Tile]) -> None:
    runs = [
        (
            "bikes",
            ("--temporal-aggregator", "ema", "--ema-alpha", "0.3", "--sampling", "uniform", "--frame-samples", "4"),
        ),
        ("carphone_pristine", ("--temporal-aggregator", "max", "--color", "bt709")),
        ("bigbuckbunny", ()),
    ]
    rows = []
    for name, options in runs:
        source = write_rows(tmp_path / "in.jsonl", [{"src": str(clips[name]), "mos": 3.25}])
        stderr_of("run", "--input", source, "--output", tmp_path / "out.jsonl", *MODEL, *options, "--quiet")
        rows += read_rows(tmp_path / "out.jsonl")
    table = write_rows(tmp_path / "all.jsonl", rows)
    command("preview", table, "--output", tmp_path / "sheet.png")
    assert [tile.numbers for tile in tiles] == [
        f"mean {row['saliency_mean']:.4f}  ·  variance {row['saliency_var']:.4f}  ·  MOS 3.25" for row in rows
    ]
    assert [tile.settings for tile in tiles] == [
        "frequency_tuned_v1  ·  ema 0.3 of 4 frames, uniform",
        "frequency_tuned_v1  ·  max of 8 frames, head",
        "frequency_tuned_v1  ·  mean of 8 frames, head",
    ]
    command("preview", table, "-o", tmp_path / "s.png", "--temporal-aggregator", "max", "--clips", "2")
    assert tiles[0].settings == "frequency_tuned_v1  ·  max of 4 frames, uniform", "options given win"
    assert f"(row: {rows[0]['saliency_mean']:.4f})" in tiles[0].numbers, "another mean than the row's is told"
    assert "(row" not in tiles[1].numbers


def test_a_model_that_only_the_tag_knows_is_asked_for(
    tmp_path: Path, clips: dict[str, Path], mini: Path, tiles: list[Tile]
) -> None:
    table = write_clips(tmp_path / "in.jsonl", [clips["bikes"]])
    output = tmp_path / "out.csv"
    stderr_of("run", table, "-o", output, "--model-path", mini, "--prefix", "m_", "--quiet")
    with pytest.raises(ModelError, match=r"the model of row 1: no model 'mini' is registered.*--model-path"):
        command("preview", output, "-o", tmp_path / "sheet.png", "--prefix", "m_")
    command("preview", output, "-o", tmp_path / "sheet.png", "--prefix", "m_", "--model-path", mini)
    assert tiles[0].settings.startswith("mini  ·  mean of 8 frames")
    assert "(row" not in tiles[0].numbers
    rows = [{**json.loads(table.read_text()), "saliency_mean": 0.5, "saliency_sampling": "every second frame"}]
    with pytest.raises(InputError, match="row 1 has tags that are no settings of this program"):
        command("preview", write_rows(tmp_path / "foreign.jsonl", rows), "-o", tmp_path / "sheet.png")


def test_a_row_that_failed_is_its_reason(tmp_path: Path, clips: dict[str, Path], tiles: list[Tile]) -> None:
    (tmp_path / "cut.mp4").write_bytes(clips["bikes"].read_bytes()[:10_000])
    table = write_clips(tmp_path / "in.jsonl", [clips["bikes"], tmp_path / "cut.mp4", tmp_path / "gone.mp4"])
    assert "failed=2" in stderr_of("run", table, "-o", tmp_path / "out.jsonl", *MODEL, code=1)
    rows = read_rows(tmp_path / "out.jsonl")
    stderr = stderr_of("preview", tmp_path / "out.jsonl", "-o", tmp_path / "sheet.png", "--select", "failed")
    assert stderr == "", "no model is needed"
    command("preview", tmp_path / "out.jsonl", "-o", tmp_path / "sheet.png", "--select", "failed")
    assert [(tile.title, tile.numbers, tile.reason) for tile in tiles] == [
        ("cut.mp4", "decode-failed", rows[1]["saliency_error"]),
        ("gone.mp4", "missing-source", rows[2]["saliency_error"]),
    ]


@pytest.mark.parametrize(
    ("suffix", "start"), [("png", b"\x89PNG"), ("JPG", b"\xff\xd8"), ("jpeg", b"\xff\xd8"), ("pdf", b"%PDF-")]
)
def test_the_suffix_decides_the_format(tmp_path: Path, suffix: str, start: bytes) -> None:
    table = write_clips(tmp_path / "in.jsonl", [tmp_path / "gone.mp4"])
    command("preview", table, "-o", tmp_path / f"sheet.{suffix}", *MODEL)
    assert (tmp_path / f"sheet.{suffix}").read_bytes().startswith(start)


def test_another_suffix_is_an_error_before_any_clip(tmp_path: Path) -> None:
    table = write_clips(tmp_path / "in.jsonl", [tmp_path / "gone.mp4"])
    stderr = stderr_of("preview", table, "-o", tmp_path / "sheet.gif", *MODEL, code=2)
    assert "sheet.gif: a sheet ends in one of .png, .jpg, .jpeg, .pdf" in stderr
    assert not (tmp_path / "sheet.gif").exists()
