"""What ``rules_vs_brain`` says in words, each sentence computed from the numbers that it is about."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.stats import spearmanr

from neurocompare.rules import RULES

FDR = 0.05
PUBLISHED = (
    "Published (arXiv:2604.16875; THINGS-fMRI, five rules): untrained networks match or beat backprop at V1, backprop leads "
    "at LOC only, rules converge at IT."
)


def words(dataset: xr.Dataset) -> list[str]:
    """Lines: what was found on each set of images, and what does not depend on the choice of seeds."""
    lines = []
    for name in dataset["data"].values:
        part = dataset.sel(data=name)
        seeds, steps = dataset.attrs[f"{name}_seeds"], dataset.attrs[f"{name}_steps"]
        lines.append(f"{name}: {dataset.attrs[f'{name}_items']} images, {steps} steps, {seeds} seeds")
        parts = (_accuracies, _gaps, _contrasts, _controls, _seed_sets)
        lines += [f"  {line}" for say in parts for line in say(part)]
    return [*lines, PUBLISHED]


def _rules(part: xr.Dataset) -> list[str]:
    known = part["difference"].notnull().any(["benchmark", "matching"])
    return [str(rule) for rule in part["rule"].values if str(rule) in RULES and bool(known.sel(rule=rule))]


def _accuracies(part: xr.Dataset) -> Iterator[str]:
    names = ["backprop", *_rules(part)]
    found = {name: float(part["task_accuracy"].sel(model=name)) for name in names}
    ordered = sorted(found, key=found.__getitem__, reverse=True)
    yield "task accuracy: " + ", ".join(f"{name} {100 * found[name]:.1f} %" for name in ordered)


def _contrasts(part: xr.Dataset) -> Iterator[str]:
    """Per benchmark and matching, how many rules are surely below or above backprop."""
    rules = _rules(part)
    for benchmark in part["benchmark"].values:
        one = part.sel(benchmark=benchmark, rule=rules)
        if not np.isfinite(one["difference"]).any():
            continue
        told = []
        for matching in part["matching"].values:
            found = one.sel(matching=matching)
            sure = found["q_of_t"] < FDR
            below, above = (int((sure & side).sum()) for side in (found["difference"] < 0, found["difference"] > 0))
            exact = int((found["q"] < FDR).sum())
            told.append(
                f"{matching}: {below} below, {above} above (mean difference {float(found['difference'].mean()):+.3f}; "
                f"by exact sign flips {exact} differ, smallest p {float(found['p'].min()):.3g})"
            )
        yield f"{benchmark}, {len(rules)} rules against backprop, paired t at q < {FDR:g}: " + "; ".join(told)


def _gaps(part: xr.Dataset) -> Iterator[str]:
    """How near the checkpoints are whose accuracies should be the same."""
    rules = _rules(part)
    gap = 100 * (part["accuracy"] - part["accuracy_reference"]).sel(rule=rules).max(["benchmark", "matching"]).values
    worst = int(np.abs(gap).argmax())
    yield (
        f"same accuracy: checkpoints of a rule and of backprop are {np.abs(gap).mean():.1f} points apart on average, "
        f"most for {rules[worst]} ({gap[worst]:+.1f})"
    )


def _controls(part: xr.Dataset) -> Iterator[str]:
    """The best model that is no network under a rule, beside the best rule and backprop."""
    for benchmark in part["benchmark"].values:
        score = part["score"].sel(benchmark=benchmark).dropna("model")
        names = [str(name) for name in score["model"].values]
        rules, others = ([n for n in names if (n in RULES) == wanted] for wanted in (True, False))
        best, control = (max(group, key=lambda n: float(score.sel(model=n))) for group in (rules, others))
        told = {"backprop": "backprop", "best rule": best, "untrained": "untrained", "best control": control}
        values = (f"{kind}{'' if kind == n else f' {n}'} {float(score.sel(model=n)):.3f}" for kind, n in told.items())
        ceiling = float(part["ceiling_lower"].sel(benchmark=benchmark))
        yield f"{benchmark}: {', '.join(values)}, lower ceiling {ceiling:.3f}"


def _seed_sets(part: xr.Dataset) -> Iterator[str]:
    """Whether differences to backprop are the same with other seeds."""
    first, second = (part["other_seeds"].sel(half=half, rule=_rules(part)).values.ravel() for half in (0, 1))
    both = np.isfinite(first) & np.isfinite(second)
    if both.sum() > 2:
        rho = spearmanr(first[both], second[both]).statistic
        same = int((np.sign(first[both]) == np.sign(second[both])).sum())
        yield (
            f"other seeds: differences to backprop from one half of the seeds and from the other have Spearman's rho "
            f"{rho:.2f} and the same sign in {same} of {both.sum()}"
        )
