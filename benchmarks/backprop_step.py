"""What the open layers cost: one credit assignment by our backprop against plain ``loss.backward()``.

Both sides have the same weights and batch, are run in turns in this one process, and must agree; the plain side is an
``nn.Sequential`` as one would write it. The floor is the step's
multiply-adds at the rate that this machine reaches in one large float32 matrix product.

    python benchmarks/backprop_step.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor, nn

from neurocompare.losses import cross_entropy
from neurocompare.networks import Conv, LayeredNet, convnet, mlp
from neurocompare.rules import RULES

BATCH, ROUNDS = 128, 60


def plain_net(net: LayeredNet) -> nn.Sequential:
    """The same network in torch's own modules."""
    modules: list[nn.Module] = []
    for layer in net.layers.values():
        if isinstance(layer, Conv):
            modules.append(nn.Conv2d(layer.in_shape[0], layer.out_shape[0], 3, layer.stride, layer.padding))
        else:
            modules += [nn.Flatten(), nn.Linear(layer.weight.shape[1], layer.weight.shape[0])]
        modules[-1].load_state_dict(layer.state_dict())
        modules.append(nn.ReLU())
    return nn.Sequential(*modules[:-1])


def plain_step(net: nn.Sequential, x: Tensor, y: Tensor) -> None:
    """Forward, loss and ``backward()``."""
    net.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()


def multiply_adds(net: LayeredNet) -> int:
    """Multiply-adds of forward, weight gradients and input gradients (none for the first layer's) of one batch."""
    forward = [
        layer.weight.numel() * (layer.out_shape[1] * layer.out_shape[2] if len(layer.out_shape) == 3 else 1)
        for layer in net.layers.values()
    ]
    return BATCH * (3 * sum(forward) - forward[0])


def gemm_rate() -> float:
    """Multiply-adds per second of a large float32 matrix product."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    return 1024**3 / median(seconds(lambda: a @ b) for _ in range(20))


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def compare(name: str, net: LayeredNet, rate: float) -> None:
    """Print one line for one network."""
    x, y = torch.randn(BATCH, *net.in_shape), torch.randint(0, 10, (BATCH,))
    rule = RULES["backprop"].for_net(net, seed=0)
    plain = plain_net(net)
    plain_step(plain, x, y)
    rule.assign_credit(net, x, y, cross_entropy)
    for parameter, other in zip(net.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-4, atol=1e-6)
    times: dict[str, list[float]] = {"ours": [], "plain": []}
    for _ in range(ROUNDS):
        times["plain"].append(seconds(lambda: plain_step(plain, x, y)))
        times["ours"].append(seconds(lambda: rule.assign_credit(net, x, y, cross_entropy)))
    ours, theirs = (1e3 * median(times[side]) for side in ("ours", "plain"))
    floor = 1e3 * multiply_adds(net) / rate
    print(
        f"{name:28s} ours {ours:6.2f} ms   loss.backward() {theirs:6.2f} ms   ratio {ours / theirs:.2f}   "
        f"floor {floor:5.2f} ms ({ours / floor:.1f}x)"
    )


def main() -> None:
    """Compare on the networks of the design's claim: at most 1.3."""
    torch.manual_seed(0)
    rate = gemm_rate()
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, GEMM {rate / 1e9:.0f} G multiply-adds/s")
    compare("MLP 784-500-500-10", mlp(), rate)
    compare("convnet 16-32-64 + 128", convnet(channels=(16, 32, 64), hidden=(128,)), rate)
    compare("convnet 32-64-128 + 256", convnet(), rate)


if __name__ == "__main__":
    main()
