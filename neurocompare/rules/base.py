"""What a credit-assignment rule is.

A rule looks at a network, a batch and a loss, and fills ``.grad`` of every trainable parameter, so any ``torch.optim``
optimizer applies it. The sign is always that of a gradient: the step is ``W -= lr * grad``.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from typing_extensions import Self

from neurocompare.errors import InputError, unknown_name
from neurocompare.losses import Loss
from neurocompare.networks.activations import ACTIVATIONS
from neurocompare.networks.layers import Conv, LayeredNet, Shape, Trace


@dataclass(frozen=True)
class Needs:
    """What a rule asks of its surroundings.

    Attributes:
        labels: hidden layers learn from labels; where not, only the readout does.
        convolutions: it is defined for convolutions too, not for fully connected layers alone.
        activations: of hidden layers, for which it is defined.
        optimizer: it fills ``.grad`` for an optimizer; where not, its ``step`` moves the parameters itself.
        applied_step: ``after_step`` is to be told by how much the optimizer moved each parameter.
        several_tasks: it looks at labels through the loss alone; where not, a label must be one of the outputs.
    """

    labels: bool = True
    convolutions: bool = True
    activations: tuple[str, ...] = tuple(ACTIVATIONS)
    optimizer: bool = True
    applied_step: bool = False
    several_tasks: bool = True

    def __str__(self) -> str:
        """In words, for lists."""
        words = {
            "labels": self.labels,
            "labels for the readout": not self.labels,
            "fully connected layers": not self.convolutions,
            f"{' or '.join(self.activations)} units": set(self.activations) != set(ACTIVATIONS),
            "no optimizer": not self.optimizer,
            "the applied step": self.applied_step,
            "one task": not self.several_tasks,
        }
        return ", ".join(word for word, true in words.items() if true)

    def check(self, rule: str, net: LayeredNet) -> None:
        """Raise ``InputError`` where a network is not what the rule is defined for."""
        for name, layer in list(net.layers.items())[:-1]:
            if not self.convolutions and isinstance(layer, Conv):
                raise InputError(
                    f"{rule} is defined for fully connected layers, but {name!r} is a convolution; use networks.mlp"
                )
            if layer.activation.name not in self.activations:
                raise InputError(
                    f"{rule} needs hidden units that are {' or '.join(self.activations)}, but {name!r} has "
                    f"{layer.activation.name}; build the network with activation={self.activations[0]!r}"
                )


@dataclass(frozen=True)
class Credit:
    """What a rule found out about one batch, for oracles and for probes of learning.

    Attributes:
        loss: the mean loss over the batch, a scalar.
        deltas: per layer, the teaching signal at the pre-activation (estimating or replacing the derivative of
            ``loss``), where the rule has one.
        targets: per layer, the target activity, where the rule has one.
        residuals: per settling phase, how far the dynamics were from rest, a scalar, where the rule settles.
    """

    loss: Tensor
    deltas: tuple[Tensor, ...] = ()
    targets: tuple[Tensor, ...] = ()
    residuals: tuple[Tensor, ...] = ()


class Rule(nn.Module):
    """A credit-assignment rule; owns whatever it needs beyond the network (feedback weights, inverses, ...).

    A subclass takes its settings as keyword-only arguments of ``__init__``, makes what depends on the network in
    ``build``, and writes ``assign_credit``.

    Attributes:
        name: its key in ``RULES``.
        short: its abbreviation, for figures.
        family: of rules, as in Lillicrap et al. 2020 (Fig. 1 and text).
        feedback: what comes back from the output: "none", "scalar" or "vector".
        reference: the paper.
        learning_rate: a rate for Adam at which the rule learns out of the box.
    """

    name: ClassVar[str]
    short: ClassVar[str]
    family: ClassVar[str]
    feedback: ClassVar[str]
    reference: ClassVar[str]
    learning_rate: ClassVar[float] = 1e-3
    needs: ClassVar[Needs] = Needs()

    @classmethod
    def for_net(cls, net: nn.Module, *, seed: int, **settings: Any) -> Rule:
        """The rule, fitted to one network.

        Args:
            net: the ``LayeredNet`` that will be trained.
            seed: of whatever the rule draws once (feedback weights).
            settings: of the rule; see its constructor.
        Raises:
            InputError: the network is not of the kind that the rule needs, or a setting does not exist.
        """
        if not isinstance(net, LayeredNet):
            raise InputError(
                f"{cls.__name__} needs a LayeredNet (networks.convnet, networks.mlp or your own chain of Layers), "
                f"but got {type(net).__name__}"
            )
        cls.needs.check(cls.__name__, net)
        rule = cls._with_settings(seed, settings)
        rule.build(net, torch.Generator().manual_seed(seed))
        return rule.to(next(net.parameters()))

    provenance: Mapping[str, Any] = {}

    @classmethod
    def _with_settings(cls, seed: int, settings: Mapping[str, Any]) -> Self:
        # A rule without settings has the signature of nn.Module, (*args, **kwargs): those are no settings.
        known = [n for n, p in inspect.signature(cls).parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY]
        for setting in settings:
            if setting not in known:
                raise unknown_name(f"setting of {cls.__name__}", setting, known)
        rule = cls(**settings)
        rule.provenance = {"rule_seed": seed, "settings": dict(settings)}
        return rule

    def build(self, net: LayeredNet, generator: torch.Generator) -> None:
        """Make what depends on the network; by default nothing."""

    def assign_credit(
        self, net: LayeredNet, x: Tensor, y: Tensor, loss: Loss, generator: torch.Generator | None = None
    ) -> Credit:
        """Fill ``.grad`` of every trainable parameter of ``net`` and of the rule.

        Args:
            net: the network given to ``for_net``.
            x: ``(B, *in_shape)``.
            y: labels, ``(B,)``.
            loss: of the task.
            generator: of the rule's noise; only rules that draw some need it.
        """
        raise TypeError(f"{type(self).__name__} does not say how it assigns credit")

    def followed(self, net: LayeredNet) -> dict[str, nn.Parameter]:
        """The parameters whose applied step ``after_step`` is told, by name."""
        return dict(net.named_parameters()) if self.needs.applied_step else {}

    def after_step(self, net: LayeredNet, applied: Mapping[str, Tensor]) -> None:
        """Called after the optimizer has moved the parameters; by default nothing.

        Args:
            net: the network.
            applied: by parameter name, value after minus value before; of those that are ``followed``.
        """

    def step(
        self,
        net: LayeredNet,
        optimizer: torch.optim.Optimizer,
        x: Tensor,
        y: Tensor,
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Credit:
        """One learning step: assign credit, move the parameters, keep the network within its constraint.

        What cannot be written as a gradient (a genetic algorithm) overrides this.
        """
        credit = self.assign_credit(net, x, y, loss, generator)
        followed = self.followed(net)
        before = {name: parameter.detach().clone() for name, parameter in followed.items()}
        optimizer.step()
        if isinstance(net, LayeredNet):  # some rules attach to other modules too
            net.constrain()
        self.after_step(net, {name: parameter.detach() - before[name] for name, parameter in followed.items()})
        return credit

    def activities(self, net: LayeredNet, x: Tensor) -> dict[str, Tensor]:
        """Each layer's activity as this rule infers it, by layer name; the forward pass unless the rule settles.

        The last layer's is what the network predicts under this rule.
        """
        return net.activities(x)


def output_delta(net: LayeredNet, trace: Trace, y: Tensor, loss: Loss) -> Tensor:
    """Derivative of the batch's mean loss with respect to the last pre-activation, ``(B, classes)``."""
    last = list(net.layers.values())[-1]
    return last.activate_vjp(trace.preactivations[-1], loss.error(trace.output, y) / len(y))


def fill_gradients(net: LayeredNet, inputs: Sequence[Tensor], deltas: Sequence[Tensor]) -> None:
    """Set ``.grad`` of each layer to ``delta h^T`` (weight) and ``delta`` (bias).

    Args:
        net: the network.
        inputs: to each layer, ``h_{l-1}``.
        deltas: at each pre-activation, divided by the batch size where the mean is meant.
    """
    for layer, x, delta in zip(net.layers.values(), inputs, deltas, strict=True):
        layer.weight.grad, layer.bias.grad = layer.gradients(x, delta)


def gaussian(like: Tensor, generator: torch.Generator | None) -> Tensor:
    """``N(0, 1)`` noise in the shape of ``like``."""
    return torch.randn(like.shape, generator=generator, device=like.device, dtype=like.dtype)


def to_units(signal: Tensor, weight: Tensor, shape: Shape) -> Tensor:
    """What every unit of a layer receives from a few common sources, ``weight @ signal``, ``(B, *shape)``.

    Args:
        signal: ``(B, sources)``.
        weight: ``(units, sources)``, units in the order of ``shape``.
        shape: of one sample's activity.
    """
    if len(shape) == 1:
        return signal @ weight.T
    by_place = weight.unflatten(0, shape).movedim(0, -2).flatten(0, -2)
    return channels_last(signal @ by_place.T, shape)


def channels_last(units: Tensor, shape: Shape) -> Tensor:
    """``(B, units)``, a convolution's channels running fastest, as ``(B, *shape)`` in the memory order of its activity."""
    if len(shape) == 1:
        return units
    channels, *sides = shape
    return units.unflatten(1, (*sides, channels)).movedim(-1, 1)
