"""What errors look like in hidden layers while a network infers, beside two recordings that were read as errors.

Lillicrap et al. 2020 gather rules in which differences of activity carry errors (NGRAD), and recordings of cells that look
like error units. Here networks learn to name an object by its four parts, which in training nearly always are in their
places; then each rule runs its own inference on what an experimenter shows.

- Faces. Issa, Cadieu & DiCarlo 2018 (eLife 7:e42870): cells midway up the ventral stream at first prefer parts in their
  typical places; some 30 ms later this turns round, while cells further up go on preferring them. Here a stimulus comes on
  after a blank, and what comes down is the network's own decision, as nobody names the object to the monkey.
- Mismatch. Zmarz & Keller 2016 (Neuron 92:766): cells of mouse V1 signal that visual flow in one place is not what was
  predicted; these fields follow the retinotopic map and are about as large as visual receptive fields. Here a small patch of
  the input goes blank once the network has settled, and what it said before is what it expects.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from analyses._results import write
from analyses.error_signals_figures import plot, report
from analyses.objects_of_parts import (
    CLASSES,
    CONDITIONS,
    FREQUENT,
    PATCH,
    SIDE,
    Objects,
    blanked,
    central,
    index,
    measures,
)
from neurocompare.losses import Loss, cross_entropy
from neurocompare.networks import LayeredNet, convnet, mlp
from neurocompare.networks.layers import Trace
from neurocompare.rules import RULES, Credit, Rule
from neurocompare.rules.equilibrium_propagation import EquilibriumPropagation
from neurocompare.rules.recurrent import Recurrent

SILENT = Loss("nothing comes down", lambda out, _: 0 * out.sum(1), lambda out, _: 0 * out)
COMPARED = (
    "predictive_coding",
    "equilibrium_propagation",
    "contrastive_hebbian",
    "dual_propagation",
    "difference_target_propagation",
    "dendritic_microcircuit",
    "backprop",
)


def learn(net: LayeredNet, name: str, objects: Objects, typical: float, steps: int, seed: int) -> Rule:
    """Train ``net`` in place; returns the rule."""
    rule = RULES[name].for_net(net, seed=seed)
    optimizer = torch.optim.Adam([*net.parameters(), *rule.parameters()], lr=rule.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        rule.step(net, optimizer, *objects.draw(64, typical, generator), cross_entropy, generator)
    return rule


class Carried(LayeredNet):
    """A network whose input has just changed: its hidden activities are still those in ``state``."""

    state: Sequence[Tensor]

    def trace(self, x: Tensor, noise: list[Tensor] | None = None) -> Trace:
        now = super().trace(x, noise)
        return Trace([x, *self.state], now.preactivations, now.output)


def relaxation(
    net: LayeredNet, x: Tensor, state: Sequence[Tensor], y: Tensor, loss: Loss, steps: int, rate: float = 0.1
) -> Iterator[tuple[list[Tensor], list[Tensor]]]:
    """Predictive coding's inference on ``x`` from given activities of hidden layers, by the rule's own steps.

    Args:
        net: the network.
        x, y, loss: as in ``Rule.assign_credit``.
        state: of value units, one tensor for each hidden layer.
        steps, rate: of inference.
    Yields:
        Value units and error units, ``v - f(a)``, of each hidden layer, at ``steps + 1`` times.
    """
    rule = RULES["predictive_coding"].for_net(net, seed=0, steps=1, rate=rate)
    carried = Carried(net.layers, net.spec)
    for step in range(steps + 1):
        yield list(state), errors(net, x, state)
        if step < steps:
            carried.state = state
            state = rule.assign_credit(carried, x, y, loss).targets


@torch.no_grad()
def errors(net: LayeredNet, x: Tensor, values: Sequence[Tensor]) -> list[Tensor]:
    """``v_l - f(a_l)`` of hidden layers."""
    return [v - layer(below) for layer, below, v in zip(net.layers.values(), [x, *values], values, strict=False)]


@torch.no_grad()
def onset(net: LayeredNet, x: Tensor, loss: Loss, steps: int) -> list[np.ndarray]:
    """Responses to stimuli that come on after a blank; a layer's are ``(value or error, steps + 1, units)``.

    They are magnitudes (an error of either sign is some cell's), mean over stimuli.
    """
    blank = [h.expand(len(x), -1) for h in net.trace(torch.zeros_like(x[:1])).inputs[1:]]
    moments = [
        [[u.abs().mean(0).numpy() for u in kind] for kind in moment]
        for moment in relaxation(net, x, blank, net(x).argmax(1), loss, steps)
    ]
    return [np.stack([[moment[kind][n] for moment in moments] for kind in (0, 1)]) for n in range(len(blank))]


def trained(name: str, typical: float, training: int, seed: int) -> tuple[Objects, LayeredNet, Rule]:
    """The network with two hidden layers, for objects."""
    objects, net = Objects.of(seed), mlp(CLASSES, input_shape=(1, SIDE, SIDE), hidden=(64, 32), seed=seed)
    return objects, net, learn(net, name, objects, typical, training, seed)


def faces(condition: str, seed: int, training: int, steps: int, count: int = 200) -> tuple[np.ndarray, np.ndarray, int]:
    """Predictive coding under one of ``CONDITIONS``.

    Returns:
        Responses, mean over units, ``(layer, kind, arrangement, step)``; the share of units that prefer atypical stimuli at
        the end, among those that prefer typical ones early, ``(layer, kind)``; and when early is: the step at which errors
        of the upper layer are largest.
    """
    training = 0 if condition == "untrained" else training
    objects, net, _ = trained("predictive_coding", CONDITIONS[condition], training, seed)
    loss, generator = (
        SILENT if condition == "nothing from above" else cross_entropy,
        torch.Generator().manual_seed(seed),
    )
    shown = [onset(net, objects.draw(count, share, generator)[0], loss, steps) for share in (1.0, 0.0)]
    layers = [np.stack(pair, 1) for pair in zip(*shown, strict=True)]  # each (kind, arrangement, step, unit)
    early = int(layers[-1][1].mean((0, 2)).argmax())
    share = [turned(layer[:, 0] - layer[:, 1], early) for layer in layers]
    return np.stack([layer.mean(-1) for layer in layers]), np.stack(share), early


def turned(preference: np.ndarray, early: int) -> np.ndarray:
    """Of units with a preference above zero at one time, the share with one below at the end.

    Args:
        preference: ``(kinds, steps, units)``.
        early: the step.
    """
    before = preference[:, early] > 0
    return (before & (preference[:, -1] < 0)).sum(1) / before.sum(1)


@torch.no_grad()
def preferences(name: str, seed: int, training: int, count: int = 200) -> np.ndarray:
    """The index of any rule's activities without and with what comes down, and of its errors; ``(3, hidden layer)``."""
    objects, net, rule = trained(name, CONDITIONS[FREQUENT], training, seed)
    generator, means = torch.Generator().manual_seed(seed), []
    if isinstance(rule, EquilibriumPropagation):
        rule.symmetric = False  # the second phase is then nudged one way, and the first is free
    for share in (1.0, 0.0):
        x, _ = objects.draw(count, share, generator)
        *free, output = rule.activities(net, x).values()
        credit = rule.assign_credit(net, x, output.argmax(1), cross_entropy, generator)
        kinds = free, taught(rule, net, free, credit), list(credit.deltas[:-1])
        means.append([[float(unit.abs().mean()) for unit in kind] for kind in kinds])
    return index(*np.array(means))


def taught(rule: Rule, net: LayeredNet, free: list[Tensor], credit: Credit) -> list[Tensor]:
    """Hidden activities once the output is moved, NaN where a rule keeps errors apart from them."""
    if isinstance(rule, Recurrent):
        spans = [len(free[0]) * getattr(rule, "beta", 1.0) / c for c in rule.dynamics(net).amplification()]
        return [s - span * delta for s, span, delta in zip(free, spans, credit.deltas, strict=False)]
    return list(credit.targets) or [torch.full_like(s, torch.nan) for s in free]


def expectation(table: Tensor) -> Loss:
    """The cross-entropy with what was expected, ``(rows, classes)``; labels are rows of the table."""

    def per_sample(output: Tensor, rows: Tensor) -> Tensor:
        return -(table[rows] * output.log_softmax(1)).sum(1)

    return Loss("expectation", per_sample, lambda output, rows: output.softmax(1) - table[rows])


@torch.no_grad()
def fields(name: str, seed: int, training: int, steps: int, count: int) -> dict[str, list[np.ndarray]]:
    """Receptive fields of all hidden units of a convolutional network, by layer, ``(places, units)``.

    Returns:
        ``"visual"``: by how much a unit's activity in the forward pass changes with a patch; and by how much its error does:
        under the rule's name, or for predictive coding ``(steps + 1, places, units)``, from the moment of the change.
    """
    objects, net = (
        Objects.of(seed),
        convnet(CLASSES, input_shape=(1, SIDE, SIDE), channels=(8, 16), hidden=(), seed=seed),
    )
    rule = learn(net, name, objects, CONDITIONS[FREQUENT], training, seed)
    x, _ = objects.draw(count, 1.0, torch.Generator().manual_seed(seed))
    changed = blanked(x)
    places, changed = len(changed), changed.flatten(0, 1)
    *_, output = rule.activities(net, x).values()
    loss = expectation(cross_entropy.prediction(output).repeat(places, 1))

    def mean(units: Tensor) -> np.ndarray:
        return units.abs().reshape(places, count, -1).mean(1).numpy()

    def again(h: Tensor) -> Tensor:
        return h.repeat(places, *[1] * (h.ndim - 1))

    rows, still = torch.arange(len(changed)), [again(h) for h in net.trace(x).inputs[1:]]
    found = {"visual": [mean(now - h) for now, h in zip(net.trace(changed).inputs[1:], still, strict=True)]}
    if name == "predictive_coding":
        course = [[mean(e) for e in eps] for _, eps in relaxation(net, changed, still, rows, loss, steps)]
        return found | {name: [np.stack(layer) for layer in zip(*course, strict=True)]}
    before, after = (
        [len(images) * delta for delta in rule.assign_credit(net, images, rows[: len(images)], loss).deltas[:-1]]
        for images in (x, changed)
    )
    return found | {name: [mean(a - again(b)) for a, b in zip(after, before, strict=True)]}


STAGES = ("at its peak", "summed over time", "at the end")


def staged(found: dict[str, list[np.ndarray]], name: str) -> dict[str, list[np.ndarray]]:
    """A rule's fields by name; predictive coding's change while it infers, so there are three."""
    if name != "predictive_coding":
        return {name: found[name]}
    peak = [course[course.mean((1, 2)).argmax()] for course in found[name]]
    kinds = peak, [course.sum(0) for course in found[name]], [course[-1] for course in found[name]]
    return {f"{name}, {stage}": kind for stage, kind in zip(STAGES, kinds, strict=True)}


def compute(
    rules: Iterable[str] = COMPARED,
    *,
    seeds: int = 6,
    training: int = 300,
    steps: int = 400,
    count: int = 200,
    first_seed: int = 0,
) -> xr.Dataset:
    """Both parts.

    Args:
        rules: to compare; one of them predictive coding.
        seeds: networks, each with objects of its own.
        training: batches of 64.
        steps: of predictive coding's inference after the stimulus has come on; a quarter of them after a patch has gone.
        count: of stimuli; a twentieth of them for mismatch.
        first_seed: of the networks.
    Returns:
        Of faces: ``response (condition, seed, layer, kind, arrangement, step)``, ``turned (condition, seed, layer, kind)``,
        ``early (condition, seed)``; see ``faces``. ``preference (rule, seed, signal, layer)``; see ``preferences``. Of
        mismatch: ``field (source, seed, layer, measure)``; see ``measures``. ``example (map, row, column)``: fields of one
        unit of the lower layer.
    """
    rules, numbers = list(rules), range(first_seed, first_seed + seeds)
    shown = [[faces(condition, seed, training, steps, count) for seed in numbers] for condition in CONDITIONS]
    response, turned, early = (np.array([[run[part] for run in row] for row in shown]) for part in range(3))
    compared = [[preferences(name, seed, training, count) for seed in numbers] for name in rules]
    rows: dict[str, list[list[tuple[float, float, float]]]] = {}
    maps: dict[str, np.ndarray] = {}
    for name, seed in itertools.product(rules, numbers):
        found = fields(name, seed, training, steps // 4, count // 20)
        sources = staged(found, name)
        for source, layers in sources.items():
            pairs = zip(layers, found["visual"], strict=True)
            rows.setdefault(source, []).append([measures(field, visual) for field, visual in pairs])
        if seed == first_seed:
            unit = central(found["visual"][0])
            maps |= {source: layers[0][:, unit] for source, layers in {"visual": found["visual"], **sources}.items()}
    side = SIDE // PATCH
    return xr.Dataset(
        {
            "response": (("condition", "seed", "layer", "kind", "arrangement", "step"), response),
            "turned": (("condition", "seed", "layer", "kind"), turned),
            "early": (("condition", "seed"), early),
            "preference": (("rule", "seed", "signal", "layer"), np.array(compared)),
            "field": (("source", "seed", "layer", "measure"), np.array(list(rows.values()))),
            "example": (("map", "row", "column"), np.array(list(maps.values())).reshape(-1, side, side)),
        },
        coords={
            "condition": list(CONDITIONS),
            "layer": ["lower", "upper"],
            "kind": ["value", "error"],
            "arrangement": ["typical", "atypical"],
            "rule": rules,
            "signal": ["activity", "activity, taught", "error"],
            "source": list(rows),
            "measure": ["size", "inside", "retinotopy"],
            "map": list(maps),
        },
        attrs={"units": "above 64 and 32 hidden units, below 512 and 256", "stimuli": count, "training": training},
    )


def main(folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]:
    """Compute, print the published findings beside ours, and write netCDF and figures; returns their paths."""
    start = time.perf_counter()
    few = ("predictive_coding", "equilibrium_propagation", "backprop")
    computed = partial(compute, first_seed=first_seed)
    dataset = computed(few, seeds=3, training=150, count=60) if quick else computed()
    print(report(dataset))
    paths = write("error_signals", dataset, plot(dataset), folder)
    print(f"took {time.perf_counter() - start:.0f} s")
    return paths
