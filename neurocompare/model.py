"""A model to be scored: a network, which of its layers to look at, and how stimuli become its inputs."""

from __future__ import annotations

import fnmatch
import hashlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from neurocompare.errors import InputError, unknown_name
from neurocompare.networks.layers import LayeredNet
from neurocompare.representation import Representation
from neurocompare.rules.base import Rule
from neurocompare.stimuli import Preprocess, StimulusSet

Sink = Callable[[str, Tensor], None]


@dataclass(frozen=True)
class Model:
    """A network ready for probing.

    Attributes:
        name: how tables and figures call it.
        net: any torch module.
        layers: names of submodules, first to last.
        preprocess: from a stimulus to an input array.
        rule: of a ``LayeredNet``; its inference (settling, for rules that settle) is what is probed.
        seed: of the model among others of its name, where it has one.
        provenance: what else identifies it.
    """

    name: str
    net: nn.Module
    layers: tuple[str, ...]
    preprocess: Preprocess
    rule: Rule | None = None
    seed: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        modules = dict(self.net.named_modules())
        for layer in self.layers:
            if layer not in modules:
                raise unknown_name(f"layer of {self.name!r}", layer, filter(None, modules))

    def choose(self, patterns: Sequence[str] | None) -> tuple[str, ...]:
        """The model's layers that match one of some globs, in network order; all of its layers for None.

        A pattern may also name a submodule that is not among ``layers``.

        Raises:
            InputError: a pattern that matches nothing.
        """
        if patterns is None:
            return self.layers
        modules = [name for name, _ in self.net.named_modules() if name]
        chosen: set[str] = set()
        for pattern in patterns:
            exact = [pattern] if pattern in modules else []  # its name may have brackets in it
            found = exact or fnmatch.filter(self.layers, pattern) or fnmatch.filter(modules, pattern)
            if not found:
                raise unknown_name(f"layer of {self.name!r}", pattern, modules)
            chosen.update(found)
        return tuple(name for name in modules if name in chosen)

    @torch.inference_mode()
    def visit(self, x: Tensor, layers: Sequence[str], sink: Sink, reports: int | None = None) -> None:
        """Run one batch and hand each layer's activity to ``sink`` as it arises, so that none need be kept.

        A submodule called more than once in a forward pass is reported once for each call.

        Args:
            x: inputs.
            layers: to report.
            sink: takes a layer's name and its activity.
            reports: after so many the forward pass is broken off: what comes then is of no interest.
        """
        if self.rule is not None and isinstance(self.net, LayeredNet):
            activities = self.rule.activities(self.net, x)
            for layer in layers:
                sink(layer, activities[layer])
            return
        modules, count = dict(self.net.named_modules()), itertools.count(1)

        def counted(layer: str, activity: Tensor) -> None:
            sink(layer, activity)
            if next(count) == reports:
                raise _EnoughError

        handles = [modules[layer].register_forward_hook(_hook(layer, counted)) for layer in layers]
        try:
            self.net(x)
        except _EnoughError:
            pass
        finally:
            for handle in handles:
                handle.remove()

    @property
    def device(self) -> torch.device:
        """Where the network's parameters are."""
        return next((p.device for p in self.net.parameters()), torch.device("cpu"))

    def fingerprint(self) -> str:
        """A sha256 over every parameter and buffer of the network and the rule."""
        digest = hashlib.sha256()
        for module in (self.net, self.rule):
            for name, value in (module.state_dict() if module else {}).items():
                digest.update(f"{name}\0{tuple(value.shape)}\0{value.dtype}\0".encode())
                digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()

    def describe(self) -> dict[str, Any]:
        """What identifies the model, for provenance and cell keys."""
        return {
            "model": self.name,
            "seed": self.seed,
            "weights_sha256": self.fingerprint(),
            "preprocess": self.preprocess.describe(),
            **self.provenance,
        }


@dataclass(frozen=True)
class Given:
    """A model that is no network: what it makes of a stimulus set is computed otherwise, or was measured.

    Attributes:
        name: how tables and figures call it.
        represent: from a stimulus set to its layers; raises ``InputError`` for stimuli that it knows nothing of.
        seed: of the model among others of its name, where it has one.
        provenance: what else identifies it, and changes with whatever its representations depend on.
    """

    name: str
    represent: Callable[[StimulusSet], dict[str, Representation]]
    seed: int | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def describe(self) -> dict[str, Any]:
        """What identifies the model, for provenance and cell keys."""
        return {"model": self.name, "seed": self.seed, **self.provenance}


def leaf_layers(net: nn.Module) -> tuple[str, ...]:
    """The submodules without children, in order, less those that compute nothing of interest when not training."""
    idle = (nn.Dropout, nn.Identity, nn.Flatten)
    return tuple(n for n, m in net.named_modules() if n and not any(m.children()) and not isinstance(m, idle))


class _EnoughError(Exception):
    """Breaks off a forward pass."""


def _hook(layer: str, sink: Sink) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        first = output[0] if isinstance(output, tuple | list) else output
        if not isinstance(first, Tensor):
            raise InputError(f"layer {layer!r} returns a {type(first).__name__}, not a tensor; choose another layer")
        sink(layer, first)

    return hook
