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
