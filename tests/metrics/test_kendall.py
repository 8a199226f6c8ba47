"""Sorting gives the tau-a that enumeration gives, compiled or not, tied or not."""

from __future__ import annotations

import numpy as np
import pytest
from oracles import tau_a_by_enumeration

from neurocompare.metrics import kendall
from neurocompare.metrics.kendall import tau_a_with_each


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("levels", [None, 3, 10])
@pytest.mark.parametrize("n", [2, 3, 31, 33, 64, 150])
def test_by_enumeration(monkeypatch, n, levels, compiled):
    if compiled:
        pytest.importorskip("numba")
    else:
        monkeypatch.setattr(kendall, "numba", None)
    rng = np.random.default_rng(n)
    a = rng.random(n)
    rows = a + rng.random((4, n))
    if levels:
        a, rows = np.ceil(levels * a), np.ceil(levels * rows)
    if n == 2:
        a = np.arange(2.0)
        rows = np.array([[0.0, 1.0], [1.0, 0.0]])
    before = rows.copy()
    expected = [tau_a_by_enumeration(a, row) for row in rows]
    np.testing.assert_allclose(tau_a_with_each(a, rows), expected, atol=1e-12)
    np.testing.assert_array_equal(rows, before)


@pytest.mark.parametrize("levels", [None, 1000])
def test_of_vectors_so_long_that_counts_go_beyond_all_levels(levels):
    """Against scipy, whose tau-b is tau-a where nothing is tied, and is turned into it where something is."""
    pytest.importorskip("numba")
    rng = np.random.default_rng(0)
    a = rng.random(150_000)
    b = 0.3 * a + rng.random(a.size)
    if levels:
        a, b = np.ceil(levels * a), np.ceil(levels * b)
    assert tau_a_with_each(a, b[None])[0] == pytest.approx(kendall._by_scipy(a, b), abs=1e-12)
