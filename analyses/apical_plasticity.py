"""Apical feedback sets sign and size of basal plasticity: the experiment of Lillicrap et al. 2020 (Fig. 4), rule by rule.

One presynaptic pattern drives the basal dendrites of many cells, trial after trial, while an experimenter, not the network,
decides what their apical dendrites receive. What a rule then does to the basal synapses is its prediction. The rules run as
they are in ``neurocompare.rules``: feedback weights are the identity (one source for each cell), the readout is silent, and
the loss is one whose error is minus the drive. A drive ``d`` brings a cell what an output error of ``-d`` would; backprop
then changes the weight of a presynaptic rate ``x`` by ``f'(a) d x``.

- ``"phasic"``: the drive comes with the teacher, in the second phase if a rule has two.
- ``"sustained"``: the apical dendrite itself is held, from beginning to end; what compares two phases does not see it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from analyses._results import finish, write
from neurocompare import plot as figures
from neurocompare.losses import Loss
from neurocompare.networks import Layer, LayeredNet, mlp
from neurocompare.rules import RULES, Rule
from neurocompare.rules.burst import BASELINE, Burst
from neurocompare.rules.microcircuit import Circuit, DendriticMicrocircuit
from neurocompare.rules.segregated_dendrites import SegregatedDendrites
from neurocompare.rules.urbanczik_senn import UrbanczikSenn

INPUTS, LEARNING_RATE = 20, 0.02
DRIVES = np.r_[-4:-0.5:8j, -0.01, 0, 0.01, 0.5:4:8j]
RATES = np.linspace(0, 1, 5)  # of the presynaptic cells, as a fraction of the pattern
PROTOCOLS = ("phasic", "sustained")


class Electrode(Loss):
    """A loss whose error is minus the drive, which takes the place of labels, ``(B, cells)``."""

    def prediction(self, output: Tensor) -> Tensor:
        """The rates of the output units: they stand for no labels."""
        return output


ELECTRODE = Electrode("electrode", lambda out, drive: -(out * drive).sum(1), lambda _, drive: -drive)


class HeldSoma(UrbanczikSenn):
    """Teaching conductances set by hand; ``held`` is the drive, ``(B, cells)``, here and below."""

    held: Tensor

    def soma(self, predicted: Tensor, target: Tensor) -> Tensor:
        return super().soma(predicted, predicted + self.held)


class HeldPlateau(SegregatedDendrites):
    """An apical potential that is the same in both phases."""

    held: Tensor

    def plateau(self, name: str, layer: Layer, output: Tensor) -> Tensor:
        return super().plateau(name, layer, self.nudge * self.held)


class HeldBursts(Burst):
    """Apical input in place of bursts and events from above."""

    held: Tensor

    def from_above(self, name: str, above: Layer, bursts: Tensor, events: Tensor) -> Tensor:
        return BASELINE * self.teaching * self.held


@dataclass(frozen=True)
class HeldCircuit(Circuit):
    """A circuit whose apical potential is that which the drive brings through the layer above."""

    held: Tensor

    def apical(self, r: Tensor, u_above: Tensor) -> Tensor:
        return self.nudge * (1 - self.nudge) * self.held


class HeldApical(DendriticMicrocircuit):
    """Apical potentials out of the interneurons' reach."""

    held: Tensor

    def circuits(self, net: LayeredNet) -> list[Circuit]:
        return [HeldCircuit(**vars(circuit), held=self.held) for circuit in super().circuits(net)]


@dataclass(frozen=True)
class Subject:
    """A rule in the experiment.

    Attributes:
        rule: its name.
        identity: the buffers through which feedback reaches hidden cells, and the sign of the identity put there. Where
            there are none, the readout's own weights carry it.
        held: the rule with its apical dendrites in the experimenter's hands; None where it has none.
        settings: of the rule.
    """

    rule: str
    identity: dict[str, int] = field(default_factory=dict)
    held: type[Rule] | None = None
    settings: dict[str, Any] = field(default_factory=dict)


SUBJECTS: dict[str, Subject] = {
    "dendritic_microcircuit": Subject(
        "dendritic_microcircuit", {"top_down_readout": 1, "cancel_readout": -1}, HeldApical
    ),
    "segregated_dendrites": Subject("segregated_dendrites", {"apical_fc1": 1}, HeldPlateau),
    "urbanczik_senn": Subject("urbanczik_senn", {"feedback_readout": 1}, HeldSoma),
    "burst": Subject("burst", {"bursts_readout": 1}, HeldBursts),
    "burst, burstprop": Subject("burst", {"bursts_readout": 1}, HeldBursts, {"variant": "burstprop"}),
    "feedback_alignment": Subject("feedback_alignment", {"feedback_readout": 1}),
    "backprop": Subject("backprop"),
    "hebbian": Subject("hebbian", settings={"variant": "plain"}),
}


def cells(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Basal weights ``(count, INPUTS)`` and biases ``(count,)`` of cells, and the pattern, ``(INPUTS,)``, first entry 1."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(count, INPUTS, generator=generator, dtype=torch.float64) / INPUTS**0.5
    biases = 4 * torch.rand(count, generator=generator, dtype=torch.float64) - 2
    pattern = torch.rand(INPUTS, generator=generator, dtype=torch.float64)
    pattern[0] = 1
    return weights, biases, pattern


def prepare(subject: Subject, weights: Tensor, biases: Tensor, held: Tensor | None = None) -> tuple[LayeredNet, Rule]:
    """A hidden layer of the given cells, each with its own source of feedback, and the rule on it.

    Args:
        subject: the rule.
        weights, biases: of the cells, ``(cells, INPUTS)`` and ``(cells,)``.
        held: the drive at which apical dendrites are held, ``(1, cells)``; None leaves them to the layer above.
    """
    net = mlp(len(weights), input_shape=(weights.shape[1],), hidden=(len(weights),), activation="sigmoid").double()
    hidden, readout = net.layers.values()
    identity = torch.eye(len(weights), dtype=torch.float64)
    with torch.no_grad():
        hidden.weight.copy_(weights)
        hidden.bias.copy_(biases)
        readout.weight.copy_(torch.zeros_like(identity) if subject.identity else identity)
    made = RULES[subject.rule] if held is None or subject.held is None else subject.held
    rule = made.for_net(net, seed=0, **subject.settings)
    for name, sign in subject.identity.items():
        rule.get_buffer(name).copy_(sign * identity)
    if held is not None:
        rule.held = held
    return net, rule


def pair(subject: Subject, protocol: str, rate: float, trials: int, count: int, seed: int) -> np.ndarray:
    """Weight of the recorded synapse, after minus before, in units of the learning rate; ``(trials, drive, cell)``.

    Every cell is tried at every drive. Only basal weights are plastic, by plain gradient descent.
    """
    weights, biases, pattern = (part.repeat(len(DRIVES), *[1] * (part.ndim - 1)) for part in cells(count, seed))
    drive = torch.from_numpy(DRIVES).repeat_interleave(count)[None]
    net, rule = prepare(subject, weights, biases, held=drive if protocol == "sustained" else None)
    basal = next(iter(net.layers.values())).weight
    optimizer = torch.optim.SGD([basal], lr=LEARNING_RATE)
    found = np.empty((trials, len(DRIVES), count))
    for trial in range(trials):
        rule.step(net, optimizer, rate * pattern[None, :INPUTS], drive, ELECTRODE)
        found[trial] = ((basal.detach() - weights)[:, 0] / LEARNING_RATE).view(len(DRIVES), count).numpy()
    return found


def compute(
    subjects: Iterable[str] = tuple(SUBJECTS), *, trials: int = 60, count: int = 30, seed: int = 0
) -> xr.Dataset:
    """The experiment under every rule.

    Args:
        subjects: keys of ``SUBJECTS``.
        trials: of pairing.
        count: of cells.
        seed: of their weights and of the pattern.
    Returns:
        ``change (subject, protocol, rate, drive, cell)`` of the recorded synapse in the first trial, in units of the
        learning rate, NaN for the sustained protocol without an apical dendrite; ``course (subject, trial, drive)``, summed
        over trials, mean over cells; ``basal (cell)``, their rates before.
    """
    subjects = list(subjects)
    change = np.full((len(subjects), len(PROTOCOLS), len(RATES), len(DRIVES), count), np.nan)
    course = np.empty((len(subjects), trials, len(DRIVES)))
    for row, subject in enumerate(map(SUBJECTS.__getitem__, subjects)):
        for column, protocol in enumerate(PROTOCOLS[: 2 if subject.held else 1]):
            for place, rate in enumerate(RATES):
                change[row, column, place] = pair(subject, protocol, rate, 1, count, seed)[0]
        course[row] = pair(subject, "phasic", 1.0, trials, count, seed).mean(2)
    weights, biases, pattern = cells(count, seed)
    return xr.Dataset(
        {
            "change": (("subject", "protocol", "rate", "drive", "cell"), change),
            "course": (("subject", "trial", "drive"), course),
            "basal": ("cell", torch.sigmoid(weights @ pattern + biases).numpy()),
        },
        coords={"subject": subjects, "protocol": list(PROTOCOLS), "rate": RATES, "drive": DRIVES},
        attrs={"learning_rate": LEARNING_RATE, "seed": seed},
    )


def describe(dataset: xr.Dataset) -> pd.DataFrame:
    """What the curves say, a row per subject: first trial, full presynaptic rate, phasic where not said otherwise.

    Returns:
        ``obeys``: share of drives and cells at which the change has the drive's sign. ``at_zero``: largest change without
        drive over largest with it. ``slope``, ``spread``: of weak drives, over ``f'(a)``; mean and standard deviation over
        cells. ``straight``: R^2 of a line through the mean over cells. ``reach``: its slope from end to end over that at
        zero. ``presynaptic``: change at half the rate over half the change, at the strongest drive. ``sustained``:
        largest change under that protocol over the largest.
    """
    return pd.DataFrame({str(name): _describe(dataset.sel(subject=name)) for name in dataset["subject"].values}).T


def _describe(part: xr.Dataset) -> dict[str, float]:
    half, full = (part["change"].sel(rate=rate).values for rate in (0.5, 1.0))
    (phasic, sustained), mean, drive = full, full[0].mean(1), part["drive"].values
    zero, largest, basal = int(np.flatnonzero(drive == 0)[0]), np.abs(phasic).max(), part["basal"].values
    slopes = (phasic[zero + 1] - phasic[zero - 1]) / (drive[zero + 1] - drive[zero - 1])
    moves = np.ptp(mean) > 1e-9
    return {
        "obeys": float((np.sign(phasic) == np.sign(drive)[:, None]).mean()),
        "at_zero": np.abs(phasic[zero]).max() / largest,
        "slope": (slopes / (basal * (1 - basal))).mean(),
        "spread": (slopes / (basal * (1 - basal))).std(),
        "straight": np.corrcoef(drive, mean)[0, 1] ** 2 if moves else np.nan,
        "reach": np.ptp(mean) / np.ptp(drive) / slopes.mean() if moves else np.nan,
        "presynaptic": half[0, -1].mean() / (phasic[-1].mean() / 2),
        "sustained": np.abs(sustained).max() / largest,
    }


def plot(dataset: xr.Dataset) -> Figure:
    """A panel for each rule, weight change against apical drive; below, against rates of either cell and over trials."""
    figure = Figure(figsize=(11, 7.6), layout="constrained")
    grid = figure.add_gridspec(3, 12, height_ratios=(1, 1, 1.25))
    names = [str(name) for name in dataset["subject"].values]
    for place, name in enumerate(names):
        row, column = divmod(place, 4)
        axis = figure.add_subplot(grid[row, 3 * column : 3 * column + 3])
        _against_drive(axis, dataset, name, last_row=place + 4 >= len(names))
        axis.set_ylabel("weight change" if column == 0 else "", fontsize=8)
    bottom = [figure.add_subplot(grid[2, 4 * column : 4 * column + 4]) for column in range(3)]
    for name in names:
        _below(bottom, dataset, name)
    titles = ("strongest drive, mean over cells", "drive 2, a dot per cell", "drives 2 and -2, mean over cells")
    labels = ("presynaptic rate, fraction of the pattern", "rate of the cell before, fraction of its highest", "trial")
    for axis, title, label in zip(bottom, titles, labels, strict=True):
        axis.set_title(title, fontsize=8)
        axis.set_xlabel(label, fontsize=8)
        finish(axis)
    bottom[0].set_ylabel("weight change", fontsize=8)
    bottom[2].set_ylabel("summed weight change", fontsize=8)
    figure.legend(
        *bottom[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    figure.suptitle(
        f"basal weight change in the first pairing, in units of the learning rate; {dataset.sizes['cell']} cells\n"
        "line and shading: mean and middle 95 % of cells; dotted: apical dendrite held in both phases; grey: backprop",
        fontsize=9,
    )
    return figure


def _style(name: str) -> tuple[str, str, Any]:
    colour, marker, dash = figures.style_of(SUBJECTS[name].rule)
    return colour, marker, (dash if SUBJECTS[name].held else "-.") if "," not in name else "--"


def _against_drive(axis: Axes, dataset: xr.Dataset, name: str, last_row: bool) -> None:
    part, drive = dataset["change"].sel(subject=name, rate=1.0), dataset["drive"].values
    phasic, (colour, _, dash) = part.sel(protocol="phasic"), _style(name)
    slope = float((dataset["basal"] * (1 - dataset["basal"])).mean())
    axis.plot(drive, slope * drive, color="#BBBBBB", linewidth=2.5)
    axis.fill_between(drive, *np.quantile(phasic, (0.025, 0.975), axis=1), color=colour, alpha=0.2, linewidth=0)
    axis.plot(drive, phasic.mean("cell"), color=colour, linestyle=dash, linewidth=1.4)
    axis.plot(drive, part.sel(protocol="sustained").mean("cell"), color="k", linestyle=":", linewidth=1.4)
    axis.axhline(0, color="#999999", linewidth=0.5)
    axis.axvline(0, color="#999999", linewidth=0.5)
    axis.set_ylim(-1.1, 1.1)
    axis.set_title(name.replace("_", " "), fontsize=8)
    axis.set_xlabel("apical drive (minus the output error)" if last_row else "", fontsize=8)
    finish(axis)


def _below(axes: list[Axes], dataset: xr.Dataset, name: str) -> None:
    part, (colour, marker, dash) = dataset.sel(subject=name, protocol="phasic"), _style(name)
    line = {"color": colour, "linestyle": dash, "linewidth": 1.2, "label": name.replace("_", " ")}
    strongest = part["change"].isel(drive=-1).mean("cell")
    axes[0].plot(dataset["rate"], strongest, marker=marker, markersize=4, **line)
    axes[1].plot(dataset["basal"], part["change"].sel(rate=1.0, drive=2.0), marker, color=colour, markersize=3)
    trials = np.arange(1, dataset.sizes["trial"] + 1)
    for drive in (-2.0, 2.0):
        axes[2].plot(trials, part["course"].sel(drive=drive), **line)


PUBLISHED = """published, in words
  Lillicrap et al. 2020, Fig. 4: apical feedback should set sign and size of plasticity in basal synapses (a proposal).
  Larkum et al. 1999, Nature 398:338: apical input, together with a spike that travels back, makes bursts.
  Bittner et al. 2015, Nat. Neurosci. 18:1133; 2017, Science 357:1033 (hippocampus): input paired with a dendritic plateau
    potential is potentiated. Milstein et al. 2021, eLife 10:e73046: or depressed, where the synapse is strong already.
  Payeur et al. 2021, Nat. Neurosci. 24:1010: plasticity that depends on bursts (a model)."""
CAVEAT = """That is how they were made; what an experiment could tell them apart by are lasting drives and strong ones.
Not in any of them: a sign that depends on the synapse's own strength, as with plateaus in hippocampus (no update here reads
it but through the cell's potential), and, but for the Hebbian control, plasticity without apical drive, which pairing of
spikes in slices has (Markram et al. 1997, Science 275:213)."""


def report(dataset: xr.Dataset) -> str:
    """The published findings, the table, and what it says in words."""
    table = describe(dataset)
    obey = (table["obeys"] == 1) & (table["at_zero"] < 1e-9)
    apical = table["sustained"].notna()
    groups = {
        "the sign is that of the drive, at all drives and in all cells; no change without drive": obey,
        "change regardless of feedback": ~obey,
        "straight to within 5 % up to the strongest drive": table["reach"] > 0.95,
        "saturating: end to end less than 3/4 of the slope at zero": table["reach"] < 0.75,
        "weak drives weighed by f'(a) of the cell (spread over cells below 5 %)": table["spread"]
        < 0.05 * table["slope"],
        "a drive in both phases counts as much as one in the second alone": table["sustained"] > 0.95,
        "a drive in both phases has no effect": table["sustained"] < 1e-9,
    }
    lines = [PUBLISHED, "ours", table.round(3).to_string()]
    lines += [f"  {words}: {'; '.join(table.index[which]) or 'none'}" for words, which in groups.items()]
    lines.append(
        f"as proposed: {int((obey & apical).sum())} of {int(apical.sum())} rules and variants with an apical dendrite"
    )
    return "\n".join([*lines, CAVEAT])


def main(folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]:
    """Compute, print what each rule predicts, and write netCDF and figures into ``folder``; returns their paths."""
    start = time.perf_counter()
    computed = partial(compute, seed=first_seed)
    dataset = computed(trials=20, count=10) if quick else computed()
    print(report(dataset))
    paths = write("apical_plasticity", dataset, plot(dataset), folder)
    print(f"took {time.perf_counter() - start:.0f} s")
    return paths
