"""Neural data: what is refused, and the mean over repetitions against xarray's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from problems import benchmark, images, rdms, responses

from neurocompare.assembly import (
    average_repetitions,
    average_time,
    check,
    check_stimuli_match,
    has_time,
    is_rdms,
    rdm_assembly,
    response_assembly,
    stimulus_ids,
)
from neurocompare.benchmark import Benchmark
from neurocompare.errors import InputError


def made(values, ids=None, neuroids=None):
    ids = [f"s{i}" for i in range(len(values))] if ids is None else ids
    neuroids = [f"n{i}" for i in range(values.shape[1])] if neuroids is None else neuroids
    return response_assembly(values, ids, neuroid_ids=neuroids, region="V4", subjects="M", units="spikes")


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def test_average_over_repetitions_is_xarrays_groupby():
    """Unequal numbers of repetitions, in any order."""
    ids = ["b", "a", "c", "a", "b", "a", "d"]
    data = made(random(7, 3), ids)
    found = average_repetitions(data)
    expected = data.groupby("stimulus_id").mean()
    for stimulus in "abcd":
        row = found.values[found["stimulus_id"].values.tolist().index(stimulus)]
        np.testing.assert_allclose(row, expected.sel(stimulus_id=stimulus), rtol=1e-14)
    assert found["stimulus_id"].values.tolist() == ["b", "a", "c", "d"] == stimulus_ids(data)
    assert found["neuroid_id"].values.tolist() == data["neuroid_id"].values.tolist()
    assert found.attrs == {"units": "spikes"}
    check(found)


def test_rdm_ids_come_back_in_order():
    data = rdms(7, 2)
    assert is_rdms(data)
    assert not is_rdms(responses())
    assert stimulus_ids(data) == [f"s{i:03d}" for i in range(7)]


def test_pairs_are_in_pdist_order():
    from scipy.spatial.distance import pdist

    points = random(5, 1)
    data = rdm_assembly(pdist(points)[None], list("vwxyz"), subjects=["A"], measure="euclidean")
    at = dict(zip("vwxyz", points[:, 0], strict=True))
    for pair in data.isel(subject=0).transpose("pair"):
        assert float(pair) == pytest.approx(
            abs(at[str(pair["stimulus_1"].values)] - at[str(pair["stimulus_2"].values)])
        )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_located(bad):
    values = random(4, 3)
    values[2, 1] = bad
    with pytest.raises(InputError, match=r"finite, but 1 are not \(first: stimulus 's2', neuroid 'n1'\); drop"):
        made(values)
    dissimilarities = random(2, 6) ** 2
    dissimilarities[1, 3] = bad
    with pytest.raises(InputError, match="finite, but 1 of subject 'B' are not"):
        rdm_assembly(dissimilarities, list("abcd"), subjects=["A", "B"], measure="d")


def test_constant_data_are_refused():
    values = random(4, 3)
    values[:, 2] = 7
    with pytest.raises(InputError, match=r"1 of 3 neuroids respond to every presentation alike \(first: 'n2'\)"):
        made(values)
    with pytest.raises(InputError, match="RDM of subject 'A' is constant"):
        rdm_assembly(np.ones((1, 6)), list("abcd"), subjects=["A"], measure="d")


def test_neuroids_that_share_an_id_are_refused():
    with pytest.raises(InputError, match="unique, but 'x' occurs 2 times"):
        made(random(4, 3), neuroids=["x", "y", "x"])


def test_wrong_shapes_and_coords_are_refused():
    data = responses()
    with pytest.raises(InputError, match=r"needs dims \('presentation', 'neuroid'\), but got \('neuroid', 'pres"):
        check(data.T)
    with pytest.raises(InputError, match=r"\['repetition'\] are missing"):
        check(data.drop_vars("repetition"))
    with pytest.raises(InputError, match="needs data"):
        check(data[:0])
    with pytest.raises(InputError, match="4 stimuli have 6 pairs, but the RDMs have 5"):
        rdm_assembly(random(1, 5), list("abcd"), subjects=["A"], measure="d")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data.isel(pair=slice(None, None, -1)),
        lambda data: data.isel(pair=[1, 0, *range(2, data.sizes["pair"])]),
        lambda data: data.isel(pair=slice(1, None)),
    ],
    ids=["reversed", "two exchanged", "one missing"],
)
def test_rdms_whose_pairs_are_not_in_order_are_refused(spoil):
    """Whoever sorts or filters pairs would otherwise compare each with another model's pair."""
    with pytest.raises(InputError, match="pairs must be all pairs of the stimuli in pdist order"):
        check(spoil(rdms(6, 2)))


def test_stimuli_and_data_must_match_both_ways():
    data = responses(5)
    ids = stimulus_ids(data)
    check_stimuli_match(data, ids[::-1])
    with pytest.raises(InputError, match="1 of 5 ids differ; 's004' has responses but no stimulus"):
        check_stimuli_match(data, ids[:-1])
    with pytest.raises(InputError, match="1 of 6 ids differ; 'more' has no responses"):
        check_stimuli_match(data, [*ids, "more"])
    with pytest.raises(InputError, match="unique, but 1 of 6 occur again"):
        check_stimuli_match(data, [*ids, "s000"])


def test_a_benchmark_checks_its_parts():
    assert benchmark(responses(24), "ridge", 24).metric == "ridge"
    with pytest.raises(InputError, match="'s020' has responses but no stimulus"):
        Benchmark("x.y", responses(24), images(20), "ridge", "c", "l")
    spoilt = responses(24)
    spoilt.values[0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        Benchmark("x.y", spoilt, images(24), "ridge", "c", "l")


def test_a_benchmarks_fingerprint_follows_its_content():
    first = benchmark(responses(24), "ridge", 24)
    assert first.fingerprint == benchmark(responses(24), "ridge", 24).fingerprint
    other_data = responses(24)
    other_data.values[3, 2] += 1e-9
    renamed = responses(24).assign_coords(neuroid_id=("neuroid", [f"m{i}" for i in range(6)]))
    other_images = Benchmark("simulated.area", responses(24), images(24, seed=1), "ridge", "nobody", "none")
    prints = {
        b.fingerprint for b in (benchmark(other_data, "ridge", 24), benchmark(renamed, "ridge", 24), other_images)
    }
    assert len(prints | {first.fingerprint}) == 4


def test_subjects_may_differ_over_neuroids():
    data = response_assembly(
        random(4, 3), list("abcd"), neuroid_ids=list("xyz"), region="V4", subjects=["A", "B", "B"], units="u"
    )
    assert pd.Series(data["subject"].values).value_counts().to_dict() == {"B": 2, "A": 1}


def timed(values, bins=None, ids=None):
    start = np.arange(values.shape[2]) / 10
    bins = np.stack([start, start + 0.1], 1) if bins is None else bins
    ids = [f"s{i}" for i in range(len(values))] if ids is None else ids
    neuroids = [f"n{i}" for i in range(values.shape[1])]
    return response_assembly(
        values, ids, neuroid_ids=neuroids, region="A1", subjects="F", units="spikes", time_bins=bins
    )


def test_responses_over_time_keep_their_bins():
    values = random(4, 3, 5)
    data = timed(values, ids=["a", "b", "a", "c"])
    check(data)
    assert has_time(data)
    assert not has_time(made(values[:, :, 0]))
    found = average_repetitions(data)
    check(found)
    np.testing.assert_allclose(found.values, [values[[0, 2]].mean(0), values[1], values[3]], rtol=1e-14)
    np.testing.assert_allclose(found["time_bin_end"], np.arange(1, 6) / 10)
    mean = average_time(data)
    check(mean)
    np.testing.assert_allclose(mean.values, values.mean(2), rtol=1e-14)
    assert average_time(mean) is mean


@pytest.mark.parametrize(
    ("bins", "message"),
    [
        (np.ones((4, 2)), r"need 5 time bins, but got 4"),
        (np.tile([0.0, 0.1], (5, 1)), "must be in order"),
        (np.stack([np.arange(5), np.arange(5)], 1), "must end after it starts"),
    ],
)
def test_time_bins_that_make_no_sense_are_refused(bins, message):
    with pytest.raises(InputError, match=message):
        timed(random(2, 3, 5), bins)


def test_a_neuroid_that_is_constant_over_stimuli_and_time_is_refused():
    values = random(3, 2, 4)
    values[:, 1] = 2.0
    with pytest.raises(InputError, match=r"1 of 2 neuroids .* \(first: 'n1'\)"):
        timed(values)
    values[0, 1, 0] = np.nan
    with pytest.raises(InputError, match="stimulus 's0', neuroid 'n1'"):
        timed(values)


def test_what_is_known_of_a_stimulus_survives_averaging_and_what_differs_does_not():
    data = made(random(4, 2), ["a", "b", "a", "c"]).assign_coords(
        clip=("presentation", ["x", "y", "x", "x"]),
        train_0=("presentation", [True, False, True, False]),
        hour=("presentation", [1, 2, 3, 4]),
    )
    found = average_repetitions(data)
    assert found["clip"].values.tolist() == ["x", "y", "x"]
    assert found["train_0"].values.tolist() == [True, False, False]
    assert "hour" not in found.coords
