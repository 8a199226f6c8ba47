"""What one learning step costs under every rule, against plain ``loss.backward()`` and the optimizer's step.

Both sides train the same weights on the same batch, in turns in this one process. The plain side is an ``nn.Sequential`` as
one would write it, and backprop's gradients on ours must equal it before anything is timed. The floor is backprop's
multiply-adds at the rate that this machine reaches in one large float32 matrix product.

    python benchmarks/step_cost.py [RULE ...]   # tables for the MLP and the convnet
    python benchmarks/step_cost.py --write      # also writes neurocompare/rules/costs.py, which `list rules` shows
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from neurocompare.losses import cross_entropy
from neurocompare.networks import Conv, LayeredNet, convnet, mlp
from neurocompare.rules import RULES

BATCH, SECONDS = 128, 2.0
NETS: dict[str, Callable[[str], LayeredNet]] = {
    "MLP 784-500-500-10": lambda activation: mlp(activation=activation),
    "convnet 16-32-64 + 128": lambda activation: convnet(channels=(16, 32, 64), hidden=(128,), activation=activation),
}
# Settings other than the defaults, and the design's limits on the ratio (for node perturbation per direction).
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "node_perturbation": [{"directions": 16}, {"directions": 16, "signs": True}],
    "predictive_coding": [{"steps": 20}],
    "equilibrium_propagation": [
        {"free_sweeps": 30, "nudged_sweeps": 10},
        {"free_sweeps": 30, "nudged_sweeps": 10, "symmetric": False},
        {"free_sweeps": 30, "nudged_sweeps": 10, "symmetric": False, "tolerance": 1e-4},
    ],
}
LIMITS = {
    "backprop": 1.3,
    "feedback_alignment": 1.25,
    "sign_symmetry": 1.25,
    "kolen_pollack": 1.25,
    "direct_feedback_alignment": 1.1,
    "node_perturbation": 0.6,
    "predictive_coding": 20,
    "equilibrium_propagation": 14,
    "difference_target_propagation": 3.5,
}
COSTS = Path(__file__).parent.parent / "neurocompare" / "rules" / "costs.py"


def plain_net(net: LayeredNet) -> nn.Sequential:
    """The same network in torch's own modules."""
    functions = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "identity": nn.Identity}
    modules: list[nn.Module] = []
    for layer in net.layers.values():
        if isinstance(layer, Conv):
            modules.append(nn.Conv2d(layer.in_shape[0], layer.out_shape[0], 3, layer.stride, layer.padding))
        else:
            modules += [nn.Flatten(), nn.Linear(layer.weight.shape[1], layer.weight.shape[0])]
        modules[-1].load_state_dict(layer.state_dict())
        modules.append(functions[layer.activation.name]())
    return nn.Sequential(*modules[:-1]).to(next(net.parameters()))


class Plain:
    """Forward, loss, ``backward()`` and the optimizer."""

    def __init__(self, net: LayeredNet) -> None:
        self.net = plain_net(net)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.0)

    def step(self, x: Tensor, y: Tensor) -> None:
        """One learning step."""
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.net(x), y).backward()
        self.optimizer.step()


def check_agreement(net: LayeredNet, x: Tensor, y: Tensor) -> None:
    """Backprop's gradients are those of the plain side (in double precision: sums over many positions cancel)."""
    net, x = deepcopy(net).double(), x.double()
    plain = Plain(net)
    plain.step(x, y)
    RULES["backprop"].for_net(net, seed=0).assign_credit(net, x, y, cross_entropy)
    for parameter, other in zip(net.parameters(), plain.net.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-10, atol=1e-12)


def multiply_adds(net: LayeredNet) -> int:
    """Multiply-adds of forward, weight gradients and input gradients (none for the first layer's) of one batch."""
    forward = [
        layer.weight.numel() * (layer.out_shape[1] * layer.out_shape[2] if len(layer.out_shape) == 3 else 1)
        for layer in net.layers.values()
    ]
    return BATCH * (3 * sum(forward) - forward[0])


def gemm_rate(device: torch.device) -> float:
    """Multiply-adds per second of a large float32 matrix product."""
    a, b = torch.randn(2, 2048, 2048, device=device)
    return 2048**3 / median(seconds(lambda: a @ b, device) for _ in range(10))


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """How long one call takes, with all its work on the device."""
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ratio(make: Callable[[str], LayeredNet], name: str, settings: dict[str, Any], device: torch.device) -> list[float]:
    """Median milliseconds of a step under a rule and of a plain one, and the floor's multiply-adds."""
    rule_type = RULES[name]
    activation = "relu" if "relu" in rule_type.needs.activations else rule_type.needs.activations[0]
    net = make(activation).to(device)
    x = torch.randn(BATCH, *net.in_shape, device=device)
    y = torch.randint(0, 10, (BATCH,), device=device)
    check_agreement(net, x, y)
    rule, plain = rule_type.for_net(net, seed=0, **settings), Plain(net)
    # The rate is zero so that weights, and with them the time of a step, stay as they are.
    optimizer = torch.optim.SGD([*net.parameters(), *rule.parameters()], lr=0.0)
    noise = torch.Generator(device).manual_seed(0)
    ours: list[float] = []
    theirs: list[float] = []
    end = time.perf_counter() + SECONDS
    while len(ours) < 5 or (time.perf_counter() < end and len(ours) < 100):
        theirs += [seconds(lambda: plain.step(x, y), device) for _ in range(3)]
        ours.append(seconds(lambda: rule.step(net, optimizer, x, y, cross_entropy, noise), device))
    return [1e3 * median(ours[1:]), 1e3 * median(theirs[3:]), multiply_adds(net)]


def compare(net_name: str, names: list[str], rate: float, device: torch.device) -> dict[str, float]:
    """Print a line per rule (and setting); the ratios under default settings."""
    print(
        f"\n{net_name}, batch {BATCH}\n{'rule':72s} {'ms':>8s} {'plain ms':>8s} {'ratio':>7s} {'limit':>6s} {'floors':>7s}"
    )
    found = {}
    for name in names:
        if "convnet" in net_name and not RULES[name].needs.convolutions:
            print(f"{name:72s} defined for fully connected layers")
            continue
        for settings in ({}, *VARIANTS.get(name, [])):
            ours, plain, work = ratio(NETS[net_name], name, settings, device)
            share = ours / plain / settings.get("directions", 1)
            limited = name in LIMITS and (settings or name not in VARIANTS)
            limit = f"{LIMITS[name]:6.2f}" if limited else ""
            label = name + "".join(f" {k}={v}" for k, v in settings.items())
            print(f"{label:72s} {ours:8.2f} {plain:8.2f} {share:7.2f} {limit:>6s} {ours / (1e3 * work / rate):7.1f}")
            if not settings:
                found[name] = share
    return found


def write(costs: dict[str, float], machine: str) -> None:
    """Replace the table that ``list rules`` shows."""
    lines = "".join(f'    "{name}": {cost:.2f},\n' for name, cost in costs.items())
    COSTS.write_text(
        '"""Time of a learning step over that of plain backprop, by rule, with default settings.\n\n'
        "MLP 784-500-500-10, batch 128; written by ``python benchmarks/step_cost.py --write``\n"
        f'({machine}).\n"""\n\nfrom __future__ import annotations\n\nCOSTS: dict[str, float] = {{\n{lines}}}\n',
        encoding="utf-8",
    )


def main() -> None:
    """Compare on the networks of the design's claims."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", nargs="*", metavar="RULE", help="all by default")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    where = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    machine = f"torch {torch.__version__}, {platform.machine()}, {where}"
    rate = gemm_rate(device)
    print(f"{machine}, GEMM {rate / 1e9:.0f} G multiply-adds/s")
    found = {net: compare(net, arguments.rules or list(RULES), rate, device) for net in NETS}
    if arguments.write:
        write(found["MLP 784-500-500-10"], machine)


if __name__ == "__main__":
    main()
