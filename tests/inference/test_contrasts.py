"""Contrasts of rules within seeds against scipy and enumeration, and how often they err where nothing differs."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from scipy.optimize import brentq

from neurocompare.errors import InputError
from neurocompare.inference import contrasts, effect_size, seed_interval, sign_flip_p, smallest_p


def table(scores, *, benchmark="b", layer="conv", **columns):
    """A score table from ``{model: {seed: raw}}``; seed None for a model without seeds."""
    rows = [
        {"benchmark": benchmark, "metric": "m", "layer": layer, "model": model, "seed": seed, "raw": raw, **columns}
        for model, by_seed in scores.items()
        for seed, raw in by_seed.items()
    ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def by_seed(values, seeds=None):
    return dict(zip(range(len(values)) if seeds is None else seeds, values, strict=True))


def draw(n, seed=0, shift=0.0):
    return np.random.default_rng(seed).standard_normal(n) + shift


@pytest.mark.parametrize("n", [1, 3, 5, 9])
def test_p_by_enumeration(n):
    for seed in range(4):
        differences = draw(n, seed, 0.4)
        means = [abs(np.mean(np.array(signs) * differences)) for signs in itertools.product([1, -1], repeat=n)]
        expected = np.mean([mean >= abs(differences.mean()) - 1e-12 for mean in means])
        assert sign_flip_p(differences) == pytest.approx(expected, abs=1e-15)


def test_p_is_scipys():
    differences = draw(8, 1, 0.5)
    exact = scipy.stats.permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_p(differences) == pytest.approx(exact.pvalue, abs=1e-12)


def test_p_of_many_seeds_is_drawn():
    """Signs of 10,000 draws: p within four standard errors of scipy's, drawn as well."""
    differences = draw(20, 2, 0.4)
    scipys = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=100_000, rng=0
    )
    assert sign_flip_p(differences) == pytest.approx(scipys.pvalue, abs=4 * (scipys.pvalue / 10_000) ** 0.5)
    assert sign_flip_p(differences) == sign_flip_p(differences)
    assert sign_flip_p(draw(20, 2, 9.0)) == smallest_p(20) == 1 / 10_001


@pytest.mark.parametrize("n", [3, 5, 12])
def test_the_smallest_p_is_reached_by_differences_of_one_sign(n):
    assert sign_flip_p(np.arange(1.0, n + 1)) == smallest_p(n) == 2 / 2**n
    assert sign_flip_p(-np.full(n, 0.1)) == smallest_p(n)
    assert sign_flip_p(np.zeros(n)) == 1


def test_p_errs_as_often_as_it_says():
    """Where nothing differs, p <= k / 16 has probability k / 16 for five seeds, whatever their common distribution."""
    differences = np.random.default_rng(0).laplace(size=(4000, 5))
    p = np.array([sign_flip_p(row) for row in differences])
    for k in (1, 4, 8):
        level = k / 16
        assert (p <= level).mean() == pytest.approx(level, abs=4 * (level * (1 - level) / 4000) ** 0.5)


@pytest.mark.parametrize("n", [3, 5, 10, 30])
@pytest.mark.parametrize("shift", [0.0, 0.6, 3.0])
def test_effect_interval_by_root_finding(n, shift):
    differences = draw(n, n, shift)
    sign = 1 if differences.mean() > 0 else -1
    t = abs(scipy.stats.ttest_1samp(differences, 0).statistic)
    low, high = (
        brentq(lambda nc, tail=tail: scipy.stats.nct.cdf(t, n - 1, nc) - tail, -4, 4 * t + 10) / n**0.5
        for tail in (0.975, 0.025)
    )
    effect, *limits = effect_size(differences)
    assert limits == pytest.approx(sorted([sign * low, sign * high]), abs=1e-5)
    assert effect_size(-differences)[1:] == pytest.approx((-limits[1], -limits[0]))
    assert limits[0] < effect < limits[1]


@pytest.mark.parametrize("t", [280, 320, 1e7])
@pytest.mark.parametrize("n", [3, 10])
def test_effects_beyond_all_measure_have_intervals_too(n, t):
    """scipy's search for the limits would take minutes."""
    differences = draw(n)
    differences = (differences - differences.mean()) / differences.std(ddof=1) + t / n**0.5
    limits = np.array(effect_size(differences)[1:]) * n**0.5
    if t < 1e3:
        np.testing.assert_allclose(scipy.stats.nct.cdf(t, n - 1, limits), [0.975, 0.025], atol=1e-4)
    np.testing.assert_allclose(limits / t, np.sqrt(scipy.stats.chi2.ppf([0.025, 0.975], n - 1) / (n - 1)), rtol=5e-4)


def test_effect_is_unbiased_and_its_interval_covers():
    """Hedges's correction for five seeds takes a fifth off Cohen's d_z."""
    found = np.array([effect_size(row) for row in np.random.default_rng(0).standard_normal((4000, 5)) + 0.8])
    effect, low, high = found.T
    assert effect.mean() == pytest.approx(0.8, abs=4 * effect.std() / 4000**0.5)
    covered = ((low < 0.8) & (high > 0.8)).mean()
    assert covered == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 4000) ** 0.5)
    assert effect_size(np.array([1.0, 2, 3, 4, 5]))[0] == pytest.approx(3 / 2.5**0.5 * 0.7979, abs=1e-4)


def test_seeds_are_paired():
    """What a seed adds to both falls out, in whatever order the rows come."""
    seeds = 10 * draw(6)
    own = table({"rule": by_seed(seeds + 1 + draw(6, 1)), "backprop": by_seed(seeds)})
    shuffled = own.sample(frac=1, random_state=0)
    (row,) = contrasts(shuffled).to_dict("records")
    differences = 1 + draw(6, 1)
    assert row["difference"] == pytest.approx(differences.mean())
    assert (row["low"], row["high"]) == pytest.approx(seed_interval(differences))
    paired = scipy.stats.ttest_rel(seeds + differences, seeds).confidence_interval()
    assert (row["low"], row["high"]) == pytest.approx((paired.low, paired.high))
    assert row["p"] == row["q"] == sign_flip_p(differences)
    assert row["smallest_p"] == 1 / 32
    assert (row["effect"], row["effect_low"], row["effect_high"]) == pytest.approx(effect_size(differences))
    assert (row["n_seeds"], row["note"], row["reference"]) == (6, "", "backprop")


def test_only_common_seeds_count():
    own = table({"rule": by_seed(draw(5), [1, 2, 3, 4, 9]), "backprop": by_seed(draw(6, 1))})
    (row,) = contrasts(own).to_dict("records")
    assert row["n_seeds"] == 4
    assert row["difference"] == pytest.approx((draw(5)[:4] - draw(6, 1)[1:5]).mean())


def test_layers_benchmarks_and_models_keep_apart_and_in_order():
    parts = [
        table(
            {"z": by_seed(draw(4, k) + k), "backprop": by_seed(draw(4, k)), "a": by_seed(draw(4, k) - k)},
            benchmark=benchmark,
            layer=layer,
        )
        for k, (benchmark, layer) in enumerate(itertools.product(["second", "first"], ["late", "early"]))
    ]
    found = contrasts(pd.concat(parts))
    expected = [
        (benchmark, layer, model)
        for benchmark in ("second", "first")
        for layer in ("late", "early")
        for model in ("z", "a")
    ]
    assert found[["benchmark", "layer", "model"]].apply(tuple, axis=1).tolist() == expected
    np.testing.assert_allclose(found["difference"], [0, 0, 1, -1, 2, -2, 3, -3], atol=1e-12)


def test_another_reference_and_column():
    own = table({"rule": by_seed(draw(4)), "other": by_seed(draw(4, 1))}).assign(normalized=lambda t: 2 * t["raw"])
    found = contrasts(own, "rule", "normalized")
    assert found["model"].tolist() == ["other"]
    assert found["difference"][0] == pytest.approx(2 * (draw(4, 1) - draw(4)).mean())


def test_false_discoveries_are_controlled_in_each_family():
    """Scored like scipy's Benjamini & Hochberg, and a rejection somewhere in 5 % or less of families without differences."""
    rng = np.random.default_rng(0)
    tables = [
        table(
            {"backprop": by_seed(rng.standard_normal(9)), "r": by_seed(rng.standard_normal(9))},
            layer=str(k),
            benchmark=b,
        )
        for b in map(str, range(60))
        for k in range(4)
    ]
    found = contrasts(pd.concat(tables), family=["benchmark"])
    for _, part in found.groupby("benchmark"):
        np.testing.assert_allclose(part["q"], scipy.stats.false_discovery_control(part["p"]))
    rejected = found.groupby("benchmark")["q"].min() <= 0.05
    assert rejected.mean() < 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5
    whole = contrasts(pd.concat(tables))
    np.testing.assert_allclose(whole["q"], scipy.stats.false_discovery_control(whole["p"]))
    assert (whole["q"] >= whole["p"]).all()


def test_two_seeds_give_a_difference_but_no_inference():
    parts = [
        table({"rule": by_seed([1.0, 2.0]), "backprop": by_seed([0.5, 0.5])}),
        table({"rule": by_seed(draw(5)), "backprop": by_seed(draw(5, 1))}, layer="other"),
    ]
    few, enough = contrasts(pd.concat(parts)).to_dict("records")
    assert few["difference"] == 1
    assert np.isnan([few[k] for k in ("low", "high", "p", "smallest_p", "q", "effect", "effect_low")]).all()
    assert few["note"] == "2 seeds have both scores, and inference over seeds needs 3"
    assert enough["q"] == enough["p"]


def test_a_missing_score_says_why():
    own = table({"rule": by_seed([1.0, np.nan, 2.0]), "backprop": by_seed(draw(3))}).assign(note="")
    own.loc[1, "note"] = "the layer is dead"
    (row,) = contrasts(own).to_dict("records")
    assert row["n_seeds"] == 2
    assert row["note"].endswith("needs 3; the layer is dead")


def test_a_seed_without_score_is_told_of_where_there_are_enough_others():
    own = table({"rule": by_seed(draw(4)), "backprop": by_seed([0.1, 0.2, np.nan, 0.4])}).assign(note="")
    own.loc[6, "note"] = "the layer is dead"
    other = table({"rule": by_seed(draw(4)), "backprop": by_seed(draw(4))}, layer="other").assign(note="")
    found = contrasts(pd.concat([own, other]))
    assert found["n_seeds"].tolist() == [3, 4]
    assert found["note"].str.contains("dead").tolist() == [True, False]


def test_a_layer_that_the_reference_lacks_has_no_contrast():
    own = pd.concat([
        table({"rule": by_seed(draw(4)), "backprop": by_seed(draw(4, 1))}),
        table({"rule": by_seed(draw(4))}, layer="its own"),
    ])  # fmt: skip
    row = contrasts(own).to_dict("records")[1]
    assert row["layer"] == "its own"
    assert np.isnan(row["difference"])
    assert row["note"].startswith("0 seeds have both scores")


def test_equal_differences_have_no_effect_size():
    own = table({"rule": by_seed(draw(4) + 0.25), "backprop": by_seed(draw(4))})
    (row,) = contrasts(own).to_dict("records")
    assert row["p"] == 1 / 8
    assert np.isnan(row["effect"])
    assert "by the same amount" in row["note"]


def test_models_without_seeds_are_left_out():
    own = table({"rule": by_seed(draw(4)), "backprop": by_seed(draw(4, 1)), "pixels": {None: 0.2}})
    assert contrasts(own)["model"].tolist() == ["rule"]


GOOD = table({"rule": by_seed(draw(4)), "backprop": by_seed(draw(4, 1))}, n_stimuli=10)
WRONG = [
    (GOOD, {"reference": "backprob"}, "unknown model with seeds 'backprob'; did you mean 'backprop'"),
    (GOOD, {"value": "row"}, "unknown column 'row'; did you mean 'raw'"),
    (GOOD, {"family": ["benchmarks"]}, "unknown column 'benchmarks'; did you mean 'benchmark'"),
    (GOOD[GOOD["model"] == "rule"], {"reference": "rule"}, "need a model beside rule that has seeds"),
    (pd.concat([GOOD, GOOD[:1]]), {}, r"1 occur again \(first: rule, seed 0, layer 'conv', b\)"),
    (GOOD.assign(n_stimuli=[10] * 4 + [9] * 4), {}, "scores on b are over 9, 10 stimuli"),
    (
        table({"rule": by_seed([1.0, 2], [5, 6]), "backprop": by_seed([1.0, 2])}),
        {},
        r"rule \(seeds 5, 6\) and backprop \(seeds 0, 1\) have no seed in common",
    ),
]


@pytest.mark.parametrize(("own", "settings", "message"), WRONG)
def test_what_cannot_be_contrasted_is_refused(own, settings, message):
    with pytest.raises(InputError, match=message):
        contrasts(own, **settings)
