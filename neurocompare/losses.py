"""Task losses per sample, each with its derivative, so that a rule can use either; several tasks' losses as one, too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from neurocompare.dataset import Tasks


@dataclass(frozen=True)
class Loss:
    """A loss on the network's output.

    Attributes:
        name: its key in ``LOSSES``.
        per_sample: ``(output (B, classes), labels (B,)) -> (B,)``.
        error: ``(output, labels) -> (B, classes)``, the derivative of ``per_sample`` with respect to the output.
    """

    name: str
    per_sample: Callable[[Tensor, Tensor], Tensor]
    error: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, output: Tensor, labels: Tensor) -> Tensor:
        """The mean over the batch, a scalar."""
        return self.per_sample(output, labels).mean()

    def target(self, output: Tensor, labels: Tensor) -> Tensor:
        """``output - error``, what rules clamp or nudge the output to: for the squared error, the one-hot label."""
        return output - self.error(output, labels)

    def prediction(self, output: Tensor) -> Tensor:
        """The labels, one-hot, that the output stands for: ``label + error``; probabilities under the cross-entropy."""
        any_label = output.new_zeros(len(output), dtype=torch.long)
        return self.error(output, any_label) + one_hot(output, any_label)


def _cross_entropy(output: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(output, labels, reduction="none")


def _cross_entropy_error(output: Tensor, labels: Tensor) -> Tensor:
    return torch.softmax(output, 1) - one_hot(output, labels)


def _squared_error(output: Tensor, labels: Tensor) -> Tensor:
    return 0.5 * (output - one_hot(output, labels)).square().sum(1)


def _squared_error_error(output: Tensor, labels: Tensor) -> Tensor:
    return output - one_hot(output, labels)


def one_hot(output: Tensor, labels: Tensor) -> Tensor:
    """Labels as vectors in the shape and type of ``output``."""
    return functional.one_hot(labels, output.shape[1]).to(output.dtype)


cross_entropy = Loss("cross_entropy", _cross_entropy, _cross_entropy_error)
squared_error = Loss("squared_error", _squared_error, _squared_error_error)


@dataclass(frozen=True)
class SummedLoss(Loss):
    """The sum of one loss over the tasks that a sample has a label in; see ``over_tasks``.

    Attributes:
        single: the loss of each task.
        starts, ends: of each task's outputs.
    """

    single: Loss
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def prediction(self, output: Tensor) -> Tensor:
        """Of each task, side by side."""
        return torch.cat(
            [self.single.prediction(output[:, a:b]) for a, b in zip(self.starts, self.ends, strict=True)], 1
        )


def over_tasks(loss: Loss, tasks: Tasks) -> SummedLoss:
    """The sum of a loss over several tasks, each on its own outputs; none for samples without a label in it."""
    meanings = torch.tensor(tasks.meanings)
    ends = tuple(start + size for start, size in zip(tasks.starts, tasks.sizes, strict=True))
    slices = [slice(start, end) for start, end in zip(tasks.starts, ends, strict=True)]

    def parts(output: Tensor, labels: Tensor, each: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
        found = []
        for piece, classes in zip(slices, meanings.to(labels.device)[labels].T, strict=True):
            value, has = each(output[:, piece], classes.clamp(min=0)), classes >= 0
            found.append(torch.where(has if value.ndim == 1 else has[:, None], value, 0))
        return found

    def per_sample(output: Tensor, labels: Tensor) -> Tensor:
        return torch.stack(parts(output, labels, loss.per_sample)).sum(0)

    def error(output: Tensor, labels: Tensor) -> Tensor:
        return torch.cat(parts(output, labels, loss.error), 1)

    name = f"{loss.name} over {', '.join(tasks.names)}"
    return SummedLoss(name, per_sample, error, loss, tasks.starts, ends)


LOSSES: dict[str, Loss] = {loss.name: loss for loss in (cross_entropy, squared_error)}
