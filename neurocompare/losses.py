"""Task losses per sample, each with its derivative, so that a rule can use either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


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

LOSSES: dict[str, Loss] = {loss.name: loss for loss in (cross_entropy, squared_error)}
