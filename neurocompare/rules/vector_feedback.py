"""Rules that send an error vector back: they differ only in the weights it travels through.

All use ``delta_l = (feedback) . f'(a_l)`` and ``grad W_l = delta_l h_{l-1}^T``, which is local but for the feedback. The
last layer receives the true output error under every rule here; below it, errors travel through the carriers, the last
layer's included. They train layered networks without autograd, and attach to any other torch module (``attached.py``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from neurocompare.errors import InputError, unknown_name
from neurocompare.losses import Loss
from neurocompare.networks.layers import LayeredNet, Trace
from neurocompare.rules.attached import backward_direct, backward_through, input_sizes, weighted_layers
from neurocompare.rules.base import Credit, Rule, fill_gradients, output_delta, to_units


@dataclass(frozen=True)
class Path:
    """A weight that an error has to pass on its way down, and the scale at which such weights are drawn."""

    weight: Tensor
    scale: float

    def draw(self, generator: torch.Generator) -> Tensor:
        """A new ``N(0, scale^2)`` tensor of the weight's shape."""
        noise = torch.randn(self.weight.shape, generator=generator, device=generator.device)
        return (noise * self.scale).to(self.weight)


class VectorFeedback(Rule):
    """The shared step: forward, output error, hidden deltas, local products. A subclass says what carries the error."""

    feedback = "vector"

    def prepare(self, paths: Mapping[str, Path], generator: torch.Generator) -> None:
        """Draw feedback weights for the paths, which are named by the layer above; by default none."""

    def carriers(self, weights: Mapping[str, Tensor], generator: torch.Generator | None) -> Mapping[str, Tensor]:
        """What carries the error down from each layer, in its weight's shape; by default the weights themselves."""
        return weights

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        upper = list(net.layers.items())[1:]
        self.prepare({name: Path(layer.weight, layer.scale) for name, layer in upper}, generator)

    @classmethod
    def attach(cls, module: nn.Module, *, seed: int, **settings: Any) -> Rule:
        """The rule, fitted to any torch module; ``step`` and ``assign_credit`` then take that module.

        Normalisation, residual sums and all that has no weight matrix keep their exact derivatives. The last layer's own
        weights see the true error of the output.

        Args:
            module: takes inputs and returns ``(B, classes)``.
            seed: of feedback weights, ``N(0, 2 / fan_in)`` (He et al. 2015).
            settings: of the rule.
        Raises:
            InputError: the module has no linear or convolutional layer, or a setting does not exist.
        """
        rule = cls._with_settings(seed, settings)
        weights = weighted_layers(module)
        if not weights:
            raise InputError(
                f"{cls.__name__} needs linear or convolutional layers, but {type(module).__name__} has none"
            )
        paths = {n: Path(w, (2 / math.prod(w.shape[1:])) ** 0.5) for n, w in weights.items()}
        rule.prepare(paths, torch.Generator().manual_seed(seed))
        return rule.to(next(iter(weights.values())))

    @torch.no_grad()
    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        if not isinstance(net, LayeredNet):
            return Credit(self.credit_attached(net, x, y, loss, generator))
        trace = net.trace(x)
        deltas = self.deltas(net, trace, output_delta(net, trace, y, loss), generator)
        fill_gradients(net, trace.inputs, deltas)
        return Credit(loss(trace.output, y), deltas)

    def credit_attached(
        self, net: nn.Module, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None
    ) -> Tensor:
        """Fill ``.grad`` of any module; returns the loss."""
        return backward_through(net, x, y, loss, self.carriers(weighted_layers(net), generator))

    def deltas(
        self, net: LayeredNet, trace: Trace, top: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, ...]:
        """The teaching signal at each pre-activation, layer by layer backwards.

        Args:
            net: the network.
            trace: its forward pass.
            top: derivative of the batch's mean loss with respect to the last pre-activation, ``(B, classes)``.
            generator: of noise, for carriers that are drawn at each step.
        """
        layers = list(net.layers.items())
        carriers = self.carriers({name: layer.weight for name, layer in layers[1:]}, generator)
        backwards = [delta := top]
        for (name, above), (_, layer), a in zip(
            reversed(layers[1:]), reversed(layers[:-1]), reversed(trace.preactivations[:-1]), strict=True
        ):
            delta = layer.activate_vjp(a, above.transpose(delta, carriers[name]))
            backwards.append(delta)
        return tuple(reversed(backwards))


class Backprop(VectorFeedback):
    """Backpropagation: ``delta_l = (W_{l+1}^T delta_{l+1}) . f'(a_l)``.

    One forward and one backward phase. Not local: the error travels through the transposed forward weights.
    """

    name = "backprop"
    short = "BP"
    family = "vector feedback"
    reference = "Rumelhart, Hinton & Williams 1986, Nature 323:533"


class FeedbackAlignment(VectorFeedback):
    """Feedback alignment: ``delta_l = (B_{l+1} delta_{l+1}) . f'(a_l)``, each ``B`` fixed, drawn as the weights were.

    Lillicrap et al. 2016, eq. 2. One forward and one backward phase; local, with feedback connections of its own.
    """

    name = "feedback_alignment"
    short = "FA"
    family = "vector feedback"
    learning_rate = 3e-4
    reference = "Lillicrap, Cownden, Tweed & Akerman 2016, Nat. Commun. 7:13276"

    def prepare(self, paths: Mapping[str, Path], generator: torch.Generator) -> None:
        for name, path in paths.items():
            self.register_buffer(f"feedback_{name}", path.draw(generator))

    def carriers(self, weights: Mapping[str, Tensor], generator: torch.Generator | None) -> Mapping[str, Tensor]:
        return {name: self.get_buffer(f"feedback_{name}") for name in weights}


class SignSymmetry(VectorFeedback):
    """Sign-symmetry: feedback has the signs of the forward weights and magnitudes of its own.

    Liao, Leibo & Poggio 2016 (AAAI; arXiv:1510.05067); the three kinds as Sanfiz & Akrout 2021 (arXiv:2108.13446) name
    them. One forward and one backward phase; only signs are shared between the two directions.

    Args:
        magnitudes: "uniform" (uSF: all equal to the scale of initial weights), "fixed" (frSF: drawn once) or "resampled"
            (brSF: drawn anew for each batch).
    """

    name = "sign_symmetry"
    short = "SS"
    family = "vector feedback"
    learning_rate = 1e-3
    reference = "Liao, Leibo & Poggio 2016, AAAI; arXiv:1510.05067"
    KINDS = ("uniform", "fixed", "resampled")

    def __init__(self, *, magnitudes: str = "fixed") -> None:
        super().__init__()
        if magnitudes not in self.KINDS:
            raise unknown_name("kind of magnitudes", magnitudes, self.KINDS)
        self.magnitudes = magnitudes

    def prepare(self, paths: Mapping[str, Path], generator: torch.Generator) -> None:
        for name, path in paths.items():
            drawn = path.draw(generator).abs() if self.magnitudes == "fixed" else path.weight.new_tensor(path.scale)
            self.register_buffer(f"magnitude_{name}", drawn)

    def carriers(self, weights: Mapping[str, Tensor], generator: torch.Generator | None) -> Mapping[str, Tensor]:
        found = {}
        for name, weight in weights.items():
            magnitude = self.get_buffer(f"magnitude_{name}")
            if self.magnitudes == "resampled":
                noise = torch.randn(weight.shape, generator=generator, device=weight.device, dtype=weight.dtype)
                magnitude = magnitude * noise.abs_()
            found[name] = weight.detach().sign() * magnitude
        return found


class DirectFeedbackAlignment(VectorFeedback):
    """Direct feedback alignment: ``delta_l = (B_l e) . f'(a_l)``, with its own row of ``B_l`` for every unit.

    Nokland 2016, eq. 7. ``B_l`` is ``(units, outputs)`` over all units of the layer, positions of a convolution included,
    as Nokland had it; a single vector tiled over space is another rule. Entries are ``N(0, 1 / outputs)``. One forward
    phase and one feedback phase, in which all layers are served at once.
    """

    name = "direct_feedback_alignment"
    short = "DFA"
    family = "vector feedback"
    learning_rate = 3e-4
    reference = "Nokland 2016, arXiv:1609.01596"

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        for name, layer in list(net.layers.items())[:-1]:
            self._draw(name, math.prod(layer.out_shape), net.n_outputs, generator)

    def _draw(self, name: str, units: int, outputs: int, generator: torch.Generator) -> None:
        self.register_buffer(f"feedback_{name}", torch.randn(units, outputs, generator=generator) / outputs**0.5)

    @classmethod
    def attach(cls, module: nn.Module, *, seed: int, example: Tensor | None = None, **settings: Any) -> Rule:
        """As ``VectorFeedback.attach``; each weighted layer's input receives the error through its own matrix.

        Residual identity paths carry on what is received above them.

        Args:
            module, seed, settings: as there.
            example: an input batch, from which the layers' sizes are taken.
        """
        if example is None:
            raise InputError("direct feedback needs the sizes of the layers: pass example=, a batch of inputs")
        rule = cls._with_settings(seed, settings)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            outputs = module(example).shape[1]
        for name, units in input_sizes(module, example).items():
            rule._draw(name, units, outputs, generator)
        return rule.to(example)

    def credit_attached(
        self, net: nn.Module, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None
    ) -> Tensor:
        feedback = {name.removeprefix("feedback_"): buffer for name, buffer in self.named_buffers()}
        return backward_direct(net, x, y, loss, feedback)

    def deltas(
        self, net: LayeredNet, trace: Trace, top: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, ...]:
        """As in ``VectorFeedback``, but every layer straight from the output."""
        hidden = list(net.layers.items())[:-1]
        signals = [
            layer.activate_vjp(a, to_units(top, self.get_buffer(f"feedback_{name}"), layer.out_shape))
            for (name, layer), a in zip(hidden, trace.preactivations[:-1], strict=True)
        ]
        return (*signals, top)
