"""The differences of maps against numpy's own, and gates that let nothing doubtful through."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from saliency_engine.errors import ModelError
from saliency_engine.numerics.fidelity import Gate, compare, merge

GATE = Gate(correlation=0.99, delta_mean=0.01, max_abs=0.5)


def maps(count: int = 5) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(8).random((count, 12, 16), dtype=np.float32)


def test_numbers_are_numpys() -> None:
    parent = maps()
    variant = np.clip(parent + np.random.default_rng(9).normal(0, 0.05, parent.shape), 0, 1).astype(np.float32)
    fidelity = compare(parent, variant)
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(parent, variant, strict=True)]
    assert (fidelity.frames, fidelity.flat) == (5, 0)
    assert fidelity.correlation == pytest.approx(np.mean(correlations), abs=1e-6)
    assert fidelity.least_correlation == pytest.approx(np.min(correlations), abs=1e-6)
    a, b = parent.astype(np.float64), variant.astype(np.float64)
    assert fidelity.delta_mean == pytest.approx(np.abs(a.mean((1, 2)) - b.mean((1, 2))).max(), abs=1e-9)
    assert fidelity.delta_var == pytest.approx(np.abs(a.var((1, 2)) - b.var((1, 2))).max(), abs=1e-9)
    assert fidelity.mae == pytest.approx(np.abs(a - b).mean(), abs=1e-9)
    assert fidelity.max_abs == pytest.approx(np.abs(a - b).max(), abs=1e-9)


def test_what_parts_are_merged_to_is_measured_on_all() -> None:
    parent, variant = maps(6), np.ascontiguousarray(maps(6)[::-1] * np.float32(0.9))
    parent[3:5] = 0.5
    parts = [merge([compare(parent[part], variant[part]) for part in (slice(0, 1), slice(1, 3), slice(3, 5))])]
    merged, whole = merge([*parts, compare(parent[5:], variant[5:])]), compare(parent, variant)
    assert (merged.frames, merged.flat) == (6, 2)
    assert dataclasses.astuple(merged) == pytest.approx(dataclasses.astuple(whole), abs=1e-12)


def test_flat_maps_have_no_correlation_but_a_mean() -> None:
    parent, variant = maps(2), maps(2)
    parent[0], variant[0] = 0.5, 0.6
    fidelity = compare(parent, variant)
    assert fidelity.flat == 1
    assert fidelity.correlation == pytest.approx(1.0)
    assert fidelity.delta_mean == pytest.approx(0.1, abs=1e-6)
    assert "flat" in " ".join(GATE.misses(compare(parent[:1], parent[:1])))


def test_a_variant_that_lost_the_map_has_no_correlation() -> None:
    assert compare(maps(1), np.full((1, 12, 16), 0.5, np.float32)).correlation == 0.0


def test_the_gate_names_what_missed() -> None:
    passed = compare(maps(), maps())
    assert GATE.misses(passed) == []
    assert GATE.misses(dataclasses.replace(passed, correlation=0.98)) == ["mean correlation 0.98000 (must be ≥ 0.99)"]
    assert GATE.misses(dataclasses.replace(passed, delta_mean=0.02)) == ["largest |Δmean| 0.02000 (must be ≤ 0.01)"]
    assert len(GATE.misses(dataclasses.replace(passed, max_abs=0.6))) == 1
    poisoned = maps()
    poisoned[0, 0, 0] = np.nan
    assert len(GATE.misses(compare(maps(), poisoned))) == 3
    assert len(GATE.misses(compare(poisoned, maps()))) == 3


def test_maps_of_another_size_are_an_error() -> None:
    with pytest.raises(ModelError, match="parent's"):
        compare(maps(), maps()[:, ::2])
