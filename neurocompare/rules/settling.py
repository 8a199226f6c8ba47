"""The loop that every rule with recurrent inference settles in."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

State = list[Tensor]


def settle(update: Callable[[State], State], state: State, steps: int, tolerance: float = 0.0) -> tuple[State, Tensor]:
    """Iterate ``state = update(state)``.

    Args:
        update: one sweep; returns new tensors, one per layer.
        state: to start from; left as it is.
        steps: at most.
        tolerance: stop once no unit of any sample moves by more than this; 0 takes all steps and looks only once, so a
            sample's result does not depend on the batch it is in.
    Returns:
        The state, and the largest move of the last sweep (the residual, a scalar that stays on its device).
    """
    residual = state[0].new_zeros(())
    for step in range(steps):
        previous, state = state, update(state)
        if tolerance > 0 or step == steps - 1:
            moves = [(new - old).abs().max() for new, old in zip(state, previous, strict=True)]
            residual = torch.stack(moves).max()
        if tolerance > 0 and residual <= tolerance:
            break
    return state, residual
