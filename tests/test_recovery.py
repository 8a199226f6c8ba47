"""Recovery of rules: simulated recordings against closed forms, decisions against enumeration, and chance."""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from problems import dataset
from scipy.optimize import nnls
from scipy.spatial.distance import pdist
from scipy.stats import binomtest

from data_loaders.simulated import SIGNAL_TO_NOISE, load_simulated_rdm, load_simulated_units
from neurocompare.assembly import average_repetitions
from neurocompare.errors import InputError
from neurocompare.metrics import METRICS
from neurocompare.metrics.ceiling import split_half_reliability
from neurocompare.metrics.encoding import PLS, Encoding
from neurocompare.recovery import (
    Experiment,
    confusion,
    confusions,
    enough,
    held_out_images,
    hidden_layers,
    judge_of,
    like,
    lower_ceiling,
    matched,
    mean_scores,
    observed,
    plan,
    power,
    profile_match,
    recovery_scores,
    simulate,
    simulate_rdms,
    trained,
    wilson,
)
from neurocompare.representation import Representation


def ids(n):
    return [f"s{i:03d}" for i in range(n)]


def features(n=40, units=30, seed=0):
    return np.random.default_rng(seed).gamma(1.0, size=(n, units))


def layer(n=40, units=30, seed=0):
    return Representation.from_features("one", ids(n), features(n, units, seed), keep=True)


@functools.cache
def networks(shared, rules="abc", seeds=3, n=40, units=40):
    """One layer; a part of it is the rule's, the same for all its seeds, and the rest is each network's own."""
    made = {}
    for k, rule in enumerate(rules):
        common = np.random.default_rng((99, k)).standard_normal((n, 6))
        for seed in range(seeds):
            rng = np.random.default_rng((k, seed))
            x = np.hstack([shared * common, rng.standard_normal((n, 6))]) @ rng.standard_normal((12, units))
            made[rule, seed] = {"one": Representation.from_features("one", ids(n), x, keep=True)}
    return made


def score_table(values, truths, candidates):
    """From ``(replicate, truth, candidate)`` values and (rule, seed) pairs."""
    coords = {
        "rule": ("truth", [r for r, _ in truths]),
        "seed": ("truth", [s for _, s in truths]),
        "candidate_rule": ("candidate", [r for r, _ in candidates]),
        "candidate_seed": ("candidate", [s for _, s in candidates]),
    }
    return xr.DataArray(np.asarray(values, float), dims=("replicate", "truth", "candidate"), coords=coords)


def random_scores(rules="abc", seeds=3, replicates=4, seed=0):
    pairs = list(itertools.product(rules, range(seeds)))
    return score_table(np.random.default_rng(seed).random((replicates, len(pairs), len(pairs))), pairs, pairs)


@pytest.mark.parametrize(("reliability", "repeats", "mixing"), [(0.3, 4, 1), (0.76, 7, 1), (0.9, 2, 5)])
def test_the_packages_own_ceiling_is_the_reliability(reliability, repeats, mixing):
    """Within four standard errors over sites, and what a correlation over 400 stimuli is biased by."""
    x = features(400, 100)
    data = simulate(x, ids(400), sites=80, repeats=repeats, reliability=reliability, mixing=mixing, seed=1)
    found = split_half_reliability(data, n_splits=4)
    assert found.mean() == pytest.approx(reliability, abs=4 * found.std() / 80**0.5 + 1 / 400)


@pytest.mark.parametrize("reliability", [0.0, 0.2, 0.8, 1.0])
def test_signal_and_noise_are_what_the_formula_says(reliability):
    """The mean over repeats has the units' mean and variance, and shares with them the reliability."""
    x = features(5000, 6)
    data = simulate(x, ids(5000), sites=6, repeats=3, reliability=reliability, seed=2)
    mean = average_repetitions(data).values
    r = np.corrcoef(mean.T, x.T)[:6, 6:]
    of = np.argmax(r, 1) if reliability else np.arange(6)
    error = 4 / 5000**0.5
    np.testing.assert_allclose(r[np.arange(6), of] ** 2, reliability, atol=2 * error)
    if reliability:
        assert sorted(of) == list(range(6))
        np.testing.assert_allclose(mean.mean(0), x.mean(0)[of], atol=error)
        np.testing.assert_allclose(mean.var(0), x.var(0)[of], rtol=3 * error)
    single = data.values[:5000]
    excess = single.var(0) - mean.var(0)  # noise variance of one, less that of the mean of three
    np.testing.assert_allclose(excess / mean.var(0), 2 * (1 - reliability), atol=6 * error)


def test_without_noise_sites_are_units():
    x = features()
    data = simulate(x, ids(40), sites=12, repeats=2, reliability=1.0)
    np.testing.assert_array_equal(data.values[:40], data.values[40:])
    columns = [
        int(np.flatnonzero(np.isclose(x, site[:, None], rtol=0, atol=1e-12).all(0))[0]) for site in data.values[:40].T
    ]
    assert len(set(columns)) == 12
    assert data["stimulus_id"].values.tolist() == ids(40) * 2


def test_mixed_sites_are_positive_sums_of_so_many_units():
    x = features(60, 20)
    data = simulate(x, ids(60), sites=30, repeats=1, reliability=1.0, mixing=4)
    for site in data.values.T:
        weights, residual = nnls(x, site)
        assert residual < 1e-9
        assert (weights > 1e-9).sum() == 4
        assert weights.max() <= 1


def test_units_that_do_not_vary_are_no_sites():
    x = features(40, 10)
    x[:, 3:] = 1.0
    assert simulate(x, ids(40), sites=3, repeats=1, reliability=1.0).sizes["neuroid"] == 3
    with pytest.raises(InputError, match="4 units that vary over the stimuli are needed, but 3 of 10 do"):
        simulate(x, ids(40), sites=4, repeats=1, reliability=1.0)
    with pytest.raises(InputError, match="5 units that vary"):
        simulate(x, ids(40), sites=2, repeats=1, reliability=1.0, mixing=5)


def test_seeds_decide():
    first, again, other = (
        simulate(features(), ids(40), sites=5, repeats=2, reliability=0.5, seed=seed).values for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_rdms_of_all_units_without_noise_are_the_layers():
    x = features(20, 15)
    data = simulate_rdms(x, ids(20), subjects=3, sites=15, repeats=1, reliability=1.0)
    np.testing.assert_allclose(data.values, np.tile(pdist(x, "correlation"), (3, 1)), atol=1e-12)
    fewer = simulate_rdms(x, ids(20), subjects=2, sites=5, repeats=1, reliability=1.0)
    assert not np.allclose(fewer.values[0], fewer.values[1])


def test_subjects_get_as_much_noise_as_gives_the_ceiling():
    """On other draws; a ceiling from three layers and five subjects is known to a few hundredths."""
    layers = [layer(60, 80, seed) for seed in range(3)]
    experiment = Experiment(40, 60, subjects=5)
    noisy = matched(experiment, layers, 0.3)
    assert 0 < noisy.reliability < 1
    assert lower_ceiling(noisy, layers) == pytest.approx(0.3, abs=2e-3)
    again = [lower_ceiling(noisy, layers, seed=seed) for seed in range(1, 11)]
    assert np.mean(again) == pytest.approx(0.3, abs=0.03)
    with pytest.raises(InputError, match=r"of 0\.990 is wanted, but 40 sites without noise give 0\.\d+; simulate more"):
        matched(experiment, layers, 0.99)


def test_an_experiment_like_a_benchmark():
    """The simulated units have a known signal-to-noise ratio s: one presentation is reliable to s / (s + 1)."""
    found = like(load_simulated_units())
    assert (found.sites, found.stimuli, found.repeats, found.mixing, found.subjects) == (50, 200, 4, 1, 0)
    assert found.reliability == pytest.approx(SIGNAL_TO_NOISE / (SIGNAL_TO_NOISE + 1), abs=0.02)
    assert found.ceiling == pytest.approx(4 * SIGNAL_TO_NOISE / (4 * SIGNAL_TO_NOISE + 1), abs=0.02)
    assert like(load_simulated_rdm(), sites=30, mixing=3) == Experiment(30, 200, mixing=3, subjects=5)
    with pytest.raises(InputError, match=r"RDMs of simulated\.rdm do not say how many sites"):
        like(load_simulated_rdm())
    once = load_simulated_units()
    with pytest.raises(InputError, match="noise of once is not known"):
        like(replace(once, name="once", data=once.data.isel(presentation=slice(200))))


def test_what_is_observed_is_as_reliable_as_the_experiment():
    experiment = Experiment(60, 300, 4, 0.3)
    assert experiment.ceiling == pytest.approx(4 * 0.3 / (1 + 3 * 0.3))
    found = split_half_reliability(observed(layer(300, 80), experiment), n_splits=4)
    assert found.mean() == pytest.approx(experiment.ceiling, abs=4 * found.std() / 60**0.5 + 1 / 300)


ONE_BY_ONE = [
    *map(METRICS.__getitem__, ("ridge", "linear", "one_to_one", "rsa_spearman", "rsa_tau_a", "rsa_crossnobis", "cka")),
    METRICS["soft_matching"],
    Encoding("pls", "", PLS(3)),
]


@pytest.mark.parametrize("metric", ONE_BY_ONE, ids=lambda metric: metric.name)
def test_many_data_sets_are_scored_as_one_by_one(metric):
    data = [simulate(features(), ids(40), sites=5 + k, repeats=2, reliability=0.7, seed=k) for k in range(3)]
    expected = [metric.aggregate(metric.score(layer(seed=1), one))[0] for one in data]
    np.testing.assert_allclose(judge_of(metric, data)(layer(seed=1)), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["rsa_spearman", "rsa_pearson", "rsa_tau_a", "rsa_whitened_cosine", "rsa_tau_a_group"])
def test_many_sets_of_rdms_are_scored_as_one_by_one(name):
    settings = {"sites": 9, "repeats": 1, "reliability": 0.7}
    data = [simulate_rdms(features(), ids(40), subjects=2 + k, seed=k, **settings) for k in range(2)]
    expected = [METRICS[name].aggregate(METRICS[name].score(layer(seed=1), one))[0] for one in data]
    np.testing.assert_allclose(judge_of(METRICS[name], data)(layer(seed=1)), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["ridge", "rsa_spearman", "rsa_tau_a", "cka_unbiased"])
def test_the_generating_network_scores_highest_on_itself(name):
    """Without noise, with all units as sites, and only as long as it may be a candidate, which ``confusion`` forbids."""
    made = networks(1.0)
    scores = recovery_scores(made, Experiment(40, 40), METRICS[name], layer="one")
    assert (scores.values[0].argmax(1) == np.arange(len(made))).all()


def test_the_brains_own_network_is_no_candidate():
    """Only the generating networks tell their brains; without them ``b`` always wins."""
    scores = random_scores(seeds=3)
    scores.values[:] = 0.1 * (scores["candidate_rule"].values == "b")
    scores.values[:, np.arange(9), np.arange(9)] = 1.0
    found = confusion(scores)
    np.testing.assert_array_equal(found["rate"], [[0, 1, 0]] * 3)
    assert found["recovery"] == pytest.approx(1 / 3)


def test_nor_is_any_with_its_seed():
    """Other rules' networks with the brain's seed started from the same weights."""
    scores = random_scores(seeds=3)
    scores.values[:] = 0.1 * (scores["candidate_rule"].values == "b")
    same = scores["seed"].values[:, None] == scores["candidate_seed"].values
    scores.values[:, same & (scores["candidate_rule"].values == "c")] = 1.0
    np.testing.assert_array_equal(confusion(scores)["rate"], [[0, 1, 0]] * 3)


def test_decisions_by_enumeration():
    scores = random_scores("abcd", seeds=4, replicates=5)
    found = confusion(scores)
    counts, wins = np.zeros((2, 4, 4))
    for replicate, truth in itertools.product(range(5), range(16)):
        rule, seed = "abcd"[truth // 4], truth % 4
        row = scores.values[replicate, truth].reshape(4, 4)  # rule, seed
        means = [np.mean([row[k, s] for s in range(4) if s != seed]) for k in range(4)]
        counts["abcd".index(rule), int(np.argmax(means))] += 1
        for k in range(4):
            own = means["abcd".index(rule)]
            wins["abcd".index(rule), k] += (own > means[k]) + 0.5 * (own == means[k])
    np.testing.assert_allclose(found["rate"], counts / 20)
    np.testing.assert_allclose(found["pairwise"], wins / 20)
    assert float(found["recovery"]) == pytest.approx(np.trace(counts) / 80)
    assert found["networks"].values.tolist() == [4] * 4
    assert found.attrs["chance"] == 0.25
    interval = binomtest(round(4 * 0.75), 4).proportion_ci(0.95, "wilson")
    assert wilson(np.array(0.75), np.array(4)) == pytest.approx((interval.low, interval.high))
    for k, which in enumerate("abcd"):
        low, high = wilson(counts[k] / 20, np.array(4))
        np.testing.assert_allclose(found["low"].sel(rule=which), low)
        np.testing.assert_allclose(found["high"].sel(rule=which), high)
    np.testing.assert_allclose((found["recovery_low"], found["recovery_high"]), wilson(np.trace(counts) / 80, 16))


@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_intervals_are_scipys(n, confidence):
    k = np.arange(n + 1)
    low, high = wilson(k / n, np.array(n), confidence)
    expected = [binomtest(int(i), n).proportion_ci(confidence, "wilson") for i in k]
    np.testing.assert_allclose(low, [one.low for one in expected], atol=1e-12)
    np.testing.assert_allclose(high, [one.high for one in expected], atol=1e-12)


def within_binomial_error(rate, p, n):
    assert abs(float(rate) - p) < 4 * (p * (1 - p) / n) ** 0.5, (float(rate), p, n)


def test_the_same_networks_under_two_names_are_told_apart_by_chance():
    some = networks(2.0, rules="ac")
    twice = {**some, **{("b", seed): network for (rule, seed), network in some.items() if rule == "a"}}
    scores = recovery_scores(twice, Experiment(20, 40, 2, 0.5), METRICS["rsa_pearson"], layer="one", replicates=30)
    found = confusion(scores)
    pair = found.sel(rule=["a", "b"], chosen=["a", "b"])["rate"]
    assert float(pair.sum()) / 2 > 0.8
    within_binomial_error(pair.sel(rule="a", chosen="a") / pair.sel(rule="a").sum(), 0.5, 90)
    within_binomial_error(pair.sel(rule="b", chosen="b") / pair.sel(rule="b").sum(), 0.5, 90)
    assert float(found["pairwise"].sel(rule="a", chosen="b")) == 0.5
    assert not np.isclose(scores.values[:, :3], scores.values[:, 6:]).any()  # each brain has sites and noise of its own
    assert float(found["rate"].sel(rule="c", chosen="c")) > 0.8


@pytest.mark.parametrize(("name", "replicates"), [("rsa_pearson", 40), ("cka_unbiased", 20)])
def test_pure_noise_is_recovered_by_chance(name, replicates):
    noise = Experiment(10, 40, 1, 0.0)
    scores = recovery_scores(networks(2.0), noise, METRICS[name], layer="one", replicates=replicates, seed=3)
    found = confusions(scores)["recovery"]
    for by in ("highest score", "nearest profile"):
        within_binomial_error(found.sel(chosen_by=by), 1 / 3, 9 * replicates)


@pytest.mark.parametrize("name", ["ridge", "rsa_spearman"])
def test_rules_that_share_much_are_recovered(name):
    found = confusions(recovery_scores(networks(3.0), Experiment(20, 40, 4, 0.5), METRICS[name], layer="one"))
    assert (found["recovery"] > 0.85).all()


def test_layers_are_chosen_on_stimuli_that_are_not_reported():
    """Noise has no best layer: chosen on one half it scores nothing on the other, though by the same half it does."""
    draws = iter(range(1000))
    made = {
        key: {f"l{k}": layer(60, 9, seed=next(draws)) for k in range(12)} for key in itertools.product("ab", range(2))
    }
    experiment, metric = Experiment(5, 60, 1, 0.0), METRICS["rsa_pearson"]
    best = recovery_scores(made, experiment, metric, layer="l0", known_layer=False, replicates=12).values
    assert abs(best.mean()) < 4 * best.std() / 48**0.5  # 48 data sets; candidates of one are not independent
    data = observed(made["a", 0]["l0"], experiment, 5)
    assert max(float(metric.score(one, data)[0]) for one in made["b", 0].values()) > 0.05


def test_the_best_layer_is_the_generating_one_where_others_hold_nothing():
    made = {
        key: {**network, "noise": layer(40, 9, seed=number)}
        for number, (key, network) in enumerate(networks(3.0).items())
    }
    settings = {"layer": "one", "seed": 1}
    known, best = (
        recovery_scores(made, Experiment(40, 40), METRICS["rsa_pearson"], known_layer=known, **settings).values[0]
        for known in (True, False)
    )
    np.testing.assert_allclose(np.diagonal(best), 1, atol=1e-9)
    np.testing.assert_allclose(np.diagonal(known), 1, atol=1e-9)


def test_profiles_tell_what_the_highest_score_does_not():
    """``a`` scores highest on every brain, by more on its own."""
    scores = random_scores("ab", seeds=3)
    of_a, brain_a = scores["candidate_rule"].values == "a", scores["rule"].values == "a"
    scores.values[:] = 0.01 * scores.values + of_a * np.where(brain_a, 0.9, 0.5)[:, None]
    found = confusions(scores)["recovery"]
    assert found.sel(chosen_by="highest score") == 0.5
    assert found.sel(chosen_by="nearest profile") == 1


def test_profiles_do_not_know_the_brains_seed():
    """Neither networks nor brains with that seed say what a profile is compared with."""
    scores = random_scores("abc", seeds=4)
    before = profile_match(scores, list("abc"))
    changed = scores.copy(deep=True)
    mine = scores["seed"].values == 1
    changed.values[:, :, scores["candidate_seed"].values == 1] = 7.0
    np.testing.assert_array_equal(profile_match(changed, list("abc"))[:, mine], before[:, mine])
    assert not np.allclose(profile_match(changed, list("abc"))[:, ~mine], before[:, ~mine])


def test_profiles_by_enumeration():
    scores = random_scores("ab", seeds=3, replicates=1)
    found = profile_match(scores, ["a", "b"])
    values = scores.values[0].reshape(2, 3, 2, 3)  # rule and seed of the brain, of the candidate

    def profile(rule, seed, without):
        means = np.array([np.mean([values[rule, seed, c, s] for s in range(3) if s not in without]) for c in range(2)])
        return means - means.mean()

    for rule, seed, as_rule in itertools.product(range(2), range(3), range(2)):
        others = [s for s in range(3) if s != seed]
        typical = np.mean([profile(as_rule, s, {s, seed}) for s in others], axis=0)
        expected = -np.square(profile(rule, seed, {seed}) - typical).sum()
        assert found[0, 3 * rule + seed, as_rule] == pytest.approx(expected, rel=1e-9)


def test_a_rule_without_a_score_is_not_chosen():
    scores = random_scores("ab", seeds=3)
    scores.values[..., scores["candidate_rule"].values == "b"] = np.nan
    found = confusions(scores)
    np.testing.assert_array_equal(found["rate"].sel(chosen_by="highest score"), [[1, 0], [1, 0]])
    assert np.isfinite(found["rate"]).all()
    one_missing = random_scores("ab", seeds=3)
    one_missing.values[..., 0] = np.nan
    expected = one_missing.values[..., [1, 2]][:, 3].mean(1)  # for the brain of b with seed 0
    np.testing.assert_allclose(mean_scores(one_missing, ["a", "b"])[:, 3, 0], expected)


@pytest.mark.parametrize("name", ["ridge", "cka", "rsa_spearman"])
def test_a_dead_layer_has_no_score(name):
    dead = {"one": Representation.from_features("one", ids(40), np.ones((40, 3)))}
    made = networks(1.0)
    scores = recovery_scores(made, Experiment(10, 40), METRICS[name], layer="one", candidates={**made, ("b", 1): dead})
    assert np.isnan(scores.values[..., 4]).all()
    assert np.isfinite(np.delete(scores.values, 4, axis=2)).all()


def test_every_brain_counts_alike():
    """Also where rules have made different numbers of them."""
    scores = random_scores("ab", seeds=4)
    scores.values[:] = scores["candidate_rule"].values == "a"
    assert float(confusion(scores.isel(truth=[0, 4, 5, 6]))["recovery"]) == 1 / 4


def test_power_is_recovery_along_one_setting():
    made, experiment = networks(1.0), Experiment(30, 40, 2, 0.2)
    found = power(made, experiment, METRICS["rsa_pearson"], vary="sites", values=[2, 30], layer="one", replicates=6)
    alone = confusions(recovery_scores(made, experiment, METRICS["rsa_pearson"], layer="one", replicates=6))
    xr.testing.assert_equal(found.sel(sites=30).drop_vars("sites"), alone)
    by_score = found["recovery"].sel(chosen_by="highest score")
    assert by_score[1] > by_score[0] + 0.2


def test_fewer_stimuli_are_drawn_anew_for_each_replicate():
    made = networks(1.0)
    scores = recovery_scores(made, Experiment(40, 12), METRICS["rsa_pearson"], layer="one", replicates=2)
    own = np.diagonal(scores.values, axis1=1, axis2=2)
    np.testing.assert_allclose(own, 1)
    assert not np.allclose(scores.values[0], scores.values[1])
    whole = recovery_scores(made, Experiment(40, 40), METRICS["rsa_pearson"], layer="one", replicates=2)
    np.testing.assert_allclose(whole.values[0], whole.values[1])  # all units, all stimuli, no noise: nothing is drawn


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([0.2, 0.8, 0.9, 0.8], 20),
        ([0.9, 0.7, 0.85, 0.9], 30),
        ([0.7, 0.9, 0.7, 0.9], 40),
        ([0.9, 0.8, 0.8, 1.0], 10),
        ([0.8, 0.9, 0.9, 0.5], np.nan),
    ],
)
def test_where_recovery_stays_high(rates, expected):
    found = enough(xr.DataArray(rates, dims="sites", coords={"sites": [10, 20, 30, 40]}))
    assert found == pytest.approx(expected, nan_ok=True)


WRONG = [
    (lambda: Experiment(0, 10), "sites, stimuli, repeats and mixing of 1 or more"),
    (lambda: Experiment(5, 10, reliability=1.2), "reliability from 0 to 1"),
    (lambda: observed(replace(layer(), features=None), Experiment(5, 40)), "probe it with keep_features=True"),
    (lambda: observed(layer(), Experiment(5, 41)), "shows 41 stimuli, but there are 40"),
    (lambda: confusion(random_scores(seeds=1)), "brain of a with seed 0 needs candidates of a with other seeds"),
    (lambda: confusion(random_scores("a", 2).assign_coords(rule=("truth", ["z", "z"]))), "needs candidates of z"),
    (lambda: profile_match(random_scores(seeds=2), list("abc")), "need three or more"),
    (
        lambda: recovery_scores(networks(1.0), Experiment(5, 40), METRICS["decoding"], layer="one"),
        "decoding is defined for none of these networks on such data: ",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_held_out_images_become_the_networks_inputs():
    data = dataset()
    stimuli = held_out_images(data, 7)
    shown = np.stack([data.preprocess(stimuli.open(name)) for name in stimuli.ids])
    mean, std = (np.array(part)[:, None, None] for part in (data.preprocess.mean, data.preprocess.std))
    np.testing.assert_allclose(shown, (data.test.inputs[:7] / 255 - mean) / std, atol=1e-5)
    with pytest.raises(InputError, match="121 stimuli are wanted, but channels has 120 test images"):
        held_out_images(data, 121)


TINY = {"architecture": "convnet", "channels": [4], "hidden": [8]}


def test_a_plan_says_what_an_experiment_could():
    rules = ("backprop", "hebbian", "untrained")
    found = plan(
        dataset(), Experiment(6, 30, 3, 0.4), rules=rules, metrics=("rsa_pearson", "cka"), layer="conv1", network=TINY,
        epochs=2, replicates=2,
    )  # fmt: skip
    assert {name: found.sizes[name] for name in ("metric", "scored_at", "chosen_by", "rule", "chosen")} == {
        "metric": 2, "scored_at": 2, "chosen_by": 2, "rule": 3, "chosen": 3
    }  # fmt: skip
    np.testing.assert_allclose(found["rate"].sum("chosen"), 1)
    assert (found["recovery_low"] <= found["recovery"]).all()
    assert (found["recovery"] <= found["recovery_high"]).all()
    expected = trained(dataset(), "hebbian", 2, network=TINY, epochs=2).record["test_accuracy"]
    assert found["accuracy"].sel(rule="hebbian")[2] == expected


def test_a_plan_of_rdms_is_judged_by_metrics_for_them():
    found = plan(
        dataset(), Experiment(6, 20, 1, 0.5, subjects=2), rules=("backprop", "untrained"), seeds=(0, 1), layer="conv1",
        network=TINY, epochs=0, replicates=1,
    )  # fmt: skip
    assert all(name.startswith("rsa_") for name in found["metric"].values)
    assert found["chosen_by"].values.tolist() == ["highest score"]  # two seeds are too few for profiles


def test_what_cannot_be_planned_is_refused():
    for settings, message in (
        ({"metrics": ["rsa_spearmann"]}, "unknown metric 'rsa_spearmann'; did you mean 'rsa_spearman'"),
        ({"rules": ["backprop", "untrane"]}, "unknown rule 'untrane'; did you mean 'untrained'"),
        ({"rules": ["backprop"]}, "needs two rules and two seeds"),
        ({"layer": "conv9"}, "unknown hidden layer 'conv9'"),
    ):
        with pytest.raises(InputError, match=message):
            plan(dataset(), Experiment(3, 30), **{"network": TINY, "epochs": 0, "layer": "conv1", **settings})


def test_an_untrained_network_has_its_initial_weights():
    untrained, run = (trained(dataset(), rule, 3, network=TINY, epochs=1) for rule in ("untrained", "backprop"))
    fresh = trained(dataset(), "backprop", 3, network=TINY, epochs=0)
    for name, value in untrained.net.state_dict().items():
        assert value.equal(fresh.net.state_dict()[name])
    assert not all(value.equal(run.net.state_dict()[name]) for name, value in untrained.net.state_dict().items())


def test_sites_are_from_one_hidden_layer_and_the_readout_is_no_candidate():
    run = trained(dataset(), "untrained", 0, network=TINY, epochs=0)
    found = hidden_layers(run.model(), held_out_images(dataset(), 5), "conv1")
    assert list(found) == ["conv1", "fc1"]
    assert found["conv1"].features.shape == (5, found["conv1"].n_features)
    assert found["fc1"].features is None
