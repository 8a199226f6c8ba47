"""What ``khaligh_razavi2014`` found: how numbers are read from its dataset, and sentences that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from scipy.stats import norm, pearsonr, spearmanr
from scipy.stats import t as student

from analyses.krk_models import (
    ALEXNET,
    BIT,
    CHOSEN,
    HUMAN,
    IMAGENET,
    MIX,
    MONKEY,
    OURS,
    PERMUTED,
    PUBLISHED,
    PUBLISHED_CEILING,
    SAME,
    WEIGHTED,
)
from neurocompare.recovery import UNTRAINED
from neurocompare.rules import RULES

SHALLOW = ("pixels", "luminance", "silhouette", "gabor_v1", "hmax_c2", UNTRAINED, PERMUTED)
_NAMES = {IMAGENET: "ImageNet", PERMUTED: "permuted", BIT: "animate\nor not", "category": "labels", "gabor_v1": "Gabor",
          "hmax_c2": "HMAX", "luminance": "lumi-\nnance", "silhouette": "silhou-\nette"}  # fmt: skip


def short(model: str) -> str:
    """For an axis."""
    if model in RULES:
        return RULES[model].short
    return _NAMES.get(model, model.rpartition(".")[2])


def plain(model: str) -> str:
    """For a line of text."""
    return short(model).replace("-\n", "").replace("\n", " ")


def models(dataset: xr.Dataset) -> list[str]:
    """In order."""
    return list(dict.fromkeys(map(str, dataset["point_model"].values)))


def _rules(dataset: xr.Dataset) -> list[str]:
    return [str(rule) for rule in dataset["rule"].values if rule != UNTRAINED]


def is_there(dataset: xr.Dataset, benchmark: str, model: str, how: str = CHOSEN) -> bool:
    """Whether a model was compared with a benchmark, and its layers joined in that way."""
    return len(at_point(dataset, benchmark, model, how)) > 0


def _row(dataset: xr.Dataset, model: str, how: str) -> np.ndarray:
    return np.flatnonzero((dataset["point_model"].values == model) & (dataset["point_how"].values == how))


def at_point(dataset: xr.Dataset, benchmark: str, model: str, how: str, variable: str = "tau") -> np.ndarray:
    """The value of each seed; none where there is no such model."""
    values = dataset[variable].sel(benchmark=benchmark).values[_row(dataset, model, how)].ravel()
    return values[np.isfinite(values)]


def at_layer(
    dataset: xr.Dataset, variable: str, model: str, benchmark: str | None = None, layer: str | None = None
) -> np.ndarray:
    """Of a model's layers, or of one of them, ``(layers, seeds)``."""
    rows = (dataset["entry_model"].values == model) & np.isin(
        dataset["entry_layer"].values, layer or dataset["entry_layer"]
    )
    values = dataset[variable] if benchmark is None else dataset[variable].sel(benchmark=benchmark)
    found = values.values[rows]
    return found[:, np.isfinite(found).any(0)]


def interval(dataset: xr.Dataset, benchmark: str, model: str, how: str = CHOSEN) -> tuple[float, float, float]:
    """Mean over seeds, with its 95 % interval; see ``weighed``."""
    return weighed(dataset, benchmark, {(model, how): 1.0})


def contrast(
    dataset: xr.Dataset, benchmark: str, first: tuple[str, str], second: tuple[str, str]
) -> tuple[float, float, float]:
    """The first less the second, each a model and how its layers are joined, with the 95 % interval."""
    return weighed(dataset, benchmark, {first: 1.0, second: -1.0})


def weighed(
    dataset: xr.Dataset, benchmark: str, weights: Mapping[tuple[str, str], float]
) -> tuple[float, float, float]:
    """A weighted sum of scores with its 95 % interval over subjects, stimuli and seeds.

    The variance of the mean over seeds, paired, is added to the bootstrap's, which is of the networks as they are; degrees
    of freedom are Satterthwaite's (1946, Biometrics Bull. 2:110). What has no seeds has no such variance.
    """
    part = dataset.sel(benchmark=benchmark)
    rows = np.array([_row(dataset, *point)[0] for point in weights])
    w, values = np.array(list(weights.values())), part["tau"].values[rows]
    means = np.nanmean(values, 1, keepdims=True)
    each = w @ np.where(np.isfinite(values), values, means)
    of_seeds = each.var(ddof=1) / len(each) if len(each) > 1 else 0.0
    sampled = max(float(w @ part["covariance"].values[np.ix_(rows, rows)] @ w), 0.0)
    total = sampled + of_seeds
    if total == 0:  # a model less itself
        return float(each.mean()), float(each.mean()), float(each.mean())
    dof = total**2 / (sampled**2 / int(part["dof"]) + of_seeds**2 / max(len(each) - 1, 1))
    half = student.ppf(0.975, dof) * total**0.5
    return float(each.mean()), float(each.mean() - half), float(each.mean() + half)


def networks_of_rules(dataset: xr.Dataset, rules: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy on the training task and similarity to human IT, one of each per network."""
    rows = [_row(dataset, rule, CHOSEN)[0] for rule in rules]
    accuracy = dataset["accuracy"].sel(rule=list(rules)).values.ravel()
    similarity = dataset["tau"].sel(benchmark=HUMAN).values[rows].ravel()
    both = np.isfinite(accuracy) & np.isfinite(similarity)
    return accuracy[both], similarity[both]


def correlations(dataset: xr.Dataset) -> tuple[tuple[float, int], tuple[float, int, float, float]]:
    """Pearson r of accuracy and similarity over networks with their number, and over means of rules with its interval.

    Networks of one rule are alike, so that those are fewer independent ones than there are; the interval (Fisher's z) is
    of the means, untrained networks counting as a rule.
    """
    rules = list(map(str, dataset["rule"].values))
    each = networks_of_rules(dataset, rules)
    means = np.array([[values.mean() for values in networks_of_rules(dataset, [rule])] for rule in rules]).T
    r, n = float(pearsonr(*means)[0]), len(rules)
    low, high = -1.0, 1.0
    if n > 3:
        half = norm.ppf(0.975) / (n - 3) ** 0.5
        low, high = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
    return (float(pearsonr(*each)[0]), len(each[0])), (r, n, float(low), float(high))


def ours_like(dataset: xr.Dataset, source: str, benchmark: str) -> float:
    """What is ours of a published model, against the mean RDM; NaN where there is nothing like it."""
    if source not in OURS or benchmark not in dataset["benchmark"].values:
        return np.nan
    model, layer = OURS[source]
    found = at_point(dataset, benchmark, model, layer, "tau_group")
    if not len(found):
        found = at_layer(dataset, "layer_tau_group", model, benchmark, layer)
    return float(found.mean()) if found.size else np.nan


def words(dataset: xr.Dataset) -> list[str]:
    """What did and did not come out, from the numbers."""
    trained = (
        f"networks trained on {dataset.attrs['items']:,} images of {dataset.attrs['trained_on']}, "
        f"{dataset.attrs['epochs']} epochs, {dataset.sizes['seed']} seeds; test accuracy: "
    )
    mean = dataset["accuracy"].mean("seed")
    lines = [
        trained + ", ".join(f"{plain(str(rule))} {float(mean.sel(rule=rule)):.2f}" for rule in dataset["rule"].values)
    ]
    for name in map(str, dataset["benchmark"].values):
        lines += _of_region(dataset, name)
    lines += _of_imagenet(dataset) if is_there(dataset, HUMAN, IMAGENET) else [dataset.attrs["without_imagenet"]]
    lines += [_of_accuracy(dataset), _of_animacy(dataset), _of_weights(dataset), _of_published(dataset)]
    return lines


def _said(value: tuple[float, float, float]) -> str:
    return f"{value[0]:.3f} [{value[1]:.3f}, {value[2]:.3f}]"


def _names(found: Sequence[str]) -> str:
    return ", ".join(map(plain, found)) or "none"


def _surely(dataset: xr.Dataset, name: str, some: Sequence[str], other: str, sign: int = 1) -> list[str]:
    """Those of which the 95 % interval of the difference from another model lies above zero; below with sign -1."""
    bounds = {model: contrast(dataset, name, (model, CHOSEN), (other, CHOSEN)) for model in some if model != other}
    return [model for model, (_, low, high) in bounds.items() if min(sign * low, sign * high) > 0]


def _of_region(dataset: xr.Dataset, name: str) -> list[str]:
    rules, part = _rules(dataset), dataset.sel(benchmark=name)
    best = max(rules, key=lambda rule: interval(dataset, name, rule)[0])
    lower, upper = float(part["lower"]), float(part["upper"])
    ceiling = f"noise ceiling [{lower:.3f}, {upper:.3f}]" if np.isfinite(lower) else "no noise ceiling estimable"
    seen = [model for model in models(dataset) if is_there(dataset, name, model)]
    lines = [
        f"{name} ({int(part['subjects'])} RDM{'s' if int(part['subjects']) > 1 else ''}, {ceiling}): best rule "
        f"{plain(best)} {_said(interval(dataset, name, best))}"
    ]
    for other in (UNTRAINED, PERMUTED, "pixels"):
        if other in seen:
            above, below = (_surely(dataset, name, rules, other, sign) for sign in (1, -1))
            lines.append(f"  rules above {plain(other)} {_said(interval(dataset, name, other))}: {_names(above)}; "
                         f"below: {_names(below)}; of {len(rules)}")  # fmt: skip
    looked = [model for model in seen if model not in (BIT, "category") and "." not in model]
    above, below = (_surely(dataset, name, looked, BIT, sign) for sign in (1, -1))
    lines.append(f"  one bit, animate or not, scores {_said(interval(dataset, name, BIT))}: surely above it "
                 f"{_names(above)}; surely below it {len(below)} of {len(looked)} models that look at images")  # fmt: skip
    if np.isfinite(lower):
        reach = [model for model in looked if interval(dataset, name, model)[0] >= lower]
        lines.append(f"  reach the lower bound of the ceiling: {_names(reach)}")
    return lines


def _of_imagenet(dataset: xr.Dataset) -> list[str]:
    """The claims about the deep supervised network."""
    lines = []
    for name in map(str, dataset["benchmark"].values):
        others = [model for model in SHALLOW if is_there(dataset, name, model)]
        best = max(others, key=lambda model: interval(dataset, name, model)[0])
        difference = contrast(dataset, name, (IMAGENET, CHOSEN), (best, CHOSEN))
        verdict = "surely" if difference[1] > 0 else "not surely" if difference[0] > 0 else "not"
        lines.append(f"{name}: the ImageNet-trained network is {verdict} above the best of what was not trained, "
                     f"{plain(best)}: difference {_said(difference)}{_theirs(name)}")  # fmt: skip
        values = at_layer(dataset, "layer_tau", IMAGENET, name)[:, 0]
        peak = int(values.argmax())
        layers = dataset["entry_layer"].values[dataset["entry_model"].values == IMAGENET]
        lines.append(f"  by layer {' '.join(f'{v:.3f}' for v in values)}: rank correlation with depth "
                     f"{spearmanr(np.arange(len(values)), values)[0]:.2f} over {len(values)} layers, highest at "
                     f"{layers[peak]}")  # fmt: skip
    published = [spearmanr(range(8), [value[k] for value in ALEXNET.values()])[0] for k in (0, 1)]
    lines.append(f"  published, AlexNet: rank correlation with depth {published[0]:.2f} (hIT), {published[1]:.2f} (mIT), "
                 f"highest at layer 7 (hIT), 6 and 7 (mIT) of 8")  # fmt: skip
    return lines


def _theirs(name: str) -> str:
    """The same difference as published."""
    if name not in (HUMAN, MONKEY):
        return ""
    column = (HUMAN, MONKEY).index(name)
    unsupervised = ("Lab image", "V1 model", "HMAX-C2", "SIFT", "GIST", "silhouette", "random-filter convnet")
    best = max(unsupervised, key=lambda source: PUBLISHED[source][column])
    deep = max(values[column] for values in ALEXNET.values())
    return f" (published: AlexNet {deep:.2f}, {best} {PUBLISHED[best][column]:.2f}, against the mean RDM)"


def _of_accuracy(dataset: xr.Dataset) -> str:
    (r, n), (mean_r, n_rules, low, high) = correlations(dataset)
    verdict = "comes out" if low > 0 else "comes out in direction only" if mean_r > 0 else "does not come out"
    return (
        f"that networks which classify better resemble hIT more {verdict}: r = {r:.2f} over {n} networks of "
        f"{n_rules} rules, r = {mean_r:.2f} [{low:.2f}, {high:.2f}] over means of {n_rules} rules (untrained is one)"
    )


def _of_animacy(dataset: xr.Dataset) -> str:
    """Decoded animacy against similarity to human IT, over layers of models that look at images."""
    looks = [m not in (BIT, "category") and "." not in m for m in map(str, dataset["entry_model"].values)]
    decoded = dataset["decoding"].mean("seed").values[looks]
    similar = dataset["layer_tau"].sel(benchmark=HUMAN).mean("seed").values[looks]
    both = np.isfinite(decoded) & np.isfinite(similar)
    r = spearmanr(decoded[both], similar[both])[0]
    best = dataset.isel(entry=int(np.flatnonzero(looks)[np.nanargmax(decoded)]))
    return (
        f"layers from which animacy is decoded better resemble hIT {'more' if r > 0 else 'no more'}: rank "
        f"correlation {r:.2f} over {both.sum()} layers; best decoded from "
        f"{plain(best['entry_model'].item())}, {best['entry_layer'].item()} "
        f"({np.nanmax(decoded):.2f}, chance 0.50)"
    )


def _of_weights(dataset: xr.Dataset) -> str:
    """Whether weighting layers does better than choosing one."""
    some = [m for m in models(dataset) if is_there(dataset, HUMAN, m, WEIGHTED)]
    gains = {model: contrast(dataset, HUMAN, (model, WEIGHTED), (model, CHOSEN)) for model in some}
    up, down = ([m for m in some if min(s * gains[m][1], s * gains[m][2]) > 0] for s in (1, -1))
    line = f"weighted layers against the chosen layer, hIT: surely better for {_names(up)}, surely worse for {_names(down)}"
    line += f", of {len(some)} models"
    if IMAGENET in some:
        lower = float(dataset["lower"].sel(benchmark=HUMAN))
        value = interval(dataset, HUMAN, IMAGENET, WEIGHTED)
        line += (
            f"; ImageNet {_said(value)}, gain {_said(gains[IMAGENET])}, "
            f"{'reaches' if value[0] >= lower else 'does not reach'} the ceiling's lower bound {lower:.3f} (published, "
            f"against the mean RDM and with readouts of categories among what was weighted: {PUBLISHED[MIX][0]:.2f}, lower "
            f"bound {PUBLISHED_CEILING[0]:.2f})"
        )
    return line


def _of_published(dataset: xr.Dataset) -> str:
    parts = []
    for source in SAME:
        for name, theirs in zip((HUMAN, MONKEY), PUBLISHED[source], strict=True):
            ours = ours_like(dataset, source, name)
            if np.isfinite(ours):
                parts.append(f"{source} {name.rpartition('.')[2]} {ours - theirs:+.3f}")
    return f"ours less published, against the mean RDM, where the model is meant to be the same: {', '.join(parts)}"
