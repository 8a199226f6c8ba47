"""Target propagation: where targets come to lie, and how its updates stand to the gradient (Lillicrap et al. 2020, Fig. 3).

First a layer of two units, ``y = f(h)``, whose plane can be drawn. The output is to move to ``y~ = y - s (y - y*)``; a
learnt inverse ``g`` makes of that the target ``g(y~)`` (target propagation) or ``h - g(y) + g(y~)`` (difference target
propagation, Lee et al. 2015, arXiv:1412.7525). Where ``g`` is no inverse yet, the first is displaced by ``g(y) - h`` even
if y is right already; the second is not. To first order in s the second moves along ``J_g e``, ``e = y* - y``: along the
gradient for ``J_g = J_f^T`` (Ernoult et al. 2022, arXiv:2201.13415), along ``pinv(J_f) e``, a Gauss-Newton step, for an
exact inverse (Meulemans et al. 2020, arXiv:2006.14331).

Then the four rules on handwritten digits: the angle of each hidden layer's update to the gradient through learning, and
that of the way to its targets to Gauss-Newton steps of any damping, between ``pinv(J) e`` and the gradient ``J^T e``.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from analyses._results import write
from analyses.target_planes import (
    BATCH,
    CHECKS,
    DAMPINGS,
    HIDDEN,
    LOCAL,
    NAMES,
    PROBED,
    ROUTES,
    STAGES,
    angle,
    drawn,
    geometry,
)
from analyses.target_propagation_figures import findings, plot
from data_loaders.installed import load_digits_dataset
from neurocompare.dataset import Dataset
from neurocompare.losses import Loss, cross_entropy
from neurocompare.networks import LayeredNet, mlp
from neurocompare.rules import RULES, Rule
from neurocompare.rules.target_propagation import TargetPropagation
from neurocompare.stimuli import ImagePreprocess


def jacobians(net: LayeredNet, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """Of the output by each hidden layer's activity, ``(B, classes, units)``, and of that layer by the one below it.

    The second list, ``(B, units, units below)``, starts with the second hidden layer.
    """
    layers = list(net.layers.values())
    slopes = [
        layer.activate_vjp(a, torch.ones_like(a)) for layer, a in zip(layers, net.trace(x).preactivations, strict=True)
    ]
    single = [slope[:, :, None] * layer.weight for slope, layer in zip(slopes[1:], layers[1:], strict=True)]
    whole = [single[-1]]
    for jacobian in reversed(single[:-1]):
        whole.append(whole[-1] @ jacobian)
    return whole[::-1], single[:-1]


def damped(jacobian: Tensor) -> list[Tensor]:
    """For each of ``DAMPINGS`` ``(J^T J + d s^2 1)^-1 J^T``, s the largest singular value: from ``pinv(J)`` to ``J^T``."""
    left, values, right = torch.linalg.svd(jacobian, full_matrices=False)
    largest, found = values[..., :1], []
    for damping in DAMPINGS[:-1]:
        weights = values / (values.square() + damping * largest.square())
        weights = weights.where(values > 1e-12 * largest, 0)
        found.append(right.mT @ (weights[..., None] * left.mT))
    return [*found, jacobian.mT]


@torch.no_grad()
def target_angles(net: LayeredNet, rule: Rule, x: Tensor, y: Tensor, loss: Loss = cross_entropy) -> np.ndarray:
    """Mean angle of ``target - h`` to damped Gauss-Newton steps, degrees, ``(hidden layers, ROUTES, DAMPINGS)``.

    With J the Jacobian of the output by h and e minus the derivative of the loss by the output, those are ``damped(J) e``
    at once, or the way to the last hidden layer's own target brought down through one layer after another, which for no
    damping is what exact inverses of single layers do. For the last hidden layer that is the way itself.
    """
    credit, trace = rule.assign_credit(net, x, y, loss, torch.Generator().manual_seed(0)), net.trace(x)
    ways = [target - h for target, h in zip(credit.targets, trace.inputs[1:], strict=True)]
    (whole, single), error = jacobians(net, x), -loss.error(trace.output, y)
    found = np.empty((len(ways), len(ROUTES), len(DAMPINGS)))
    inverses = [zip(*map(damped, matrices), strict=True) for matrices in (whole, single)]  # by damping, then by layer
    for k, (from_output, from_above) in enumerate(zip(*inverses, strict=True)):
        down = [ways[-1]]
        for back in reversed(from_above):
            down.append(_times(back, down[-1]))
        for layer, (way, back, step) in enumerate(zip(ways, from_output, down[::-1], strict=True)):
            found[layer, :, k] = [float(angle(way, other).nanmean()) for other in (_times(back, error), step)]
    return found


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    return (matrix @ vector[:, :, None])[:, :, 0]


def update_angles(net: LayeredNet, rule: Rule, x: Tensor, y: Tensor) -> np.ndarray:
    """Between a rule's and the true gradient of each hidden layer's weights, degrees, ``(hidden layers,)``."""
    gradients = []
    for each in (rule, RULES["backprop"].for_net(net, seed=0)):
        each.assign_credit(net, x, y, cross_entropy, torch.Generator().manual_seed(0))
        gradients.append([cast(Tensor, layer.weight.grad).flatten() for layer in list(net.layers.values())[:-1]])
    return np.array([float(angle(a, b)) for a, b in zip(*gradients, strict=True)])


@torch.no_grad()
def with_mean_jacobians(net: LayeredNet, x: Tensor) -> Rule:
    """Local difference reconstruction that has learnt all it can: linear inverses with the mean over x of ``J_f^T``."""
    rule = RULES[LOCAL].for_net(net, seed=0)
    for (name, layer), a in zip(net.layers.items(), net.trace(x).preactivations, strict=True):
        if name in cast(TargetPropagation, rule).inverses:
            slope = layer.activate_vjp(a, torch.ones_like(a)).mean(0)
            rule.get_parameter(f"inverses.{name}.weight").copy_(slope[:, None] * layer.weight)
    return rule


def learn(name: str, data: Dataset, steps: int, seed: int, feedback_steps: int) -> dict[str, np.ndarray]:
    """One network's ``update_angle`` and ``target_angle`` at each check, and its test ``accuracy``.

    And ``floor (hidden layers,)``: the angles of updates at the end, were the inverses ``with_mean_jacobians``.
    """
    net = mlp(10, input_shape=data.input_shape, hidden=HIDDEN, activation="tanh", seed=seed).double()
    rule = RULES[name].for_net(net, seed=seed, feedback_steps=feedback_steps)
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()], lr=rule.learning_rate)
    order, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    (x, y), (x_test, y_test) = (_tensors(data, split) for split in ("train", "test"))
    updates, targets = [], []
    for step in range(steps + 1):
        if step in _checked(steps):
            updates.append(update_angles(net, rule, x[:256], y[:256]))
            targets.append(target_angles(net, rule, x[:PROBED], y[:PROBED]))
        if step < steps:
            rows = torch.from_numpy(order.choice(len(y), BATCH, replace=False))
            rule.step(net, optimizer, x[rows], y[rows], cross_entropy, noise)
    return {
        "update_angle": np.stack(updates),
        "target_angle": np.stack(targets),
        "accuracy": (net(x_test).argmax(1) == y_test).double().mean().numpy(),
        "floor": update_angles(net, with_mean_jacobians(net, x), x[:256], y[:256]),
    }


def _checked(steps: int) -> np.ndarray:
    return np.linspace(0, steps, CHECKS).astype(int)


def _tensors(data: Dataset, which: str) -> tuple[Tensor, Tensor]:
    split, scale = getattr(data, which), cast(ImagePreprocess, data.preprocess)
    scaled = (split.inputs / 255 - scale.mean[0]) / scale.std[0]
    return torch.from_numpy(scaled), torch.from_numpy(split.labels)


def compute(
    rules: Iterable[str] = NAMES,
    *,
    planes: int = 20,
    stages: Iterable[int] = STAGES,
    steps: int = 1500,
    seeds: int = 5,
    feedback_steps: Iterable[int] = (1, 10),
    first_seed: int = 0,
) -> xr.Dataset:
    """Both parts; at the defaults six minutes of one core.

    Args:
        rules: of target propagation, for the second part.
        planes, stages: of the first part, and of the inverses in it, in steps.
        steps, seeds: of the second part, batches of 32.
        feedback_steps: of the inverses for each step of the network.
        first_seed: of planes and networks.
    Returns:
        What ``geometry``, ``drawn`` and ``learn`` return, the last over ``rule``, ``feedback_steps`` and ``seed``.
    """
    rules, feedback_steps, data = list(rules), list(feedback_steps), load_digits_dataset()
    numbers = range(first_seed, first_seed + seeds)
    runs = [[[learn(name, data, steps, seed, n) for seed in numbers] for n in feedback_steps] for name in rules]
    further = {
        "update_angle": ("check", "layer"),
        "target_angle": ("check", "layer", "route", "damping"),
        "accuracy": (),
        "floor": ("layer",),
    }
    stacked = {name: np.array([[[run[name] for run in row] for row in rows] for rows in runs]) for name in further}
    learnt = xr.Dataset(
        {name: (("rule", "feedback_steps", "seed", *dims), stacked[name]) for name, dims in further.items()},
        coords={
            "rule": rules,
            "feedback_steps": feedback_steps,
            "check": BATCH * _checked(steps),
            "layer": [f"hidden {number}" for number, _ in enumerate(HIDDEN, 1)],
            "route": list(ROUTES),
            "damping": list(DAMPINGS),
        },
    )
    parts = [geometry(planes, stages, first_seed), drawn(first_seed), learnt]
    return xr.merge(parts).assign_attrs(dataset=data.name, hidden=str(HIDDEN))


def main(folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]:
    """Compute, print what came out, and write netCDF and figures into ``folder``; returns their paths."""
    started = time.perf_counter()
    computed = partial(compute, first_seed=first_seed)
    dataset = computed(planes=4, steps=200, seeds=3, feedback_steps=(1,)) if quick else computed()
    print(f"{'quick' if quick else 'full'} version, computed in {time.perf_counter() - started:.0f} s")
    print(*findings(dataset), sep="\n")
    return write("target_propagation", dataset, plot(dataset), folder)
