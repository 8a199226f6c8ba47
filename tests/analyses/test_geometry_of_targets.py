"""Angles by hand, targets by linear algebra and autograd, and what must hold of any inverse."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from analyses import target_planes, target_propagation_figures
from analyses import target_propagation as study
from analyses.target_planes import DAMPINGS, DIFFERENCE, LOCAL, PLAIN, Plane
from neurocompare.losses import squared_error
from neurocompare.networks import mlp
from neurocompare.rules import RULES

ROUTE = {name: number for number, name in enumerate(target_planes.ROUTES)}
UNDAMPED, GRADIENT = DAMPINGS.index(0), DAMPINGS.index(float("inf"))


def net_of(*hidden, classes=4, activation="identity"):
    return mlp(classes, input_shape=(5,), hidden=hidden, activation=activation, seed=3).double()


def batch(net, n=9):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, *net.in_shape, generator=generator, dtype=torch.float64)
    return x, torch.arange(n) % net.n_outputs


def with_inverses(name, net, weights):
    rule = RULES[name].for_net(net, seed=0, target_step=0.3)
    with torch.no_grad():
        for layer, inverse in rule.inverses.items():
            inverse.weight.copy_(weights(net.layers[layer].weight))
    return rule


def test_angles_by_hand():
    a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [3.0, 4.0], [2.0, 0.0], [0.0, 0.0]], dtype=torch.float64)
    b = torch.tensor([[1.0, 1.0], [0.0, 0.1], [6.0, 8.0], [-5.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    found = target_planes.angle(a, b)
    torch.testing.assert_close(found[:4], torch.tensor([45.0, 90.0, 0.0, 180.0], dtype=torch.float64))
    assert found[4].isnan()
    tiny = torch.tensor([math.cos(1e-9), math.sin(1e-9)], dtype=torch.float64)  # its cosine is 1 in double precision
    assert float(target_planes.angle(a[0], tiny)) == pytest.approx(math.degrees(1e-9), rel=1e-6)


@pytest.mark.parametrize("name", [DIFFERENCE, LOCAL])
@pytest.mark.parametrize("hidden", [(6, 5, 4), (4, 4, 4)])
def test_exact_linear_inverses_lead_to_gauss_newton_targets(name, hidden):
    net = net_of(*hidden)
    angles = study.target_angles(net, with_inverses(name, net, lambda w: torch.linalg.pinv(w).T), *batch(net))
    np.testing.assert_allclose(angles[:, ROUTE["layer by layer"], UNDAMPED], 0, atol=1e-5)
    at_once = angles[:, ROUTE["at once"], UNDAMPED]
    if name == LOCAL and hidden == (4, 4, 4):  # only of square matrices is pinv(A B) the product pinv(B) pinv(A)
        np.testing.assert_allclose(at_once, 0, atol=1e-5)
    else:
        assert at_once[0] > 5
    assert (angles[:2, :, GRADIENT] > 5).all()


def test_the_weights_themselves_as_inverses_lead_to_the_gradient():
    net = net_of(6, 5, 4)
    rule = with_inverses(LOCAL, net, lambda w: w)
    angles = study.target_angles(net, rule, *batch(net))
    np.testing.assert_allclose(angles[:, :, GRADIENT], 0, atol=1e-5)
    np.testing.assert_allclose(study.update_angles(net, rule, *batch(net)), 0, atol=1e-5)
    np.testing.assert_allclose(
        study.update_angles(net, study.with_mean_jacobians(net, batch(net)[0]), *batch(net)), 0, atol=1e-5
    )
    assert (angles[:2, :, UNDAMPED] > 5).all()


def test_the_best_linear_inverse_has_the_mean_of_the_transposed_jacobians():
    net = net_of(6, 5, 3, activation="tanh")
    x, _ = batch(net)
    rule = study.with_mean_jacobians(net, x)
    _, single = study.jacobians(net, x)
    for name, jacobian in zip(("fc2", "fc3"), single, strict=True):
        torch.testing.assert_close(rule.inverses[name].weight.data, jacobian.mean(0))
    torch.testing.assert_close(rule.inverses["readout"].weight.data, net.readout.weight.data)


def test_jacobians_by_autograd():
    net = net_of(6, 5, 3, activation="tanh")
    x, _ = batch(net)
    with torch.no_grad():
        whole, single = study.jacobians(net, x)
        inputs = net.trace(x).inputs
    layers = list(net.layers.values())

    def above(number):
        return lambda h: torch.nn.Sequential(*layers[number:])(h[None])[0]

    for number, jacobian in enumerate(whole, 1):
        expected = torch.stack([torch.autograd.functional.jacobian(above(number), h) for h in inputs[number]])
        torch.testing.assert_close(jacobian, expected)
    for layer, h, jacobian in zip(layers[1:], inputs[1:], single, strict=False):
        expected = torch.stack([torch.autograd.functional.jacobian(lambda v: layer(v[None])[0], v) for v in h])  # noqa: B023
        torch.testing.assert_close(jacobian, expected)


def test_damped_pseudoinverses_by_normal_equations():
    jacobian = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    jacobian[1, 3] = jacobian[1, :3].sum(0)  # of rank 3
    largest = torch.linalg.matrix_norm(jacobian, ord=2).square()[:, None, None]
    found = study.damped(jacobian)
    for damping, inverse in zip(DAMPINGS[1:-1], found[1:-1], strict=True):
        normal = jacobian.mT @ jacobian + damping * largest * torch.eye(6, dtype=torch.float64)
        torch.testing.assert_close(inverse, torch.linalg.solve(normal, jacobian.mT))
    torch.testing.assert_close(found[UNDAMPED], torch.linalg.pinv(jacobian))
    torch.testing.assert_close(found[GRADIENT], jacobian.mT)


def jacobian_at(plane, h):
    return torch.autograd.functional.jacobian(lambda v: plane.layer(v[None])[0], h)


def test_the_way_down_by_autograd():
    plane = Plane(1)
    h = plane.activities(7).requires_grad_()
    y = plane.layer(h)
    (gradient,) = torch.autograd.grad(0.5 * (y - plane.goal).square().sum(), h)
    torch.testing.assert_close(plane.descent(h.detach()), -gradient)
    torch.testing.assert_close(plane.cost(h.detach()), (0.5 * (y - plane.goal).square().sum(1)).detach())


def test_exact_targets_bring_the_output_where_it_should_be_and_begin_as_gauss_newton_steps():
    plane = Plane(2)
    h = plane.activities(7)
    for step in target_planes.STEPS:
        target = plane.target("exact", h, step)
        torch.testing.assert_close(plane.cost(target), (1 - step) ** 2 * plane.cost(h), atol=1e-12, rtol=1e-9)
    newton = torch.stack(
        [torch.linalg.pinv(jacobian_at(plane, v)) @ (plane.goal - plane.layer(v[None]))[0].detach() for v in h]
    )
    errors = [((plane.target("exact", h, s) - h) / s - newton).norm() / newton.norm() for s in (1e-3, 1e-4)]
    assert errors[0] < 0.02
    assert float(errors[0] / errors[1]) == pytest.approx(10, rel=0.1)  # first order in s


def test_an_inverse_with_the_transposed_jacobian_leads_along_the_gradient_as_the_step_vanishes():
    """``g(y') = tanh(V^T (y' - y))``: its Jacobian at y is ``V^T``, and it is odd around y."""
    plane = Plane(3)
    h = plane.activities(1)
    jacobian = jacobian_at(plane, h[0])
    with torch.no_grad():
        plane.inverse.weight.copy_(jacobian)
        plane.inverse.bias.copy_(-jacobian.T @ plane.layer(h)[0])
    angles = [
        float(target_planes.angle(plane.target(DIFFERENCE, h, s) - h, plane.descent(h))) for s in (0.3, 0.1, 0.03)
    ]
    slope = np.polyfit(np.log([0.3, 0.1, 0.03]), np.log(angles), 1)[0]
    assert slope == pytest.approx(2, abs=0.1)
    # Without the correction the target is near 0, wherever h is.
    torch.testing.assert_close(plane.target(PLAIN, h, 0.03), plane.target(DIFFERENCE, h, 0.03) - h)


def test_the_correction_removes_a_displacement_and_nothing_else_does(monkeypatch):
    plane = Plane(0)
    h, displacement = plane.activities(5), torch.tensor([0.2, -0.1], dtype=torch.float64)
    before = {way: plane.target(way, h, 0.5) for way in (PLAIN, DIFFERENCE)}
    for way, rule in plane.rules.items():
        monkeypatch.setattr(rule, "invert", lambda *a, own=rule.invert: own(*a) + displacement)
        expected = before[way] + (displacement if way == PLAIN else 0)
        torch.testing.assert_close(plane.target(way, h, 0.5), expected)
    assert torch.equal(plane.target(DIFFERENCE, h, 0.0), h)
    assert not torch.allclose(plane.target(PLAIN, h, 0.0), h, atol=0.01)


def test_in_the_plane_the_correction_makes_up_for_an_imperfect_inverse():
    found = target_planes.geometry(5, stages=(0, 600))
    error = found["reconstruction"]
    assert (error.isel(stage=1) < 0.6 * error.isel(stage=0)).all()
    np.testing.assert_array_equal(found["lowers"].sel(way="exact"), 1)
    exact = found["plane_angle"].sel(way="exact")
    np.testing.assert_array_equal(exact.isel(stage=0), exact.isel(stage=1))
    last = found.isel(stage=1).sel(step=0.1)
    assert float(last["plane_angle"].sel(way=DIFFERENCE).mean()) < float(last["plane_angle"].sel(way=PLAIN).mean()) - 10
    assert float(last["lowers"].sel(way=DIFFERENCE).mean()) > float(last["lowers"].sel(way=PLAIN).mean())


@pytest.fixture(scope="module")
def small():
    return study.compute((PLAIN, DIFFERENCE, LOCAL), planes=3, stages=(0, 300), steps=20, seeds=3, feedback_steps=(1,))


def test_both_parts_come_out_whole(small):
    assert small["update_angle"].shape == (3, 1, 3, 5, 3)
    assert small["target_angle"].shape == (3, 1, 3, 5, 3, 2, 6)
    assert small["plane_angle"].shape == (3, 3, 2, 2)
    assert all(small[name].notnull().all() for name in small)
    assert ((small["update_angle"] >= 0) & (small["update_angle"] <= 180)).all()
    top = small["update_angle"].sel(layer="hidden 3")
    np.testing.assert_allclose(top.sel(rule=[PLAIN, DIFFERENCE]), 0, atol=1e-4)
    assert (top.sel(rule=LOCAL).isel(check=-1) > 1).all()
    assert (small["floor"] < 60).all()


def test_more_steps_of_the_inverses_bring_difference_reconstruction_nearer_to_the_gradient():
    data = study.load_digits_dataset()
    ends = [study.learn(LOCAL, data, 200, 0, n)["update_angle"][-1, -1] for n in (1, 10)]
    assert ends[1] < ends[0] - 30


def test_what_is_said_follows_from_the_numbers(small, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "compute", lambda **_: small)
    paths = study.main(tmp_path, quick=True)
    assert {path.suffix for path in paths} == {".nc", ".svg", ".pdf", ".png"}
    said = capsys.readouterr().out
    for text in (
        "quick version",
        "Lee et al. 2015",
        "Ernoult et al. 2022",
        "Meulemans et al. 2020",
        "best linear inverses",
    ):
        assert text in said
    gap = small["plane_angle"].isel(stage=-1, step=0)
    shifted = small.copy()
    better = gap.sel(way=PLAIN) - gap.sel(way=DIFFERENCE)
    for sign, verdict in ((1, ": reproduced"), (-1, ": NOT reproduced")):
        values = small["plane_angle"].copy()
        values.loc[{"way": PLAIN}] = values.sel(way=DIFFERENCE) + sign * (30 + 0 * better)
        shifted["plane_angle"] = values
        assert all(verdict in line for line in target_propagation_figures.findings(shifted) if "Lee et al." in line)


def test_the_loss_can_be_another():
    net = net_of(4, 4, 4)
    rule = with_inverses(LOCAL, net, lambda w: torch.linalg.pinv(w).T)
    # The rule's own targets and the steps that they are compared with must be of the same loss.
    np.testing.assert_allclose(study.target_angles(net, rule, *batch(net), squared_error)[:, :, UNDAMPED], 0, atol=1e-5)
