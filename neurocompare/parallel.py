"""Training one network in several processes, each of which sees an equal share of every batch.

    torchrun --nproc-per-node 4 -m neurocompare train ...

A gradient that is a mean over samples is also the mean over shares of the shares' means, so ``train`` averages what a rule
puts into ``.grad``, in one message, right before each step of the optimizer: with up to rounding the result of one process.
Rules that try out weights (``SharesLosses``) average the losses instead: noise from one seed is the same in every process,
so a few numbers are all that has to be sent (Salimans et al. 2017, arXiv:1703.03864, algorithm 2).

What a rule draws for each sample (``NOISE_OF_SAMPLES``) each process draws from a stream of its own, so such a rule learns
as well with any number of processes, but not the same weights.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from neurocompare.errors import InputError

# Rules that draw noise once for all samples of a step: with the same stream everywhere they learn as in one process.
NOISE_OF_WEIGHTS = frozenset({"sign_symmetry", "weight_mirror"})
# Rules that draw some for each sample, or weigh samples by what others of the batch drew.
NOISE_OF_SAMPLES = frozenset(
    {
        "boltzmann_machine",
        "deep_feedback_control",
        "difference_target_propagation",
        "forward_forward",
        "local_difference_reconstruction",
        "node_perturbation",
        "reinforce",
        "simplified_difference_target_propagation",
        "target_propagation",
        "wake_sleep",
    }
)
log = logging.getLogger(__name__)
_LAUNCHED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # what torchrun sets


class SharesLosses:
    """Marks a rule that takes the ``mean`` of its losses over the processes itself, and then moves as all others do."""


def start(device: str = "cpu") -> torch.device:
    """Join the other processes where torchrun started this one; where not, do nothing.

    Args:
        device: "cpu" (by Gloo), or "cuda" (by NCCL), one GPU for each process.
    Returns:
        Where this process's network belongs.
    Raises:
        InputError: there are more processes than GPUs.
    """
    if not all(name in os.environ for name in _LAUNCHED):
        return torch.device(device)
    where = torch.device(device)
    if where.type == "cuda":
        local = int(os.environ["LOCAL_RANK"])
        if local >= torch.cuda.device_count():
            raise InputError(
                f"each process needs a GPU, but this is number {local + 1} on a machine with "
                f"{torch.cuda.device_count()}; lower --nproc-per-node"
            )
        where = torch.device("cuda", local)
        torch.cuda.set_device(where)
    if not _joined():
        dist.init_process_group("cpu:gloo,cuda:nccl" if where.type == "cuda" else "gloo")
        atexit.register(stop)
    return where


def stop() -> None:
    """Leave the other processes; done when Python ends, too."""
    if _joined():
        dist.destroy_process_group()


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _joined() else 1


def rank() -> int:
    """Which one this is, from 0."""
    return dist.get_rank() if _joined() else 0


def is_main() -> bool:
    """Whether this is the process that writes and prints."""
    return rank() == 0


def check(rule: nn.Module, name: str, batch_size: int, *, optimizer: bool) -> None:
    """Whether these processes can share the work.

    Args:
        rule: that they train under.
        name: of it.
        batch_size: of all processes together.
        optimizer: whether the rule leaves its gradients to an optimizer.
    Raises:
        InputError: they cannot.
    """
    if size() > 1 and not optimizer and not isinstance(rule, SharesLosses):
        raise InputError(
            f"{name} moves the parameters itself, so {size()} processes have nothing to average; use one process"
        )
    if batch_size % size():
        raise InputError(
            f"a batch is shared out evenly, but {batch_size} samples do not go into {size()} processes; choose a "
            f"batch_size of {batch_size - batch_size % size() or size()} or another number of processes"
        )


def join(net: nn.Module, rule: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Give all processes the main one's parameters and buffers, and have the optimizer use average gradients.

    Args:
        net, rule: what is trained.
        optimizer: of their parameters; those without a gradient are left out, as it does itself.
    """
    if size() == 1:
        return
    _in_one_message([value for module in (net, rule) for value in module.state_dict().values()], _from_main)
    if not isinstance(rule, SharesLosses):
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        optimizer.register_step_pre_hook(lambda *_: _in_one_message(_gradients(parameters), _average))


def share(rows: np.ndarray) -> np.ndarray:
    """This process's part of a batch's rows."""
    return rows if size() == 1 else np.split(rows, size())[rank()]


def noise_seed(rule: nn.Module, name: str, seed: int) -> int:
    """Of this process's noise: ``seed`` itself in one process, in the main one, and where all draw the same noise.

    Args:
        rule: which draws it.
        name: of it.
        seed: of the training.
    """
    if is_main():
        if size() > 1 and name in NOISE_OF_SAMPLES:
            log.info("%s draws noise for each sample: what it learns depends on the number of processes", name)
        return seed
    if isinstance(rule, SharesLosses) or name in NOISE_OF_WEIGHTS:
        return seed
    return int(np.random.SeedSequence((seed, rank())).generate_state(1, np.uint64)[0] >> 1)


def mean(value: Tensor) -> Tensor:
    """Over the processes; the value itself where there is one."""
    if size() == 1:
        return value
    total = value.detach().clone()
    _average(total)
    return total


def gather(value: Tensor) -> list[Tensor]:
    """The values of all processes, which have the same shape, by rank."""
    if size() == 1:
        return [value]
    values = [torch.empty_like(value) for _ in range(size())]
    dist.all_gather(values, value)
    return values


def _joined() -> bool:
    return dist.is_available() and dist.is_initialized()


def _gradients(parameters: Sequence[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


def _from_main(value: Tensor) -> None:
    dist.broadcast(value, src=0)


def _average(value: Tensor) -> None:
    dist.all_reduce(value)  # a sum: Gloo has no mean
    value /= size()


@torch.no_grad()
def _in_one_message(values: Sequence[Tensor], exchange: Callable[[Tensor], None]) -> None:
    """Change tensors in place by way of one flat buffer for each of their types."""
    for dtype in dict.fromkeys(value.dtype for value in values):
        alike = [value for value in values if value.dtype == dtype]
        buffer = torch.cat([value.reshape(-1) for value in alike])
        exchange(buffer)
        for value, part in zip(alike, buffer.split([value.numel() for value in alike]), strict=True):
            value.copy_(part.view_as(value))
