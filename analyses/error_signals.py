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
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from torch import Tensor

from analyses._results import finish, write
from neurocompare import plot as figures
from neurocompare.inference import seed_interval
from neurocompare.losses import Loss, cross_entropy
from neurocompare.networks import LayeredNet, convnet, mlp
from neurocompare.networks.layers import Trace
from neurocompare.rules import RULES, Credit, Rule
from neurocompare.rules.equilibrium_propagation import EquilibriumPropagation
from neurocompare.rules.recurrent import Recurrent

SIDE, PART, CLASSES, NOISE, PATCH = 16, 8, 4, 0.5, 2
PLACES = [p for p in itertools.permutations(range(4)) if all(part != place for place, part in enumerate(p))]
SILENT = Loss("nothing comes down", lambda out, _: 0 * out.sum(1), lambda out, _: 0 * out)
FREQUENT = "typical 9 in 10"
# Share of typical arrangements in training; with a quarter, each part is in each place equally often.
CONDITIONS = {FREQUENT: 0.9, "typical 1 in 4": 0.25, "nothing from above": 0.9, "untrained": 0.9}
COMPARED = (
    "predictive_coding",
    "equilibrium_propagation",
    "contrastive_hebbian",
    "dual_propagation",
    "difference_target_propagation",
    "dendritic_microcircuit",
    "backprop",
)


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


def index(typical: np.ndarray, atypical: np.ndarray) -> np.ndarray:
    """``(T - A) / (T + A)``: 1 for a response to typical stimuli alone, -1 for one to atypical stimuli alone."""
    return (typical - atypical) / np.maximum(typical + atypical, 1e-12)


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


def blanked(x: Tensor) -> Tensor:
    """Each image with a patch set to zero, ``(places, *x.shape)``, places row by row."""
    side = SIDE // PATCH
    masks = torch.eye(side**2).view(-1, 1, 1, side, side).bool()
    return x.masked_fill(masks.repeat_interleave(PATCH, -1).repeat_interleave(PATCH, -2), 0)


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


STAGES = ("at its peak", "summed over time", "at the end")


def staged(found: dict[str, list[np.ndarray]], name: str) -> dict[str, list[np.ndarray]]:
    """A rule's fields by name; predictive coding's change while it infers, so there are three."""
    if name != "predictive_coding":
        return {name: found[name]}
    peak = [course[course.mean((1, 2)).argmax()] for course in found[name]]
    kinds = peak, [course.sum(0) for course in found[name]], [course[-1] for course in found[name]]
    return {f"{name}, {stage}": kind for stage, kind in zip(STAGES, kinds, strict=True)}


def compute(
    rules: Iterable[str] = COMPARED, *, seeds: int = 6, training: int = 300, steps: int = 400, count: int = 200
) -> xr.Dataset:
    """Both parts.

    Args:
        rules: to compare; one of them predictive coding.
        seeds: networks, each with objects of its own.
        training: batches of 64.
        steps: of predictive coding's inference after the stimulus has come on; a quarter of them after a patch has gone.
        count: of stimuli; a twentieth of them for mismatch.
    Returns:
        Of faces: ``response (condition, seed, layer, kind, arrangement, step)``, ``turned (condition, seed, layer, kind)``,
        ``early (condition, seed)``; see ``faces``. ``preference (rule, seed, signal, layer)``; see ``preferences``. Of
        mismatch: ``field (source, seed, layer, measure)``; see ``measures``. ``example (map, row, column)``: fields of one
        unit of the lower layer.
    """
    rules, numbers = list(rules), range(seeds)
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
        if seed == 0:
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


def central(visual: np.ndarray) -> int:
    """Of the units near the middle of the visual field, the one that sees most."""
    centres, _ = geometry(visual)
    near = np.hypot(*(centres - SIDE / 2).T) < 3 * PATCH
    return int(np.where(near, visual.sum(0), -1).argmax())


def interval(values: np.ndarray) -> str:
    """Mean and 95 % interval over seeds."""
    low, high = seed_interval(values)
    return f"{np.mean(values):.2f} [{low:.2f}, {high:.2f}]"


def over_time(dataset: xr.Dataset) -> xr.DataArray:
    """The index of preference, ``(condition, seed, layer, kind, step)``."""
    typical, atypical = (dataset["response"].sel(arrangement=a, drop=True) for a in ("typical", "atypical"))
    return xr.apply_ufunc(index, typical, atypical)


def plot(dataset: xr.Dataset) -> Figure:
    """Above: preference for typical stimuli over inference time, and by rule. Below: fields of one unit, and of all."""
    figure = Figure(figsize=(11, 7.4), layout="constrained")
    grid = figure.add_gridspec(2, 6)
    for place, layer in enumerate(("lower", "upper")):
        axis = figure.add_subplot(grid[0, 2 * place : 2 * place + 2])
        _preference_over_time(axis, dataset, layer)
    _preferences(figure.add_subplot(grid[0, 4:]), dataset)
    names = [str(name) for name in dataset["map"].values if "summed" not in str(name)][:4]
    inner = grid[1, :3].subgridspec(2, 2)
    for place, name in enumerate(names):
        _map(figure.add_subplot(inner[divmod(place, 2)]), dataset, name)
    _fields(figure.add_subplot(grid[1, 3:]), dataset)
    n = dataset.sizes["seed"]
    figure.suptitle(
        f"{n} networks of each kind ({dataset.attrs['units']}), {dataset.attrs['stimuli']} stimuli of "
        "each arrangement; shading and bars: 95 % t interval over networks",
        fontsize=9,
    )
    return figure


def _style(condition: str) -> tuple[str, str]:
    colour, _, _ = figures.style_of("predictive_coding")
    others = {
        "typical 1 in 4": ("#999999", "-"),
        "nothing from above": ("k", "--"),
        "untrained": ("#777777", ":"),
    }
    return others.get(condition, (colour, "-"))


def _band(axis: Axes, values: np.ndarray, colour: str, dash: str, label: str) -> None:
    steps, (low, high) = np.arange(values.shape[1]), np.transpose([seed_interval(moment) for moment in values.T])
    axis.fill_between(steps, low, high, color=colour, alpha=0.2, linewidth=0)
    axis.plot(steps, values.mean(0), color=colour, linestyle=dash, linewidth=1.3, label=label)


def _preference_over_time(axis: Axes, dataset: xr.Dataset, layer: str) -> None:
    course = over_time(dataset).sel(layer=layer)
    for condition in dataset["condition"].values:
        part = course.sel(condition=condition, kind="error")
        _band(axis, part.transpose("seed", "step").values, *_style(str(condition)), f"errors, {condition}")
    values = course.sel(condition=FREQUENT, kind="value").transpose("seed", "step").values
    _band(axis, values, "#0072B2", "-.", f"values, {FREQUENT}")
    axis.axhline(0, color="#999999", linewidth=0.6)
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlim(0, dataset.sizes["step"] - 1)
    axis.set_ylim(-1, 1)
    axis.set_xlabel("inference steps since the stimulus came on", fontsize=8)
    axis.set_title(f"predictive coding, {layer} hidden layer", fontsize=8)
    if layer == "lower":
        axis.set_ylabel("preference, (T - A) / (T + A)", fontsize=8)
        axis.legend(frameon=False, fontsize=6, loc="lower left")
    finish(axis)


def _bars(axis: Axes, rows: np.ndarray, kinds: Sequence[str], names: Sequence[str]) -> None:
    """Bars in groups, a group for each of ``names`` in its rule's colour; ``rows`` is ``(names, kinds, seeds)``."""
    width, tones = 0.8 / len(kinds), np.linspace(0.25, 1, len(kinds))
    for kind, tone in enumerate(tones):
        middle = np.arange(len(names)) + (kind - (len(kinds) - 1) / 2) * width
        means, ends = rows[:, kind].mean(1), np.array([seed_interval(row) for row in rows[:, kind]])
        reach = np.abs(np.nan_to_num(ends - means[:, None])).T
        colours = [to_rgba(figures.style_of(name.partition(", ")[0])[0], tone) for name in names]
        axis.bar(middle, means, width, yerr=reach, color=colours, edgecolor="k", linewidth=0.5, capsize=1.5,
                 error_kw={"linewidth": 0.8})  # fmt: skip
        axis.bar(0, 0, color=to_rgba("k", tone), edgecolor="k", linewidth=0.5, label=kinds[kind])
    axis.set_xticks(range(len(names)), [_short(name) for name in names], rotation=40, ha="right")
    axis.legend(frameon=False, fontsize=7)
    finish(axis)


def _preferences(axis: Axes, dataset: xr.Dataset) -> None:
    rows = dataset["preference"].sel(layer="lower").transpose("rule", "signal", "seed").values
    _bars(axis, rows, [str(kind) for kind in dataset["signal"].values], [str(name) for name in dataset["rule"].values])
    axis.axhline(0, color="k", linewidth=0.6)
    axis.set_ylim(-1, 1)
    axis.set_title("every rule, lower hidden layer, after inference", fontsize=8)


def _map(axis: Axes, dataset: xr.Dataset, name: str) -> None:
    image = dataset["example"].sel(map=name).values
    axis.imshow(image / image.max(), cmap="Greys", extent=(0, SIDE, SIDE, 0))
    axis.set_title("visual field of one unit" if name == "visual" else name.replace("_", " "), fontsize=8)
    axis.set_xticks([0, SIDE])
    axis.set_yticks([0, SIDE])
    axis.set_xlabel("pixels", fontsize=7, labelpad=-6)
    axis.tick_params(labelsize=7)


def _fields(axis: Axes, dataset: xr.Dataset) -> None:
    rows = dataset["field"].sel(measure="size").transpose("source", "layer", "seed").values
    _bars(axis, rows, ["lower layer", "upper layer"], [str(name) for name in dataset["source"].values])
    axis.axhline(1, color="k", linewidth=0.8, linestyle=":")
    axis.set_ylabel("size of mismatch field over that of visual field", fontsize=8)
    axis.set_title("convolutional networks, median over units", fontsize=8)


def _short(source: str) -> str:
    rule, _, stage = source.partition(", ")
    return f"{RULES[rule].short} {stage}".strip()


def report(dataset: xr.Dataset) -> str:
    """The published findings beside ours, in words that follow from the numbers."""
    return "\n".join([*_faces_in_words(dataset), *_rules_in_words(dataset), *_fields_in_words(dataset)])


def _faces_in_words(dataset: xr.Dataset) -> list[str]:
    course = over_time(dataset).transpose("seed", "step", ...)
    lines = [
        "Issa et al. 2018: midway up, an early preference for typical arrangements turns round; further up it stays.",
        "ours, predictive coding: preference (T - A) / (T + A), early -> at the end, mean and 95 % interval over networks,",
        "and the share of units that turn round among those that prefer typical arrangements early",
    ]
    turning = []
    for condition, layer, kind in itertools.product(CONDITIONS, ("lower", "upper"), ("value", "error")):
        where = {"condition": condition, "layer": layer, "kind": kind}
        part, early = course.sel(where).values, dataset["early"].sel(condition=condition).values
        first, last, share = part[np.arange(len(part)), early], part[:, -1], float(dataset["turned"].sel(where).mean())
        name, what = f"{condition}, {layer} {kind}s", verdict(first, last)
        lines.append(f"  {name:33s}{interval(first)} -> {interval(last)}, {share:4.0%} of units; it {what}")
        turning += [name] if what == "turns round" else []
    size = dataset["response"].sel(condition=FREQUENT, kind="error", layer="lower").mean(("seed", "arrangement")).values
    mean = course.sel(condition=FREQUENT, kind="error", layer="lower").mean("seed").values
    when = f"after {int((mean < 0).argmax())} steps of a tenth of a time constant" if (mean < 0).any() else "never"
    return [
        *lines,
        f"  turns round in: {'; '.join(turning) or 'none'}",
        f"  in the lower layer's errors it is below zero for the first time {when}; recorded: some 30 ms after it appears.",
        f"  Errors at the end are {size[-1] / size.max():.1%} of their peak: what turns round is what is left by then.",
    ]


def verdict(early: np.ndarray, late: np.ndarray) -> str:
    """What becomes of an early preference for typical stimuli, by intervals over seeds."""
    (early_low, _), (late_low, late_high) = seed_interval(early), seed_interval(late)
    if not early_low > 0:
        return "is not there early"
    return "turns round" if late_high < 0 else "stays" if late_low > 0 else "is lost"


def _rules_in_words(dataset: xr.Dataset) -> list[str]:
    part = dataset["preference"].sel(layer="lower")
    lines = ["every rule, lower layer: preference of activity; of activity once the output is moved; of the error"]
    for name in dataset["rule"].values:
        found = [interval(part.sel(rule=name, signal=signal).values) for signal in dataset["signal"].values]
        lines.append(f"  {name}: {'; '.join(found)}")
    errors_turn = (part.sel(signal="error").mean("seed") < 0).sum()
    moved = part.sel(signal="activity, taught").mean("seed").dropna("rule")
    lines.append(
        f"  errors are larger for atypical stimuli in {int(errors_turn)} of {dataset.sizes['rule']} rules; "
        f"activities that carry them as changes turn round in {int((moved < 0).sum())} of {len(moved)}"
    )
    return lines


def _fields_in_words(dataset: xr.Dataset) -> list[str]:
    lines = [
        "Zmarz & Keller 2016: mismatch fields are about as large as visual fields and follow the retinotopic map.",
        "ours: size over that of visual fields, share of the error inside them, agreement of centres (r), by layer",
    ]
    for source in dataset["source"].values:
        part = dataset["field"].sel(source=source).transpose("layer", "measure", "seed").values
        lower, upper = (", ".join(map(interval, layer)) for layer in part)
        lines += [f"  {source}", f"    lower {lower}", f"    upper {upper}"]
    size = dataset["field"].mean("seed").sel(measure="size")
    for layer in ("lower", "upper"):
        alike = dataset["source"].values[size.sel(layer=layer) < 1.5]
        lines.append(f"  at most half as large again as visual fields, {layer} layer: {'; '.join(alike) or 'none'}")
    return [
        *lines,
        "  When the patch goes, the error of predictive coding's lower layer is its visual field by construction. What",
        "  comes from the output alone goes where the output's weights lead: it does not know where the patch was.",
    ]


def main(folder: Path, quick: bool = False) -> list[Path]:
    """Compute, print the published findings beside ours, and write netCDF and figures; returns their paths."""
    start = time.perf_counter()
    few = ("predictive_coding", "equilibrium_propagation", "backprop")
    dataset = compute(few, seeds=3, training=150, count=60) if quick else compute()
    print(report(dataset))
    paths = write("error_signals", dataset, plot(dataset), folder)
    print(f"took {time.perf_counter() - start:.0f} s")
    return paths
