"""Learning in linear networks: stages in closed form, and which of two weights changes (Saxe et al., arXiv:1312.6120)."""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from neurocompare.losses import Loss
from neurocompare.networks import mlp
from neurocompare.rules import RULES

# Four items, one property of all, one of each pair, one of each item.
TREE = np.vstack([np.ones((1, 4)), np.kron(np.eye(2), np.ones((1, 2))), np.eye(4)])
START, STEP, DURATION, LEARNERS = 1e-3, 0.02, 12.0, ("backprop", "feedback_alignment")
GAINS = (0.1, 0.3, 1.0, 3.0, 10.0)


def strength(t: np.ndarray, s: float, start: float) -> np.ndarray:
    """``a(t)`` of a mode with singular value s (Saxe et al. 2014; time in units of their tau)."""
    grown = np.exp(2 * s * t)
    return s * grown / (grown - 1 + s / start)


def half_time(s: float, start: float) -> float:
    """When a mode is half learnt."""
    return float(np.log(s / start - 1) / (2 * s))


def step_error(t: np.ndarray, s: float, start: float, step: float) -> np.ndarray:
    """What gradient descent with a small step adds to ``strength``, to first order in the step.

    For each of two equal weights ``b' = f(b) = b (s - b^2)``, ``a = b^2``. One step of Euler's method leaves out
    ``step^2 f' f / 2``, so the error is ``f c`` with ``c' = -step f' / 2``: that of b is ``-(step / 2) f ln(f / f_0)``.
    """
    b = np.sqrt(strength(t, s, start))
    flow, at_start = b * (s - b**2), start**0.5 * (s - start)
    return -step * b * flow * np.log(np.maximum(flow, 1e-300) / at_start)


def teacher(targets: Tensor) -> Loss:
    """``|output - target|^2 / 2``, a label being the number of a row of ``targets``."""
    return Loss("teacher", lambda out, y: 0.5 * (out - targets[y]).square().sum(1), lambda out, y: out - targets[y])


def learn_tree(
    name: str, *, aligned: bool = True, step: float = STEP, duration: float = DURATION, seed: int = 0
) -> np.ndarray:
    """Strengths ``u^T W2 W1 v`` of the modes of ``TREE / 2`` in a linear network, ``(steps + 1, modes)``.

    The four items are orthogonal inputs of unit covariance. ``aligned`` weights start on the modes, each at ``START``;
    else they are random, of variance ``START``.
    """
    net = mlp(len(TREE), input_shape=(4,), hidden=(8,), activation="identity", seed=seed).double()
    lower, upper = (layer.weight for layer in net.layers.values())
    u, _, v = (torch.from_numpy(part) for part in np.linalg.svd(TREE / 2, full_matrices=False))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        between = torch.linalg.qr(torch.randn(8, 4, generator=generator, dtype=torch.float64)).Q
        for weight, modes in ((lower, between @ v), (upper, u @ between.T)):
            drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
            weight.copy_(START**0.5 * (modes if aligned else drawn))
    rule, loss = RULES[name].for_net(net, seed=seed), teacher(torch.from_numpy(TREE.T.copy()))
    optimizer = torch.optim.SGD([lower, upper], lr=step)
    x, y, found = 2 * torch.eye(4, dtype=torch.float64), torch.arange(4), []
    for _ in range(round(duration / step) + 1):
        found.append((u.T @ upper.detach() @ lower.detach() @ v.T).diagonal().numpy().copy())
        rule.step(net, optimizer, x, y, loss)
    return np.array(found)


def learn_chain(name: str, gain: float, steps: int = 600) -> np.ndarray:
    """Two weights, from 1 and 0 until their product is ``gain``, ``(steps + 1, 2)``; a feedback weight is 1."""
    net = mlp(1, input_shape=(1,), hidden=(1,), activation="identity", seed=0).double()
    weights = [layer.weight for layer in net.layers.values()]
    rule = RULES[name].for_net(net, seed=0)
    with torch.no_grad():
        for parameter, value in ((weights[0], 1), (weights[1], 0), *((buffer, 1) for buffer in rule.buffers())):
            parameter.fill_(value)
    optimizer, loss = torch.optim.SGD(weights, lr=STEP / max(gain, 1)), teacher(torch.full((1, 1), gain).double())
    found = []
    for _ in range(steps + 1):
        found.append([float(weight.detach()) for weight in weights])
        rule.step(net, optimizer, torch.ones(1, 1).double(), torch.zeros(1, dtype=torch.long), loss)
    return np.array(found)


def settled(name: str, gain: float) -> tuple[float, float]:
    """Where ``learn_chain`` ends with vanishing steps: ``w1^2 - w2^2 = 1``, or ``w1^2 - 2 w2 = 1``, and ``w1 w2 = gain``."""
    if name == "backprop":
        lower = ((1 + (1 + 4 * gain**2) ** 0.5) / 2) ** 0.5
    else:
        lower = max(root.real for root in np.roots([1, 0, -1, -2 * gain]) if abs(root.imag) < 1e-9)
    return lower, gain / lower


def lower_share(lower: float, upper: float) -> float:
    """Of the lower weight in the changes of both, from 1 and 0."""
    return (lower - 1) / (lower - 1 + upper)


def linear() -> xr.Dataset:
    """Stages and shares; times in units of tau.

    Returns:
        ``tree (learner, start, time, mode)``, ``closed_form`` and ``step_error (time, mode)``, ``half_theory (mode)``;
        ``share`` and ``share_theory (learner, gain)``, ``half_changed (learner, gain, weight)`` in steps.
    """
    singular = np.linalg.svd(TREE / 2, compute_uv=False)
    t = STEP * np.arange(round(DURATION / STEP) + 1)
    tree = [[learn_tree(name, aligned=aligned) for aligned in (True, False)] for name in LEARNERS]
    chains = [[learn_chain(name, gain) for gain in GAINS] for name in LEARNERS]
    halves = [[first_reached(chain - chain[0] >= 0.5 * (chain[-1] - chain[0])) for chain in row] for row in chains]
    return xr.Dataset(
        {
            "tree": (("learner", "start", "time", "mode"), np.array(tree)),
            "closed_form": (("time", "mode"), np.stack([strength(t, s, START) for s in singular], 1)),
            "step_error": (("time", "mode"), np.stack([step_error(t, s, START, STEP) for s in singular], 1)),
            "half_theory": ("mode", [half_time(s, START) for s in singular]),
            "share": (("learner", "gain"), [[lower_share(*chain[-1]) for chain in row] for row in chains]),
            "share_theory": (("learner", "gain"), [[lower_share(*settled(n, g)) for g in GAINS] for n in LEARNERS]),
            "half_changed": (("learner", "gain", "weight"), np.array(halves)),
        },
        coords={
            "learner": list(LEARNERS),
            "start": ["aligned", "random"],
            "time": t,
            "mode": singular,
            "gain": list(GAINS),
            "weight": ["lower", "upper"],
        },
    )


def first_reached(reached: np.ndarray) -> np.ndarray:
    """The first step at which something is true, along the first axis; NaN where it never is."""
    return np.where(reached.any(0), reached.argmax(0), np.nan)
