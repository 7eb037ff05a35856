"""Which frames a student learns from, and which are held out. None of this needs torch."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.clips import Encode
from tests.exporter.distill.corpora import draw_picture, draw_pictures

from saliency_engine.errors import ConfigError, InputError, OutputError
from saliency_engine.storage.overwrite import Files
from saliency_exporter.distill import pictures
from saliency_exporter.distill.pictures import Corpus, collect


def gather(folder: Path, *paths: object, files: Files | None = None, seed: int = 0) -> Corpus:
    return collect(
        [str(path) for path in paths],
        (64, 64),
        folder / "frames.raw",
        files=files or Files(),
        seed=seed,
        show=lambda _done, _total: None,
    )


def names_of(corpus: Corpus) -> list[str]:
    return [Path(source.path).name for source in corpus.sources]


def test_large_pictures_are_no_matter_for_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow warns of each, and threads that read side by side share what keeps it silent."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 - 1)
    folder = draw_pictures(tmp_path / "large", 40)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        before = list(warnings.filters)
        corpus = gather(tmp_path, folder)
        assert warnings.filters == before
    assert (len(corpus.sources), warned) == (40, [])


def test_clips_and_pictures_of_folders_patterns_lists_and_tables(
    tmp_path: Path, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = draw_pictures(tmp_path / "both", 3)
    shutil.copy(encode("short.mp4"), folder / "clip.mp4")
    (folder / "notes.txt").write_text("no clip")
    clip = Path(shutil.copy(encode("short2.mp4", source="bigbuckbunny"), tmp_path / "second.mp4"))
    single = tmp_path / "single.jpg"
    draw_picture(40).save(single)
    table = tmp_path / "clips.jsonl"
    table.write_text(json.dumps({"src": clip.name}) + "\n")
    monkeypatch.chdir(tmp_path)  # a table's paths start from here, and so does a folder's own
    corpus = gather(tmp_path, "both", "single.j*", table.name)
    assert names_of(corpus) == ["00.png", "01.png", "02.png", "clip.mp4", "single.jpg", "second.mp4"]
    assert [len(source.frames) for source in corpus.sources] == [1, 1, 1, 8, 1, 8]
    assert corpus.frames.shape == (20, 3, 64, 64)
    second = np.moveaxis(np.asarray(draw_picture(1)), -1, 0)
    assert np.array_equal(corpus.frames[corpus.sources[1].frames[0]], second)
    assert not corpus.left_out


def test_lists_and_tables_name_pictures_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_pictures(tmp_path / "a", 6)
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text("a/00.png\na/01.png\na/missing.png\n")
    named = ["a/02.png", "a/03.png", "a", "nul\0.png"]
    Path("table.jsonl").write_text("".join(json.dumps({"src": name}) + "\n" for name in named))
    os.mkfifo("fifo.png")
    Path("other.txt").write_text("a/04.png\nfifo.png\n")
    corpus = gather(tmp_path, "list.txt", "table.jsonl", "other.txt")
    assert names_of(corpus) == [f"{at:02}.png" for at in range(5)]
    for at, source in enumerate(corpus.sources):
        drawn = np.moveaxis(np.asarray(draw_picture(at)), -1, 0)
        assert np.array_equal(corpus.frames[source.frames], drawn[np.newaxis])
    assert [reason.partition(":")[0] for reason in corpus.left_out] == ["a/missing.png", "a", "nul\0.png", "fifo.png"]


def test_an_eighth_is_held_out_whatever_folder_it_lies_in(tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "a", 40)
    corpus = gather(tmp_path, folder)
    held_out = {source.sha256 for source in corpus.sources if source.is_held_out}
    assert len(held_out) == 8
    learned, judged = corpus.indices(held_out=False), corpus.indices(held_out=True)
    assert sorted(learned + judged) == list(range(40))
    moved = gather(tmp_path, folder.rename(tmp_path / "moved"))
    assert {source.sha256 for source in moved.sources if source.is_held_out} == held_out
    other = gather(tmp_path, tmp_path / "moved", seed=1)
    assert {source.sha256 for source in other.sources if source.is_held_out} != held_out


def test_what_shows_the_same_is_held_out_together(tmp_path: Path, clips: dict[str, Path]) -> None:
    draw_pictures(tmp_path / "a", 4)
    for quality in (20, 50, 90):
        draw_picture(0).resize((96, 96)).save(tmp_path / "a" / f"copy-{quality}.jpg", quality=quality)
    for name in ("carphone_pristine", "carphone_distorted", "bikes"):
        shutil.copy(clips[name], tmp_path / "a")
    frames = tmp_path / "a" / "frames-of-a-clip"
    frames.mkdir()
    for seed in (20, 21):
        draw_picture(seed).save(frames / f"{seed}.png")
    groups = {Path(source.path).stem: source.group for source in gather(tmp_path, tmp_path / "a").sources}
    same = [["00", "copy-20", "copy-50", "copy-90"], ["carphone_pristine", "carphone_distorted"], ["20", "21"]]
    for names in same:
        assert len({groups[name] for name in names}) == 1
    assert len(set(groups.values())) == 7  # these three, 01, 02, 03 and bikes


def test_a_file_that_is_there_twice_is_taken_once(tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "a", 5)
    shutil.copy(folder / "00.png", folder / "again.png")
    corpus = gather(tmp_path, folder, folder / "03.png", f"{folder}/*.png")
    assert names_of(corpus) == [f"{at:02}.png" for at in range(5)]


def test_a_picture_is_upright_and_of_any_kind(tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "a", 4)
    exif = Image.Exif()
    exif[0x0112] = 6  # it must be turned by a quarter
    draw_picture(50).rotate(90).save(folder / "turned.png", exif=exif)
    draw_picture(51).convert("L").save(folder / "x-grey.webp")
    draw_picture(52).convert("P").save(folder / "y-palette.png")
    draw_picture(53).convert("RGBA").save(folder / "z-alpha.png")
    corpus = gather(tmp_path, folder)
    turned = next(source for source in corpus.sources if source.path.endswith("turned.png"))
    assert np.array_equal(np.moveaxis(corpus.frames[turned.frames[0]], 0, -1), np.asarray(draw_picture(50)))
    assert len(corpus.sources) == 8


def test_what_cannot_be_read_is_left_out_of_a_folder_and_refused_by_name(tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "a", 4)
    whole = (folder / "00.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "text.jpg").write_text("a picture")
    (folder / "text.mp4").write_text("a clip")
    corpus = gather(tmp_path, folder)
    assert len(corpus.sources) == 4
    assert [reason.partition(":")[0] for reason in corpus.left_out] == [
        str(folder / name) for name in ("cut.png", "text.jpg", "text.mp4")
    ]
    for name in ("cut.png", "text.mp4", "missing.png", "missing.mp4"):
        with pytest.raises(InputError, match=name):
            gather(tmp_path, folder, folder / name)


def test_urls_are_not_read(tmp_path: Path) -> None:
    for url in ("https://example.org/a.png", "https://example.org/a.mp4"):
        with pytest.raises(InputError, match="URLs are not read"):
            gather(tmp_path, url)


def test_too_few_to_hold_some_out(tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "a", 3)
    draw_picture(0).save(folder / "copy.jpg", quality=95)
    with pytest.raises(InputError, match=r"from 3 sources.*at least 4"):
        gather(tmp_path, folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no files here"):
        gather(tmp_path, tmp_path / "empty")


def test_of_a_large_corpus_a_part_is_taken_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = draw_pictures(tmp_path / "a", 12)
    monkeypatch.setattr(pictures, "MOST_FRAMES", 6)
    corpus = gather(tmp_path, folder)
    assert names_of(corpus) == [f"{at:02}.png" for at in range(0, 12, 2)]
    assert corpus.left_out == ("6 of 12 clips and pictures: the others have 6 frames",)


def test_no_picture_and_no_clip_is_written_over(tmp_path: Path, encode: Encode) -> None:
    folder = draw_pictures(tmp_path / "a", 4)
    clip = Path(shutil.copy(encode("short.mp4"), folder / "clip.mp4"))
    for victim in (folder / "02.png", clip):
        files = Files()
        files.writes("--output", victim, holds=".any")
        with pytest.raises(ConfigError, match="would overwrite"):
            gather(tmp_path, folder, files=files)


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    folder = draw_pictures(tmp_path / "a", 4)
    (tmp_path / "frames.raw").symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"frames\.raw: No space left on device"):
        gather(tmp_path, folder)
