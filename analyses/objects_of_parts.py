"""Objects made of parts in typical or other places, and a moving field with a part blanked."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SIDE, PART, CLASSES, NOISE, PATCH = 16, 8, 4, 0.5, 2
PLACES = [p for p in itertools.permutations(range(4)) if all(part != place for place, part in enumerate(p))]
FREQUENT = "typical 9 in 10"
# Share of typical arrangements in training; with a quarter, each part is in each place equally often.
CONDITIONS = {FREQUENT: 0.9, "typical 1 in 4": 0.25, "nothing from above": 0.9, "untrained": 0.9}


@dataclass(frozen=True)
class Objects:
    """Objects made of four parts, each a random pattern of its own, with mean zero and mean square one.

    Attributes:
        parts: ``(CLASSES, 4, PART, PART)``.
    """

    parts: Tensor

    @classmethod
    def of(cls, seed: int) -> Objects:
        """Patterns smoothed over 3 x 3 pixels."""
        noise = torch.randn(CLASSES * 4, 1, PART, PART, generator=torch.Generator().manual_seed(seed))
        smooth = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1).flatten(1)
        smooth = smooth - smooth.mean(1, keepdim=True)
        return cls((smooth / smooth.square().mean(1, keepdim=True).sqrt()).view(CLASSES, 4, PART, PART))

    def draw(self, count: int, typical: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Images ``(count, 1, SIDE, SIDE)``, with noise, and labels; otherwise than typical, no part is in its place."""
        labels = torch.randint(CLASSES, (count,), generator=generator)
        elsewhere = torch.tensor(PLACES)[torch.randint(len(PLACES), (count,), generator=generator)]
        chance = torch.rand(count, 1, generator=generator)
        order = torch.where(chance < typical, torch.arange(4), elsewhere)
        tiles = self.parts[labels[:, None], order].view(count, 2, 2, PART, PART)
        images = tiles.transpose(2, 3).reshape(count, 1, SIDE, SIDE)
        return images + NOISE * torch.randn(images.shape, generator=generator), labels


def index(typical: np.ndarray, atypical: np.ndarray) -> np.ndarray:
    """``(T - A) / (T + A)``: 1 for a response to typical stimuli alone, -1 for one to atypical stimuli alone."""
    return (typical - atypical) / np.maximum(typical + atypical, 1e-12)


def blanked(x: Tensor) -> Tensor:
    """Each image with a patch set to zero, ``(places, *x.shape)``, places row by row."""
    side = SIDE // PATCH
    masks = torch.eye(side**2).view(-1, 1, 1, side, side).bool()
    return x.masked_fill(masks.repeat_interleave(PATCH, -1).repeat_interleave(PATCH, -2), 0)


def geometry(field: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres, ``(units, 2)``, and sizes of fields, root mean square distance from the centre, in pixels."""
    side = SIDE // PATCH
    where = PATCH * (np.indices((side, side)).reshape(2, -1).T + 0.5)
    weight = field / np.maximum(field.sum(0), 1e-30)
    centres = weight.T @ where
    squares = weight.T @ (where**2).sum(1) - (centres**2).sum(1)
    return centres, np.sqrt(np.maximum(squares, 0))


def measures(field: np.ndarray, visual: np.ndarray) -> tuple[float, float, float]:
    """Of a layer: median size over that of visual fields, share inside visual fields, and how well centres agree.

    The last is the correlation over units, mean of both axes. Units that see next to nothing are left out.
    """
    seen = visual.sum(0) > 1e-2 * visual.sum(0).max()
    field, visual = field[:, seen], visual[:, seen]
    (centres, size), (places, visual_size) = geometry(field), geometry(visual)
    inside = (field * (visual > 1e-6)).sum() / field.sum()
    agreement = [np.corrcoef(a, b)[0, 1] for a, b in zip(centres.T, places.T, strict=True)]
    return float(np.median(size) / np.median(visual_size)), float(inside), float(np.mean(agreement))


def central(visual: np.ndarray) -> int:
    """Of the units near the middle of the visual field, the one that sees most."""
    centres, _ = geometry(visual)
    near = np.hypot(*(centres - SIDE / 2).T) < 3 * PATCH
    return int(np.where(near, visual.sum(0), -1).argmax())
