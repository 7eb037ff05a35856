"""What the tests' own set-up promises: the order in which several processes run them."""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from tests.conftest import LONG, PROJECT, pytest_collection_modifyitems


def test_each_process_begins_with_long_tests_and_none_is_lost() -> None:
    names = ["test_shape.py", *(f"engine/test_{n}.py" for n in range(40)), *LONG, LONG[0]]
    tests: list[Any] = [SimpleNamespace(path=PROJECT / "tests" / name) for name in names]
    dealt = list(tests)
    config: Any = SimpleNamespace(workerinput={"workercount": 4})
    pytest_collection_modifyitems(config, dealt)
    assert sorted(map(id, dealt)) == sorted(map(id, tests))
    ends = [0, 13, 27, 41, 55]  # 55 tests, divided as pytest-xdist does
    runs = [[str(test.path.relative_to(PROJECT / "tests")) for test in dealt[a:b]] for a, b in pairwise(ends)]
    assert [run[:3] for run in runs] == [
        [LONG[0], LONG[0], LONG[4]],
        *([LONG[n], LONG[n + 4], LONG[n + 8]] for n in (1, 2, 3)),
    ]
    assert all(name not in LONG for run in runs for name in run[5:])


def test_one_process_runs_them_in_the_order_of_the_folders() -> None:
    tests: list[Any] = [SimpleNamespace(path=PROJECT / "tests" / name) for name in ("test_shape.py", *LONG)]
    collected = list(tests)
    config: Any = SimpleNamespace()
    pytest_collection_modifyitems(config, collected)
    assert collected == tests


def test_the_files_with_long_tests_are_there() -> None:
    assert [name for name in LONG if not (PROJECT / "tests" / name).is_file()] == []
