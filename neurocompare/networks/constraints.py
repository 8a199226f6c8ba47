"""Dale's law: a neuron excites all its targets or inhibits all of them (Dale 1935; Eccles 1976).

The last units of each hidden layer (or channels of a convolution) are inhibitory, the others excitatory, so a layer's
weights have one sign in every column. As in Song, Yang & Wang 2016 (PLoS Comput. Biol. 12:e1004792) weights are held to
their sign by projection after each learning step, so the constraint works under any rule; inhibitory weights start out
stronger by as much as they are fewer, so that excitation and inhibition balance. The network's inputs come from
outside and may have either sign.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from neurocompare.errors import InputError
from neurocompare.networks.layers import Layer, LayeredNet


@dataclass(frozen=True)
class Dale:
    """The constraint; call it on a network to project its weights.

    Attributes:
        inhibitory: fraction of each hidden layer's units.
    """

    inhibitory: float

    def __post_init__(self) -> None:
        if not 0 < self.inhibitory < 1:
            raise InputError(
                f"Dale's law needs a fraction of inhibitory units between 0 and 1, but got {self.inhibitory}"
            )

    @torch.no_grad()
    def __call__(self, net: LayeredNet) -> None:
        """Set to zero every weight of the wrong sign: the nearest weights that obey the law."""
        for _, layer, signs in self._constrained(net.layers):
            layer.weight.copy_((layer.weight * signs).clamp_(min=0) * signs)

    @torch.no_grad()
    def impose(self, layers: Mapping[str, Layer]) -> None:
        """Give initial weights their signs, balanced, with the mean square that they had.

        Raises:
            InputError: hidden units whose activity may be negative, which would excite and inhibit at once.
        """
        for below, layer, signs in self._constrained(layers):
            if below.activation.name not in ("relu", "sigmoid"):
                raise InputError(
                    f"Dale's law needs activities that are not negative (relu or sigmoid units), but hidden units are "
                    f"{below.activation.name}"
                )
            share = (signs < 0).to(layer.weight).mean()
            if not 0 < share < 1:
                raise InputError(
                    f"a layer of {below.out_shape[0]} units cannot have both kinds with a fraction of {self.inhibitory} "
                    "inhibitory; use more units"
                )
            before = layer.weight.square().mean()
            # The mean over all units of sign times strength is zero.
            strength = torch.where(signs > 0, share, 1 - share)
            balanced = layer.weight.abs() * strength * signs
            layer.weight.copy_(balanced * (before / balanced.square().mean()).sqrt())

    def _constrained(self, layers: Mapping[str, Layer]) -> list[tuple[Layer, Layer, Tensor]]:
        """Each layer that hidden units project to, after the layer below it, with the signs of its weights."""
        chain = list(layers.values())
        return [(below, above, self._signs(below, above)) for below, above in itertools.pairwise(chain)]

    def _signs(self, below: Layer, above: Layer) -> Tensor:
        """1 or -1, in a shape that goes with ``above.weight``; channels keep their sign when they are flattened."""
        units = below.out_shape[0]
        signs = torch.ones(units, device=above.weight.device, dtype=above.weight.dtype)
        signs[units - round(self.inhibitory * units) :] = -1
        if above.weight.ndim == 4:
            return signs.view(1, -1, 1, 1)
        return signs.repeat_interleave(above.weight.shape[1] // units).view(1, -1)
