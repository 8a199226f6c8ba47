"""Targets in a layer of two units, where one can see them: target propagation and its difference correction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from neurocompare.networks import mlp
from neurocompare.rules import RULES
from neurocompare.rules.inverses import Inverse
from neurocompare.rules.target_propagation import TargetPropagation

PLAIN, DIFFERENCE = "target_propagation", "difference_target_propagation"
WAYS = (PLAIN, DIFFERENCE, "exact")
LOCAL = "local_difference_reconstruction"
NAMES = (PLAIN, DIFFERENCE, "simplified_difference_target_propagation", LOCAL)
# Of the plane: activities keep away from where tanh units saturate.
REACH, SAMPLES, RATE, BATCH = 0.9, 400, 0.01, 32
STAGES, STEPS = (0, 10, 30, 100, 300, 1000, 3000), (0.1, 1.0)
DRAWN = (300, 0.3)  # the stage of the inverse and the step that the figure shows
# Of digits: dampings in units of the largest squared singular value, from pinv(J) e (0) to the gradient (infinite).
HIDDEN, PROBED, CHECKS = (60, 40, 25), 64, 5
DAMPINGS = (0.0, 1e-3, 1e-2, 1e-1, 1.0, float("inf"))
ROUTES = ("at once", "layer by layer")


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Degrees between vectors along the last axis, precise near 0 and 180 (Kahan's formula); NaN for zeros."""
    a, b = (v / v.norm(dim=-1, keepdim=True) for v in (a, b))
    return torch.rad2deg(2 * torch.atan2((a - b).norm(dim=-1), (a + b).norm(dim=-1)))


class Plane:
    """A layer from two tanh units to two, ``y = f(h)``, an inverse of it, and a goal ``y*`` that some h brings about."""

    def __init__(self, seed: int) -> None:
        net = mlp(2, input_shape=(2,), hidden=(2, 2), activation="tanh", seed=seed).double()
        self.below, self.layer, _ = net.layers.values()
        self.rules = {n: cast(TargetPropagation, RULES[n].for_net(net, seed=seed)) for n in (PLAIN, DIFFERENCE)}
        self.inverse = cast(Inverse, self.rules[PLAIN].inverses["fc2"])
        self.generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.goal = self.layer(self.activities(1))

    def activities(self, n: int) -> Tensor:
        """Uniform over the square of side ``2 REACH``, ``(n, 2)``."""
        return REACH * (2 * torch.rand(n, 2, generator=self.generator, dtype=torch.float64) - 1)

    @torch.no_grad()
    def learn_inverse(self, stages: Iterable[int]) -> Iterator[int]:
        """Let the inverse learn as the rules do, and stop at each of some numbers of steps."""
        optimizer, done = torch.optim.Adam(self.inverse.parameters(), lr=RATE), 0
        for stage in stages:
            for _ in range(stage - done):
                # As within a step of the rule: the layer is the network's, the inverse and its noise are the rule's.
                self.rules[PLAIN].learn_inverse(
                    self.inverse, self.layer, self.below, self.activities(BATCH), self.layer, self.generator
                )
                optimizer.step()
            done = stage
            yield stage

    @torch.no_grad()
    def restored(self, h: Tensor) -> Tensor:
        """``g(f(h))``."""
        return self.rules[PLAIN].invert(self.inverse, self.layer, self.below, self.layer(h))

    @torch.no_grad()
    def target(self, way: str, h: Tensor, step: float) -> Tensor:
        """The target of h by a rule, or by the layer's exact inverse, ``W^-1 (artanh(y~) - b)``, for ``"exact"``."""
        y = self.layer(h)
        towards = y - step * (y - self.goal)
        if way == "exact":
            return torch.linalg.solve(self.layer.weight, (torch.atanh(towards) - self.layer.bias).T).T
        return self.rules[way].carry(self.inverse, self.layer, self.below, h, y, towards)

    @torch.no_grad()
    def cost(self, h: Tensor) -> Tensor:
        """``|f(h) - y*|^2 / 2``, ``(n,)``."""
        return 0.5 * (self.layer(h) - self.goal).square().sum(-1)

    @torch.no_grad()
    def descent(self, h: Tensor) -> Tensor:
        """Minus the gradient of ``cost``, ``-J_f^T (y - y*)``, ``(n, 2)``."""
        return -self.layer.transpose(self.layer.activate_vjp(self.layer.affine(h), self.layer(h) - self.goal))


def geometry(planes: int, stages: Iterable[int] = STAGES, first_seed: int = 0) -> xr.Dataset:
    """Random planes, while their inverses learn.

    Returns:
        ``reconstruction (plane, stage)``, the root mean square of ``|g(f(h)) - h|``; and over ``(way, plane, stage, step)``
        ``plane_angle`` of the way to the target to minus the gradient, degrees, and ``lowers``, the fraction of targets at
        which the loss is lower; both over samples of h.
    """
    stages = tuple(stages)
    error = np.empty((planes, len(stages)))
    angles, lowers = np.empty((2, len(WAYS), planes, len(stages), len(STEPS)))
    for number in range(planes):
        plane = Plane(first_seed + number)
        h = plane.activities(SAMPLES)
        for i, _ in enumerate(plane.learn_inverse(stages)):
            error[number, i] = float((plane.restored(h) - h).square().sum(1).mean().sqrt())
            for w, k in np.ndindex(len(WAYS), len(STEPS)):
                target = plane.target(WAYS[w], h, STEPS[k])
                angles[w, number, i, k] = float(angle(target - h, plane.descent(h)).mean())
                lowers[w, number, i, k] = float((plane.cost(target) < plane.cost(h)).double().mean())
    dims = ("way", "plane", "stage", "step")
    return xr.Dataset(
        {"reconstruction": (("plane", "stage"), error), "plane_angle": (dims, angles), "lowers": (dims, lowers)},
        coords={"way": list(WAYS), "stage": list(stages), "step": list(STEPS)},
    )


def drawn(seed: int = 0) -> xr.Dataset:
    """What the figure shows of one plane: points, their targets, and the loss around them."""
    plane, (stage, step) = Plane(seed), DRAWN
    list(plane.learn_inverse([stage]))
    few, many = (torch.linspace(-end, end, n, dtype=torch.float64) for end, n in ((0.7, 5), (1.0, 81)))
    h, everywhere = torch.cartesian_prod(few, few), torch.cartesian_prod(many, many)
    found = {"h": h, "restored": plane.restored(h), "descent": plane.descent(h)}
    return xr.Dataset(
        {
            **{f"drawn_{name}": (("point", "unit"), values.numpy()) for name, values in found.items()},
            "drawn_target": (("way", "point", "unit"), np.stack([plane.target(way, h, step) for way in WAYS])),
            "drawn_cost": (("first", "second"), plane.cost(everywhere).view(len(many), -1).numpy()),
        },
        coords={"first": many.numpy(), "second": many.numpy(), "way": list(WAYS)},
    )
