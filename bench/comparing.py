"""Time and peak memory of `saliency-batch compare` on two long tables, with scores and VMAF's features.

    python bench/comparing.py [--rows 150000]

The tables are made up: two models whose means go with the scores and whose variances do not, one row in a hundred has
failed. The command also writes its page and its JSON file. Processor time is that of all its threads.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness.memory import COMMAND, measure


def main() -> None:
    """Make the tables, compare them and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=150_000)
    rows = parser.parse_args().rows
    generator = np.random.default_rng(0)
    quality = generator.normal(size=rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scores = _make_scores(quality, generator)
        pq.write_table(scores, folder / "scores.parquet")
        for model in ("m1", "m2"):
            pq.write_table(_make_side(quality, generator, model), folder / f"{model}.parquet")
        tables = [str(folder / f"{each}.parquet") for each in ("m1", "m2")]
        command = [*COMMAND[:-2], "compare", *tables, "--labels", str(folder / "scores.parquet"), "--target", "mos"]
        seconds, peak = measure([*command, "--html", str(folder / "page.html"), "--json", str(folder / "all.json")])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = used.ru_utime + used.ru_stime
    print(f"{rows:,} rows: {seconds} s, {busy:.0f} s of processor time, {peak:.0f} MB")


def _make_scores(quality: np.ndarray, generator: np.random.Generator) -> pa.Table:
    rows = len(quality)
    features = {name: quality + generator.normal(size=rows) for name in ("adm2", "motion2")}
    features |= {f"vif_scale{scale}": quality + generator.normal(size=rows) for scale in range(4)}
    mos = np.clip(3 + 0.8 * quality + 0.3 * generator.normal(size=rows), 1, 5)
    return pa.table({"key": _make_keys(rows), "mos": mos, **features})


def _make_side(quality: np.ndarray, generator: np.random.Generator, model: str) -> pa.Table:
    rows = len(quality)
    failed = generator.random(rows) < 0.01
    means = 1 / (1 + np.exp(1.5 - 0.35 * quality - 0.8 * generator.normal(size=rows)))
    numbers = {"saliency_mean": means, "saliency_var": generator.uniform(0.02, 0.08, rows)}
    tags = {"model_id": model, "aggregator": "mean", "sampling": "uniform:8@320x320"}
    return pa.table(
        {"key": _make_keys(rows)}
        | {name: pa.array(values, mask=failed) for name, values in numbers.items()}
        | {"saliency_status": np.where(failed, "decode-failed", "ok")}
        | {f"saliency_{name}": pa.array([value] * rows, mask=failed) for name, value in tags.items()}
    )


def _make_keys(rows: int) -> list[str]:
    return [f"{row:07d}" for row in range(rows)]


if __name__ == "__main__":
    main()
