"""The settle loop on a contraction whose fixed point is known."""

from __future__ import annotations

import pytest
import torch

from neurocompare.rules.settling import settle


def halve(state):
    """Moves each unit half the way to 1."""
    return [0.5 * s + 0.5 for s in state]


def test_takes_the_steps_it_is_given_and_leaves_the_start_alone():
    start = [torch.zeros(2, 3), torch.full((2, 4), 3.0)]
    state, residual = settle(halve, start, 4)
    torch.testing.assert_close(state[0], torch.full((2, 3), 1 - 2.0**-4))
    torch.testing.assert_close(state[1], torch.full((2, 4), 1 + 2 * 2.0**-4))
    assert float(residual) == pytest.approx(2 * 2.0**-4)  # the last sweep halves a distance of 2 * 2^-3
    assert float(start[0].abs().max()) == 0


def test_stops_once_nothing_moves_by_more_than_the_tolerance():
    calls = []

    def counted(state):
        calls.append(1)
        return halve(state)

    state, residual = settle(counted, [torch.zeros(1, 1)], 100, tolerance=0.1)
    assert len(calls) == 4  # moves 1/2, 1/4, 1/8, 1/16
    assert float(residual) == 1 / 16
    assert float(state[0]) == 1 - 1 / 16


def test_no_steps_change_nothing():
    start = [torch.ones(1, 2)]
    state, residual = settle(halve, start, 0)
    assert state[0] is start[0]
    assert float(residual) == 0
