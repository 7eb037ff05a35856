"""A table's share for one machine: every clip is in exactly one, whoever asks, whatever the table's format."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv
from tests.rows import write_rows

from saliency_engine.config import RunConfig
from saliency_engine.tables.columns import columns_of
from saliency_engine.tables.input import open_table
from saliency_engine.tables.share import Share

COLUMNS = columns_of(RunConfig(model="frequency_tuned_v1"))
NAMES = [f"{number}.mp4" for number in range(4000)]


def _rows_of(table: Path, shard: str, root: str = "") -> list[str]:
    """The clip of each row of a share."""
    with open_table(str(table), COLUMNS, root=root) as opened:
        batches = list(Share(opened, shard, root))
    assert all(batch.codes.size == 0 or batch.codes.min() >= 0 for batch in batches)
    return [batch.clips[code].path for batch in batches for code in batch.codes]


@pytest.mark.parametrize("shards", [1, 2, 7])
@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet", "t.csv"])
def test_every_row_is_in_one_share_and_a_clips_rows_are_together(tmp_path: Path, name: str, shards: int) -> None:
    table = pa.table({"src": [clip for clip in NAMES for _ in range(2)]})
    if name.endswith("jsonl"):
        write_rows(tmp_path / name, table.to_pylist())
    else:
        (pq.write_table if name.endswith("parquet") else csv.write_csv)(table, str(tmp_path / name))
    shares = [_rows_of(tmp_path / name, f"{number}/{shards}") for number in range(1, shards + 1)]
    counts = Counter(clip for share in shares for clip in share)
    assert counts == dict.fromkeys(NAMES, 2)
    assert sum(len(set(share)) for share in shares) == len(NAMES)
    # Of 4000 clips each of 7 shards has 571, give or take four standard deviations of 22.
    assert all(abs(len(share) / 2 - 4000 / shards) < 90 for share in shares)


def test_spellings_of_a_path_are_one_clip_and_folders_are_not(tmp_path: Path) -> None:
    write_rows(
        tmp_path / "t.jsonl", [{"src": f"{front}{name}"} for name in NAMES[:200] for front in ("", "./", "a/../")]
    )
    share = _rows_of(tmp_path / "t.jsonl", "1/2", "/clips")
    assert len(share) == 3 * len({clip.rpartition("/")[2] for clip in share})
    write_rows(tmp_path / "u.jsonl", [{"src": f"/clips/{name}"} for name in NAMES[:200]])
    assert [f"/clips/{clip}" for clip in share[::3]] == _rows_of(tmp_path / "u.jsonl", "1/2", "/clips")
    assert share != _rows_of(tmp_path / "t.jsonl", "1/2", "/other")


def test_rows_that_have_their_numbers_are_in_no_share(tmp_path: Path) -> None:
    done = {"saliency_mean": 0.5, "saliency_var": 0.1}
    write_rows(
        tmp_path / "t.jsonl", [{"src": name, **(done if number % 2 else {})} for number, name in enumerate(NAMES)]
    )
    shares = [_rows_of(tmp_path / "t.jsonl", f"{number}/3") for number in (1, 2, 3)]
    assert sorted(clip for share in shares for clip in share) == sorted(NAMES[::2])


def test_shards_are_the_same_on_every_machine_and_in_every_version(tmp_path: Path) -> None:
    """Pinned: the shards of one table may be computed by two releases."""
    write_rows(tmp_path / "t.jsonl", [{"src": f"/clips/{number}.mp4"} for number in range(16)])
    shares = [
        [int(Path(clip).stem) for clip in _rows_of(tmp_path / "t.jsonl", f"{number}/4")] for number in (1, 2, 3, 4)
    ]
    assert shares == [[7, 12, 14], [0, 5, 15], [3, 4, 10, 11], [1, 2, 6, 8, 9, 13]]
