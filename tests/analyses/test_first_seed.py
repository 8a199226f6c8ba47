"""Analyses with other seeds: the second network of one set is the first of the next, and nothing else is shared."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from analyses import (
    ANALYSES,
    error_signals,
    gratings,
    learning_speed,
    perceptual_learning,
    rule_recovery,
    target_propagation,
)
from analyses.rules_vs_brain_studies import PARTS

RATES = {"backprop": 3e-3}
BY_SEED = {
    "error_signals": (
        partial(error_signals.compute, ["predictive_coding"], training=2, steps=8, count=20),
        ("response", "preference", "field"),
    ),
    "target_propagation": (
        partial(target_propagation.compute, ("target_propagation",), planes=1, stages=(0,), steps=10, feedback_steps=(1,)),
        ("update_angle", "accuracy"),
    ),
    "perceptual_learning": (
        partial(perceptual_learning.compute, RATES, (5.0,), before=gratings.textures(200), steps=2, epochs=1, rates=RATES),
        ("change", "accuracy_before"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BY_SEED)
def test_sets_of_seeds_overlap_as_their_numbers_do(name):
    compute, variables = BY_SEED[name]
    first, next_one = compute(seeds=2), compute(seeds=2, first_seed=1)
    for variable in variables:
        np.testing.assert_array_equal(next_one[variable].isel(seed=0), first[variable].isel(seed=1), err_msg=variable)
        assert not first[variable].isel(seed=0).equals(first[variable].isel(seed=1)), variable


def test_planes_of_target_propagation_are_others_too():
    first, next_one = (target_propagation.geometry(2, stages=(0,), first_seed=seed) for seed in (0, 1))
    np.testing.assert_array_equal(next_one["plane_angle"].isel(plane=0), first["plane_angle"].isel(plane=1))


def test_perceptrons_and_learning_curves_change():
    pairs = [
        learning_speed.compute(["backprop"], steps=60, examples=3, replicates=2, first_seed=seed) for seed in (0, 9)
    ]
    for variable in ("distance", "loss"):
        assert (pairs[0][variable].values != pairs[1][variable].values).any(), variable


def test_panels_and_studies_are_shifted_whole():
    assert rule_recovery.PANELS["quick"].entries(7) == [
        (rule, seed + 7) for rule, seed in rule_recovery.PANELS["quick"].entries()
    ]
    part = PARTS["full"]["cifar10_jpeg"]
    assert part.with_seeds_from(10).spec == part.spec.model_copy(update={"seeds": (10, 11, 12, 13, 14)})


def test_the_command_passes_it_on(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from neurocompare.cli import app

    asked = []
    monkeypatch.setitem(ANALYSES, "learning_speed", lambda *arguments: asked.append(arguments) or [])
    found = CliRunner().invoke(app, ["analysis", "learning_speed", "-o", str(tmp_path), "--first-seed", "40"])
    assert (found.exit_code, asked) == (0, [(tmp_path, False, 40)])
