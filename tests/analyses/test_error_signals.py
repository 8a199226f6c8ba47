"""Inference against closed forms and fixed points, stimuli and fields against what can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from analyses import error_signals, error_signals_figures, objects_of_parts
from analyses.error_signals import SILENT, compute, expectation, fields, relaxation, staged, taught, turned
from analyses.error_signals_figures import report, verdict
from analyses.objects_of_parts import (
    CONDITIONS,
    FREQUENT,
    PART,
    PATCH,
    SIDE,
    Objects,
    blanked,
    geometry,
    index,
    measures,
)
from neurocompare.losses import cross_entropy, one_hot, squared_error
from neurocompare.networks import mlp
from neurocompare.rules import RULES

LINEAR = {"input_shape": (5,), "activation": "identity"}


def double_batch(count=3, inputs=5):
    return torch.randn(count, inputs, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_errors_of_a_linear_network_follow_the_closed_form_and_come_to_rest_at_it():
    """``eps(t) = rest + (1 - rate (1 + W^T W))^t (eps(0) - rest)`` and ``rest = (1 + W^T W)^-1 W^T (label - W V x)``."""
    net = mlp(3, hidden=(4,), **LINEAR, seed=0).double()
    with torch.no_grad():
        net.readout.weight.mul_(10)
    x, y, start = double_batch(), torch.tensor([0, 2, 1]), double_batch(3, 4)
    below, w = (layer.weight.detach() for layer in (net.fc1, net.readout))
    label, drive, eye = one_hot(torch.zeros(3, 3).double(), y), x @ below.T, torch.eye(4, dtype=torch.float64)
    system = eye + w.T @ w
    rest = torch.linalg.solve(system, ((label - drive @ w.T) @ w).T).T
    shrink, moving = eye - 0.1 * system, start - drive - rest
    for step, (values, eps) in enumerate(relaxation(net, x, [start], y, squared_error, 300)):
        torch.testing.assert_close(
            eps[0], rest + moving @ torch.linalg.matrix_power(shrink, step), rtol=1e-9, atol=1e-12
        )
        torch.testing.assert_close(values[0] - eps[0], drive)
    assert rest.abs().max() > 0.1
    torch.testing.assert_close(eps[0], rest, rtol=1e-9, atol=1e-9)


def test_from_the_forward_pass_it_is_the_rules_own_inference():
    net = mlp(3, input_shape=(5,), hidden=(6, 4), activation="tanh", seed=0).double()
    x, y = double_batch(), torch.tensor([0, 2, 1])
    with torch.no_grad():
        start = net.trace(x).inputs[1:]
    course = list(relaxation(net, x, start, y, cross_entropy, 7))
    credit = RULES["predictive_coding"].for_net(net, seed=0, steps=7).assign_credit(net, x, y, cross_entropy)
    for value, error, target, delta, a in zip(
        *course[-1], credit.targets, credit.deltas, preactivations(net, x, course), strict=False
    ):
        torch.testing.assert_close(value, target, rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(-error * (1 - a.tanh() ** 2) / len(x), delta, rtol=1e-10, atol=1e-14)
    assert not any(error.any() for error in course[0][1])


def preactivations(net, x, course):
    with torch.no_grad():
        return [layer.affine(below) for layer, below in zip(net.layers.values(), [x, *course[-1][0]], strict=False)]


@pytest.mark.parametrize(
    "name", ["equilibrium_propagation", "contrastive_hebbian", "dual_propagation", "predictive_coding"]
)
@pytest.mark.parametrize("source", ["nothing from above", "what was expected"])
def test_without_a_nudge_there_is_no_difference_to_carry(name, source):
    net = mlp(3, input_shape=(5,), hidden=(6, 4), activation="tanh", seed=0).double()
    rule, x = RULES[name].for_net(net, seed=0), double_batch()
    *_, output = rule.activities(net, x).values()
    loss = SILENT if source == "nothing from above" else expectation(cross_entropy.prediction(output.detach()))
    credit = rule.assign_credit(net, x, torch.arange(3), loss)
    assert all(delta.abs().max() < 1e-15 for delta in credit.deltas)
    moved = rule.assign_credit(net, x, torch.tensor([0, 2, 1]), cross_entropy)
    assert all(delta.abs().max() > 1e-6 for delta in moved.deltas)


@pytest.mark.parametrize("name", ["equilibrium_propagation", "contrastive_hebbian"])
def test_taught_activities_are_the_fixed_point_with_the_output_moved(name):
    net = mlp(3, input_shape=(5,), hidden=(4,), activation="tanh", seed=0).double()
    with torch.no_grad():
        net.readout.weight.mul_(10)
    second = {"equilibrium_propagation": {"nudged_sweeps": 200, "symmetric": False}}.get(name, {"clamped_sweeps": 200})
    rule = RULES[name].for_net(net, seed=0, free_sweeps=200, **second)
    x, y = double_batch(), torch.tensor([0, 2, 1])
    with torch.no_grad():
        free, output = rule.activities(net, x).values()
        moved = taught(rule, net, [free], rule.assign_credit(net, x, y, cross_entropy))[0]
        above = cross_entropy.target(output, y)
        if name == "equilibrium_propagation":
            above = net.readout.affine(moved)
            for _ in range(100):
                above = net.readout.affine(moved) - 0.5 * cross_entropy.error(above, y)
        gain = rule.dynamics(net).gains[0]
        settled = torch.tanh(net.fc1.affine(x) + gain * above @ net.readout.weight)
    assert (moved - free).abs().max() > 0.01
    torch.testing.assert_close(moved, settled, rtol=1e-9, atol=1e-11)


def test_objects_have_their_parts_in_place_or_none_of_them(monkeypatch):
    monkeypatch.setattr(objects_of_parts, "NOISE", 0.0)
    objects = Objects.of(3)
    torch.testing.assert_close(objects.parts.square().mean((2, 3)), torch.ones(4, 4))
    torch.testing.assert_close(objects.parts.mean((2, 3)), torch.zeros(4, 4), atol=1e-6, rtol=0)
    for typical in (1.0, 0.0):
        images, labels = objects.draw(50, typical, torch.Generator().manual_seed(0))
        for image, label in zip(images[:, 0], labels, strict=True):
            quarters = [image[r : r + PART, c : c + PART] for r in (0, PART) for c in (0, PART)]
            own = objects.parts[label]
            assert [torch.equal(q, part) for q, part in zip(quarters, own, strict=True)] == [bool(typical)] * 4
            assert all(any(torch.equal(q, part) for q in quarters) for part in own)
    images, labels = objects.draw(2000, CONDITIONS["typical 1 in 4"], torch.Generator().manual_seed(0))
    of_first = images[labels == 0, 0, :PART, :PART]
    counts = [int((of_first == part).all(2).all(1).sum()) for part in objects.parts[0]]
    assert sum(counts) == len(of_first)
    np.testing.assert_allclose(np.array(counts) / len(of_first), 0.25, atol=4 * (0.25 * 0.75 / len(of_first)) ** 0.5)


def test_patches_tile_the_image():
    x = torch.rand(3, 1, SIDE, SIDE) + 0.1
    changed = blanked(x)
    assert changed.shape == ((SIDE // PATCH) ** 2, 3, 1, SIDE, SIDE)
    second_row = SIDE // PATCH + 1
    expected = x.clone()
    expected[:, :, PATCH : 2 * PATCH, PATCH : 2 * PATCH] = 0
    assert torch.equal(changed[second_row], expected)
    assert torch.equal((changed == 0).sum(0), torch.ones(x.shape, dtype=torch.long))


def test_sizes_and_centres_of_fields():
    side = SIDE // PATCH
    one, two = np.zeros((side, side)), np.zeros((side, side))
    one[2, 3] = 7
    two[2, 3] = two[2, 5] = 0.4
    centres, sizes = geometry(np.stack([one.ravel(), two.ravel()], 1))
    np.testing.assert_allclose(centres, [[5, 7], [5, 9]])
    np.testing.assert_allclose(sizes, [0, 2], atol=1e-7)


def test_measures_of_the_same_and_of_a_field_without_place():
    generator = np.random.default_rng(0)
    side = SIDE // PATCH
    visual = np.zeros((side, side, 30))
    for unit, (row, column) in enumerate(generator.integers(0, side - 2, (30, 2))):
        visual[row : row + 3, column : column + 3, unit] = 1
    visual = visual.reshape(-1, 30)
    np.testing.assert_allclose(measures(5 * visual, visual), 1, rtol=1e-9)
    everywhere = generator.uniform(0.9, 1.1, visual.shape)
    size, inside, agreement = measures(everywhere, visual)
    # rms distance on a grid of n x n places is sqrt((n^2 - 1) / 6)
    assert size == pytest.approx(((side**2 - 1) / (3**2 - 1)) ** 0.5, rel=0.02)
    assert inside == pytest.approx(9 / side**2, rel=0.05)
    assert abs(agreement) < 0.5


def test_the_first_error_of_the_lower_layer_is_its_visual_field_and_the_upper_layer_has_none_yet():
    found = fields("predictive_coding", seed=0, training=3, steps=2, count=2)
    lower, upper = found["predictive_coding"]
    np.testing.assert_allclose(lower[0], found["visual"][0], rtol=1e-5, atol=1e-6)
    assert lower[0].max() > 0.01
    np.testing.assert_allclose(upper[0], 0, atol=1e-6)
    assert upper[1].max() > 1e-3
    stages = staged(found, "predictive_coding")
    np.testing.assert_array_equal(stages["predictive_coding, at the end"][0], lower[2])
    np.testing.assert_allclose(stages["predictive_coding, summed over time"][1], upper.sum(0))


def test_backprops_field_is_the_delta_of_each_changed_image():
    """One image, one place, by autograd."""
    found = fields("backprop", seed=1, training=3, steps=0, count=1)
    objects = Objects.of(1)
    net = error_signals.convnet(4, input_shape=(1, SIDE, SIDE), channels=(8, 16), hidden=(), seed=1)
    error_signals.learn(net, "backprop", objects, CONDITIONS[FREQUENT], 3, 1)
    x, _ = objects.draw(1, 1.0, torch.Generator().manual_seed(1))
    a = net.conv1.affine(blanked(x)[20]).detach().requires_grad_()
    divergence = torch.nn.functional.cross_entropy(
        net.readout(net.conv2(net.conv1.activate(a))), net(x).softmax(1).detach()
    )
    (delta,) = torch.autograd.grad(divergence, a)
    assert delta.abs().max() > 0
    np.testing.assert_allclose(found["backprop"][0][20], delta.abs().flatten(), rtol=1e-3, atol=1e-8)


def test_indices_and_verdicts():
    np.testing.assert_allclose(index(np.array([3.0, 0.0, 0.0]), np.array([1.0, 2.0, 0.0])), [0.5, -1, 0])
    preference = np.array([[[9.0, 9, 9, 9, 9], [1, 1, 1, -1, -1], [1, -1, -1, -1, 1]]])
    np.testing.assert_allclose(turned(preference, 1), [2 / 3])
    high, low, none = np.array([0.5, 0.6, 0.55]), np.array([-0.5, -0.6, -0.55]), np.array([-0.5, 0.6, 0.05])
    assert [verdict(high, v) for v in (low, high, none)] == ["turns round", "stays", "is lost"]
    assert {verdict(v, low) for v in (low, none)} == {"is not there early"}


def test_a_small_run_has_its_shapes_and_words():
    dataset = compute(["predictive_coding", "contrastive_hebbian", "backprop"], seeds=3, training=5, steps=8, count=20)
    assert dataset["response"].sizes == {
        "condition": 4, "seed": 3, "layer": 2, "kind": 2, "arrangement": 2, "step": 9
    }  # fmt: skip
    assert dataset["preference"].sel(rule="backprop", signal="activity, taught").isnull().all()
    assert not dataset["field"].isnull().any()
    np.testing.assert_allclose(dataset["response"].sel(layer="upper", kind="error", step=0), 0, atol=1e-6)
    words = report(dataset)
    assert "typical 9 in 10, lower errors" in words
    assert "contrastive_hebbian" in words
    figure = error_signals_figures.plot(dataset)
    labels = {text.get_text() for axis in figure.axes if axis.get_legend() for text in axis.get_legend().get_texts()}
    assert {"errors, nothing from above", "lower layer", "activity, taught"} <= labels


@pytest.mark.slow
def test_the_quick_version_finds_that_only_errors_turn_round_and_only_with_something_from_above(tmp_path, capsys):
    paths = error_signals.main(tmp_path, quick=True)
    assert {path.suffix for path in paths} == {".nc", ".svg", ".pdf", ".png"}
    told = capsys.readouterr().out
    assert "turns round in: typical 9 in 10, lower errors; typical 9 in 10, upper errors\n" in told
    assert "lower layer: predictive_coding, at its peak\n" in told
