"""Layers chosen on what the score does not use: parts of the stimuli, or other seeds."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from problems import benchmark, rdms, responses

from neurocompare import assembly
from neurocompare.assembly import rdm_assembly, with_stimulus_coord
from neurocompare.errors import InputError
from neurocompare.inference import chosen_by_other_seeds, nested_layer_choice
from neurocompare.inference.layers import select_stimuli, stimulus_folds
from neurocompare.metrics import METRICS
from neurocompare.representation import Representation

N = 40
IDS = [f"s{i:03d}" for i in range(N)]


def noise(seed, n=N, width=8):
    return np.random.default_rng(seed).standard_normal((n, width))


def layer(x, name="layer"):
    return Representation.from_features(name, [f"s{i:03d}" for i in range(len(x))], x)


def test_responses_keep_every_presentation_of_the_chosen():
    data = responses(N, 3, 2)
    found = select_stimuli(data, ["s007", "s001"])
    assert found["stimulus_id"].values.tolist() == ["s001", "s007"] * 2
    np.testing.assert_array_equal(found.values, data.values[[1, 7, N + 1, N + 7]])
    assert found.attrs == data.attrs
    assembly.check(found)


def test_rdms_keep_the_pairs_among_the_chosen():
    square = np.arange(N * N, dtype=float).reshape(N, N)
    data = rdm_assembly(square[np.triu_indices(N, 1)][None], IDS, subjects=["A"], measure="m")
    found = select_stimuli(data, ["s007", "s001", "s030"])
    np.testing.assert_array_equal(found.values[0], [square[1, 7], square[1, 30], square[7, 30]])
    assert assembly.stimulus_ids(found) == ["s001", "s007", "s030"]
    assembly.check(found)


def test_a_stimulus_that_the_data_lack_is_named():
    with pytest.raises(InputError, match=r"lack 1 of the 2 stimuli asked for .*'nobody'"):
        select_stimuli(rdms(N), ["s001", "nobody"])


@pytest.mark.parametrize("data", [responses(N), rdms(N)], ids=["responses", "RDMs"])
@pytest.mark.parametrize("folds", [2, 3, 7])
def test_folds_part_the_stimuli(data, folds):
    parts = stimulus_folds(data, folds, seed=1)
    assert sorted(itertools.chain(*parts)) == IDS
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    assert parts == stimulus_folds(data, folds, seed=1)
    assert parts != stimulus_folds(data, folds, seed=2)


@pytest.mark.parametrize("make", [responses, rdms])
def test_folds_deal_labels_out_and_keep_equal_stimuli_together(make):
    contents = {i: f"c{k // 2}" for k, i in enumerate(IDS)}
    labels = {i: "face" if k < 12 else "house" for k, i in enumerate(IDS)}
    data = with_stimulus_coord(with_stimulus_coord(make(N), "content", contents), "label", labels)
    for seed in range(5):
        parts = stimulus_folds(data, 2, seed)
        first, second = ({contents[i] for i in part} for part in parts)
        assert not first & second
        assert [sum(labels[i] == "face" for i in part) for part in parts] == [6, 6]


@pytest.mark.parametrize("folds", [1, 41])
def test_folds_that_cannot_be_are_refused(folds):
    with pytest.raises(InputError, match=f"no more than distinct stimuli: {folds} of 40"):
        stimulus_folds(rdms(N), folds)


def test_each_part_is_scored_by_the_layer_that_is_best_on_the_other():
    """Layer ``a`` drives the responses to one part, ``b`` those to the other, so each choice is wrong where it is scored."""
    metric, data = METRICS["rsa_pearson"], responses(N, 8, 1)
    parts = stimulus_folds(data, 2)
    first = np.isin(IDS, parts[0])[:, None]
    data.values[:] = noise(3) + 3 * np.where(first, noise(1), noise(2))
    layers = {"a": layer(noise(1)), "b": layer(noise(2))}
    found = nested_layer_choice(layers, data, metric)
    assert found.layers == ("b", "a")
    expected = [
        float(metric.score(layers[name], select_stimuli(data, part))[0]) for name, part in zip("ba", parts, strict=True)
    ]
    np.testing.assert_allclose(found.raw, expected)
    assert (found.raw < 0.2).all()
    row = found.row()
    assert row["raw"] == pytest.approx(np.mean(expected))
    assert (row["layer"], row["chosen_layer"], row["formula"]) == ("chosen", "b, a", "r_over_ceiling")
    assert np.isnan(row["ceiling"])


@pytest.mark.parametrize("name", ["rsa_spearman", "ridge"])
def test_what_is_scored_does_not_choose(name):
    """Other data for the first part leave its layer as it was; nothing but the choice reaches the second part's score."""
    metric, data = METRICS[name], responses(80, 6, 1)
    layers = {str(k): layer(noise(k, 80)) for k in range(6)}
    inside = np.isin(data["stimulus_id"].values, stimulus_folds(data, 2)[0])
    before = nested_layer_choice(layers, data, metric)
    agreed = 0
    for seed in range(8):
        changed = data.copy(deep=True)
        changed.values[inside] = noise(100 + seed, inside.sum(), 6)
        after = nested_layer_choice(layers, changed, metric)
        assert after.layers[0] == before.layers[0]
        assert after.raw[0] != pytest.approx(before.raw[0])
        if after.layers[1] == before.layers[1]:
            agreed += 1
            assert after.raw[1] == pytest.approx(before.raw[1], rel=1e-12)
    assert 0 < agreed < 8


def test_the_best_of_many_is_too_high_and_the_nested_choice_is_not():
    """Thirty layers that are noise, forty times: what the best has is chance."""
    metric, best, nested = METRICS["rsa_pearson"], [], []
    for repeat in range(40):
        data = rdms(N, 3, seed=1000 + repeat)
        layers = {str(k): layer(noise((repeat, k))) for k in range(30)}
        nested.append(nested_layer_choice(layers, data, metric, seed=repeat).row()["raw"])
        best.append(max(metric.aggregate(metric.score(x, data))[0] for x in layers.values()))
    error = np.std(nested, ddof=1) / 40**0.5
    assert abs(np.mean(nested)) < 3 * error
    assert np.mean(best) > 6 * error


def test_ceilings_and_formula_are_those_of_each_part():
    metric, data = METRICS["rsa_cosine"], rdms(N, 4)
    found = nested_layer_choice({"a": layer(noise(0))}, data, metric)
    expected = [metric.ceiling(select_stimuli(data, part)).value for part in stimulus_folds(data, 2)]
    np.testing.assert_allclose(found.ceiling, expected)
    np.testing.assert_allclose(found.normalized, found.raw / expected)
    assert found.row()["normalized"] == pytest.approx(np.mean(found.raw / expected))


def test_a_layer_without_a_score_is_not_chosen():
    dead = layer(np.ones((N, 4)), "dead")
    found = nested_layer_choice({"dead": dead, "alive": layer(noise(0))}, rdms(N), METRICS["rsa_cosine"])
    assert found.layers == ("alive", "alive")
    with pytest.raises(InputError, match=r"no layer can be chosen by rsa_cosine on 20 stimuli: .*'dead'"):
        nested_layer_choice({"dead": dead}, rdms(N), METRICS["rsa_cosine"])


def test_a_benchmarks_data_can_be_parted():
    data = benchmark(rdms(24), "rsa_cosine", 24).grouped_data
    assert [len(part) for part in stimulus_folds(data)] == [12, 12]


def scores(raw, *, model="rule", seeds=None):
    """A table from ``(seeds, layers)``; layers are ``l0``, ``l1``, ..."""
    rows = [
        {"benchmark": "b", "metric": "m", "model": model, "seed": seed, "layer": f"l{k}", "raw": value, "note": ""}
        for seed, row in zip(seeds or range(len(raw)), raw, strict=True)
        for k, value in enumerate(row)
    ]
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def test_a_seed_does_not_choose_its_own_layer():
    """Seeds 0 and 1 are best in a layer each that the others do not have."""
    found = chosen_by_other_seeds(scores([[9.0, 0, 5], [0, 9, 5], [1, 2, 5]]))
    assert found["chosen_layer"].tolist() == ["l1", "l0", "l2"]
    assert found["raw"].tolist() == [0, 0, 5]
    assert found["layer"].tolist() == ["chosen"] * 3


def test_models_choose_each_for_themselves_and_missing_scores_do_not_count():
    table = pd.concat(
        [scores([[1.0, np.nan], [1, 3], [1, 2]]), scores([[3.0, 1], [3, 1]], model="other", seeds=[4, 7])]
    )
    found = chosen_by_other_seeds(table)
    assert found["chosen_layer"].tolist() == ["l1", "l1", "l1", "l0", "l0"]
    assert found["seed"].tolist() == [0, 1, 2, 4, 7]
    assert np.isnan(found["raw"][0])


def test_one_seed_cannot_choose_among_layers_but_one_layer_needs_no_choice():
    several = scores([[1.0, 2.0]]).assign(normalized=0.5)
    one = scores([[0.3]], model="pixels", seeds=[pd.NA])
    found = chosen_by_other_seeds(pd.concat([several, one]))
    assert np.isnan(found.loc[0, ["raw", "normalized"]].astype(float)).all()
    assert "chosen by other seeds" in found["note"][0]
    assert (found["chosen_layer"][1], found["raw"][1], found["note"][1]) == ("l0", 0.3, "")
