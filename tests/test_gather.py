"""The script that gathers the pictures of the built-in model's training, without what it downloads."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from tests.conftest import PROJECT

FOLDER = PROJECT / "configs" / "saliency_open_v1"
sys.path.insert(0, str(FOLDER))
import compose  # noqa: E402
import gather  # noqa: E402
from sources import Item  # noqa: E402

RED = (220, 20, 20)


def photograph(seed: int, width: int = 640, height: int = 480) -> Image.Image:
    """Blots with sharp edges, other ones for each seed; dark, so none is red."""
    small = np.random.default_rng(seed).integers(0, 100, (24, 32, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)


def stamp() -> Image.Image:
    """A red square of 100 pixels in a transparent margin."""
    image = Image.new("RGBA", (200, 160), (0, 0, 0, 0))
    image.paste((*RED, 255), (50, 30, 150, 130))
    return image


def red_share(image: Image.Image) -> float:
    pixels = np.asarray(image, dtype=int)
    return float(np.mean((pixels[..., 0] > 110) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90)))


def test_crops_are_as_sharp_and_as_wide_as_frames_are() -> None:
    for width, height in ((4000, 3000), (480, 360), (3000, 600), (320, 212)):
        parts = list(compose.crops(photograph(1, width, height), random.Random(5), 14))
        assert min(min(part.size) for part in parts) >= min(compose.SMALLEST, height) / 16 * 9 - 1
        assert all(0.49 < part.width / part.height < 2.01 for part in parts)
    assert len(list(compose.crops(photograph(1, 4000, 3000), random.Random(5), 14))) == 14
    assert len(list(compose.crops(photograph(1, 320, 212), random.Random(5), 14))) <= 2


def test_objects_are_pasted_where_they_can_be_seen() -> None:
    shares = []
    for seed in range(40):
        made = compose.composite(photograph(seed), [stamp()], random.Random(seed))
        shares.append(red_share(made))
    assert red_share(photograph(0)) == 0
    assert min(shares) > 0.004
    assert max(shares) > 0.1
    assert len({round(share, 3) for share in shares}) > 25


def test_each_way_to_spoil_a_picture_changes_it() -> None:
    picture = compose.squeezed(photograph(3))
    seen = set()
    for seed in range(40):
        worse, kind = compose.spoiled(picture, random.Random(seed))
        assert worse.size == (320, 320)
        assert worse.mode == "RGB"
        assert np.abs(np.asarray(worse, dtype=int) - np.asarray(picture, dtype=int)).mean() > 0.1, kind
        seen.add(kind)
    assert seen == {"jpeg", "blur", "dark", "noise", "small"}


def item(file: Path, use: str = "scene", *, once: bool = False) -> Item:
    return Item("package", file, use, file.stem, "g", once)


def test_a_group_is_made_alike_each_time(tmp_path: Path) -> None:
    items = []
    for n in range(3):
        photograph(n).save(tmp_path / f"photo{n}.png")
        items.append(item(tmp_path / f"photo{n}.png"))
    stamp().save(tmp_path / "red.png")
    items.append(item(tmp_path / "red.png", "stamp"))
    rows = gather.make_group("g07", items, tmp_path / "one")
    assert rows == gather.make_group("g07", items, tmp_path / "two")
    for name, *_ in rows:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
        with Image.open(tmp_path / "one" / name) as picture:
            assert (picture.size, picture.mode) == ((320, 320), "RGB")
    kinds = [kind for _, kind, _, _ in rows]
    assert 0.3 < kinds.count("composite") / len(kinds) < 0.5
    assert len(list((tmp_path / "one" / "g07").iterdir())) == len(rows)


def test_later_rounds_show_other_parts_and_the_mirror_of_the_same_files(tmp_path: Path) -> None:
    left = photograph(1)
    left.paste(RED, (0, 0, 200, 480))
    left.save(tmp_path / "left.png")
    rows = gather.make_group("g01", [item(tmp_path / "left.png")], tmp_path / "out")
    parts = {which: [name for name, *_ in rows if name.startswith(f"g01/{which}-")] for which in ("mirrored", "again")}
    parts["first"] = [name for name, *_ in rows if name not in parts["mirrored"] + parts["again"]]
    assert len({len(names) for names in parts.values()}) == 1
    contents = [(tmp_path / "out" / name).read_bytes() for name, *_ in rows]
    assert len(set(contents)) == len(rows)

    def is_red_on(name: str) -> str:
        with Image.open(tmp_path / "out" / name) as picture:
            halves = [red_share(picture.crop((x, 0, x + 160, 320))) for x in (0, 160)]
        return "" if max(halves) < 0.05 else "left" if halves[0] > halves[1] else "right"

    sides = {which: {is_red_on(name) for name in names} - {""} for which, names in parts.items()}
    assert sides == {"first": {"left"}, "mirrored": {"right"}, "again": {"left", "right"}}


def test_of_many_photographs_few_crops_are_taken(tmp_path: Path) -> None:
    photograph(1, 2000, 1500).save(tmp_path / "one.png")
    one, many = (gather.make_group("g01", [item(tmp_path / "one.png", once=once)], tmp_path) for once in (True, False))
    assert (len(one), len(many)) == (6, 3 * 14)


def test_photographs_are_turned_upright(tmp_path: Path) -> None:
    upright = photograph(1)
    exif = Image.Exif()
    exif[0x0112] = 6  # Orientation: to be turned by a quarter to the right
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.jpg", quality=95, exif=exif)
    (shown,) = gather.pictures(tmp_path / "turned.jpg")
    assert shown.size == upright.size
    assert np.abs(np.asarray(shown, dtype=int) - np.asarray(upright, dtype=int)).mean() < 8


def test_a_photograph_is_used_once_and_never_when_it_is_held_back(tmp_path: Path) -> None:
    photograph(1).save(tmp_path / "large.png")
    photograph(1, 320, 240).save(tmp_path / "small.png")
    photograph(2).save(tmp_path / "kept.png")
    photograph(2, 800, 600).save(tmp_path / "again.png")
    photograph(3).save(tmp_path / "other.png")
    items = [item(tmp_path / f"{name}.png") for name in ("large", "small", "again", "other")]
    items.append(item(tmp_path / "kept.png", "held"))
    assert {kept.name for kept in gather.distinct(items)} == {"large", "kept", "other"}


def test_what_is_held_back_lies_in_the_folder_of_its_package(tmp_path: Path) -> None:
    items = []
    for number, package in enumerate(("of-debian", "of-pypi", "of-git", "of-git")):
        photograph(number, 1600, 1200).save(tmp_path / f"{number}.png")
        use = "scene" if number == 3 else "held"
        items.append(Item(package, tmp_path / f"{number}.png", use, str(number), "g", is_taken_once=False))
    folders = {"of-debian": "packages", "of-pypi": "packages", "of-git": "repositories"}
    gather.hold_back(items, folders, tmp_path / "held")
    files = {file.relative_to(tmp_path / "held").as_posix() for file in (tmp_path / "held").rglob("*.jpg")}
    assert files == {"packages/of-debian-0-0.jpg", "packages/of-pypi-1-0.jpg", "repositories/of-git-2-0.jpg"}
    with Image.open(tmp_path / "held" / "repositories" / "of-git-2-0.jpg") as picture:
        assert picture.size == (1280, 960)
