"""Time-resolved regression where the truth is known, against scikit-learn, and on ferret auditory cortex."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from problems import rdms, responses
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, GroupKFold

from data_loaders.harper2016 import load_harper2016
from neurocompare.assembly import response_assembly, with_stimulus_coord
from neurocompare.cochleagram import CochleagramPreprocess
from neurocompare.errors import InputError
from neurocompare.metrics.lagged import PCA_FRAMES, Lagged, history_weights, principal_axes
from neurocompare.metrics.strf import STRF, ridge_by_groups
from neurocompare.metrics.trials import cc_half, cc_max
from neurocompare.representation import Representation

SECONDS, FRAMES, BINS, BIN = 1.0, 100, 80, 0.01  # bins are the last 80 frames
STIMULI, BANDS = 18, 5
IDS = [f"clip{k // 2}/part{k % 2}" for k in range(STIMULI)]
CLIP_OF = {i: i.split("/")[0] for i in IDS}
QUICK = replace(STRF, history=0.05, folds=3)


def spectrograms(seed: int = 0, bands: int = BANDS, frames: int = FRAMES) -> np.ndarray:
    """``(stimuli, bands, frames)``, noise with a level of its own in each band."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((STIMULI, bands, frames)) + np.arange(bands)[:, None]


def layer(x: np.ndarray, ids: list[str] = IDS, seconds: float = SECONDS) -> Representation:
    return Representation.from_features("layer", ids, x, {"seconds": seconds}, keep=True)


def recorded(trials: np.ndarray, *, clips: bool = True, tested: tuple[int, ...] = (2, 5, 8)) -> xr.DataArray:
    """Data from ``(repetitions, stimuli, neuroids, bins)``; the clips ``tested`` are to judge by."""
    repetitions, _, neuroids, bins = trials.shape
    start = SECONDS - BIN * np.arange(bins, 0, -1)
    data = response_assembly(
        trials.reshape(-1, neuroids, bins),
        IDS * repetitions,
        repetitions=np.repeat(np.arange(repetitions), STIMULI).tolist(),
        neuroid_ids=[f"n{k}" for k in range(neuroids)],
        region="A1",
        subjects="s",
        units="spikes per 10 ms",
        time_bins=np.column_stack([start, start + BIN]),
    )
    train = [int(CLIP_OF[i].removeprefix("clip")) not in tested for i in IDS] * repetitions
    data = data.assign_coords(train_0=("presentation", train))
    return with_stimulus_coord(data, "clip", CLIP_OF) if clips else data


def driven(x: np.ndarray, fields: np.ndarray) -> np.ndarray:
    """What neuroids with these fields ``(neuroids, bands, lags)`` do, ``(stimuli, neuroids, bins)``; a lag is a frame."""
    response = np.zeros((len(x), len(fields), FRAMES))
    for lag in range(fields.shape[2]):
        response[..., lag:] += np.einsum("nb,sbt->snt", fields[:, :, lag], x[..., : FRAMES - lag])
    return response[..., -BINS:]


def noisy(signal: np.ndarray, noise: float, repetitions: int = 4, seed: int = 9) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return signal + noise * rng.standard_normal((repetitions, *signal.shape))


FIELDS = np.random.default_rng(3).standard_normal((4, BANDS, 6)) * np.exp(-np.arange(6) / 2)


@pytest.fixture(scope="module")
def problem() -> tuple[np.ndarray, xr.DataArray]:
    """Spectrograms, and neuroids that filter them."""
    x = spectrograms()
    return x, recorded(noisy(driven(x, FIELDS), 2.0))


def test_known_fields_are_recovered():
    x = spectrograms()
    data = recorded(noisy(driven(x, FIELDS), 0.3))
    found = QUICK.receptive_fields(layer(x), data)
    assert found.dims == ("split", "neuroid", "feature", "lag")
    np.testing.assert_allclose(found["lag"], [0, 0.01, 0.02, 0.03, 0.04, 0.05])
    for own, true in zip(found.values[0], FIELDS, strict=True):
        assert np.corrcoef(own.ravel(), true.ravel())[0, 1] > 0.999
    np.testing.assert_allclose(found.values[0], FIELDS, atol=0.03)


def test_known_fields_of_neurons_with_poisson_noise_are_recovered():
    x = spectrograms()
    rate = driven(x, FIELDS)
    rate = 1 + np.maximum(rate - rate.min((0, 2), keepdims=True), 0)  # linear still, and never negative
    data = recorded(np.random.default_rng(4).poisson(rate, (20, *rate.shape)).astype(float))
    found = QUICK.receptive_fields(layer(x), data).values[0]
    for own, true in zip(found, FIELDS, strict=True):
        assert np.corrcoef(own.ravel(), true.ravel())[0, 1] > 0.99
    score = QUICK.score(layer(x), data)
    assert score.values.max() < 0.99
    assert QUICK.normalize(score, QUICK.ceiling(data)) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_the_true_model_has_a_cc_norm_of_one_whatever_the_noise(noise):
    """2,160 bins to fit 30 weights on: what the fit itself loses is about 30 / 2160 of the noise."""
    x = spectrograms()
    fields = np.random.default_rng(3).standard_normal((40, BANDS, 6))
    data = recorded(noisy(driven(x, fields), noise))
    raw = QUICK.score(layer(x), data)
    signal_power = driven(x, fields).var((0, 2))
    reached = np.median(np.sqrt(signal_power / (signal_power + noise**2 / 4)))
    ceiling = QUICK.ceiling(data)
    assert QUICK.aggregate(raw)[0] == pytest.approx(reached, abs=0.01)
    assert ceiling.value == pytest.approx(reached, abs=0.01)
    assert ceiling.lower - 0.01 <= reached <= ceiling.upper + 0.01
    assert QUICK.normalize(raw, ceiling) == pytest.approx(1, abs=0.01)


def explicit(x: np.ndarray, lags: np.ndarray, spacing: float) -> np.ndarray:
    """The lagged design by numpy's interpolation of one band at one lag at a time, lags slower than bands."""
    times = SECONDS - BIN * np.arange(BINS, 0, -1) + BIN / 2
    centres = spacing * (np.arange(x.shape[2]) + 0.5)
    columns = [[np.interp(times - lag, centres, band) for lag in lags for band in own] for own in x]
    return np.stack(columns).transpose(0, 2, 1).reshape(len(x) * BINS, -1)


def rows(data: xr.DataArray, stimuli: np.ndarray) -> np.ndarray:
    mean = data.values.reshape(-1, STIMULI, *data.shape[1:]).mean(0)
    return mean[stimuli].transpose(0, 2, 1).reshape(-1, data.shape[1])


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 1e3])
def test_it_is_ridge_regression_on_lagged_features(problem, penalty):
    x, data = problem
    metric = replace(QUICK, penalties=(penalty,))
    train = data["train_0"].values[:STIMULI]
    design = explicit(x, metric.lags, SECONDS / FRAMES)
    fit, judge = (np.repeat(mask, BINS) for mask in (train, ~train))
    centred = design[fit] - design[fit].mean(0)
    alpha = penalty * np.square(centred).sum() / design.shape[1]
    model = Ridge(alpha=alpha, solver="svd").fit(design[fit], rows(data, np.flatnonzero(train)))
    predicted, measured = model.predict(design[judge]), rows(data, np.flatnonzero(~train))
    expected = [np.corrcoef(predicted[:, k], measured[:, k])[0, 1] for k in range(4)]
    np.testing.assert_allclose(metric.score(layer(x), data).values[0], expected, atol=1e-8)
    fields = metric.receptive_fields(layer(x), data).values[0]  # (neuroids, features, lags)
    np.testing.assert_allclose(fields.transpose(0, 2, 1).reshape(4, -1), model.coef_, atol=1e-8)


@pytest.mark.parametrize("width", [8, 120])
def test_penalties_are_chosen_as_by_scikit_learn(width):
    """``GridSearchCV`` with ``GroupKFold``, for groups of unequal sizes, with fewer and with more features than rows."""
    rng = np.random.default_rng(1)
    groups = np.repeat(list("abcdefg"), [10, 12, 8, 20, 9, 11, 14])
    x = rng.standard_normal((len(groups), width)) + 0.3
    y = x[:, :5] @ rng.standard_normal((5, 6)) + np.geomspace(0.1, 30, 6) * rng.standard_normal((len(groups), 6)) + 5
    penalties = np.logspace(-2, 4, 13)
    fit = ridge_by_groups(x, y, groups, penalties, 4, relative=False)
    for k in range(6):
        search = GridSearchCV(
            Ridge(solver="svd"), {"alpha": penalties}, cv=GroupKFold(4), scoring="neg_mean_squared_error"
        ).fit(x, y[:, k], groups=groups)
        np.testing.assert_allclose(fit.errors[:, k], -search.cv_results_["mean_test_score"], rtol=1e-8)
        assert fit.penalty[k] == search.best_params_["alpha"]
        np.testing.assert_allclose(fit.weights[:, k], search.best_estimator_.coef_, atol=1e-8)
        np.testing.assert_allclose(fit.predict(x)[:, k], search.predict(x), atol=1e-8)
    assert len(set(fit.penalty)) > 2


@pytest.mark.parametrize("frames", [7, 50, 100, 333])
def test_no_frame_after_the_bin_is_looked_at(frames):
    """And what is looked at sums to 1, or to 0 before the sound."""
    times, lags = np.arange(0.003, 1.2, 0.01), np.array([0, 0.005, 0.02, 0.11])
    weights = history_weights(frames, 1.0, times, lags).toarray().reshape(len(times), len(lags), frames)
    centres = (np.arange(frames) + 0.5) / frames
    seen = (weights > 0).any(1)
    assert not (seen & (centres > times[:, None] + 1e-6)).any()
    total = weights.sum(2)
    heard = (times[:, None] >= lags) & (times[:, None] - lags <= 1) & (times >= centres[0])[:, None]
    np.testing.assert_allclose(total, heard, atol=1e-12)
    assert (weights >= 0).all()


@pytest.mark.parametrize("frames", [20, 100, 160])
def test_between_frames_features_are_interpolated_and_after_the_last_known_one_held(frames):
    times, lags = np.arange(0.205, 1, 0.01), np.array([0, 0.01, 0.035, 0.1])
    centres = (np.arange(frames) + 0.5) / frames
    x = np.random.default_rng(0).standard_normal(frames)
    found = (history_weights(frames, 1.0, times, lags) @ x).reshape(len(times), len(lags))
    for row, time in enumerate(times):
        known = centres <= time + 1e-9
        np.testing.assert_allclose(found[row], np.interp(time - lags, centres[known], x[known]), atol=1e-9)


def moved(x: np.ndarray, frames: int) -> np.ndarray:
    """The first band so many frames later (earlier, if negative) at the bins, ``(stimuli, 1, bins)``."""
    return np.roll(x[:, :1], frames, axis=2)[..., -BINS:]


@pytest.mark.parametrize("lag", [0, 1, 3, 5])
def test_a_response_to_the_past_is_predicted(lag):
    x = spectrograms(frames=FRAMES)
    data = recorded(noisy(moved(x, lag), 0.1))
    assert QUICK.score(layer(x), data).item() > 0.98
    field = QUICK.receptive_fields(layer(x), data).values[0, 0]
    assert np.unravel_index(np.abs(field).argmax(), field.shape) == (0, lag)


@pytest.mark.parametrize("lag", [-1, -3, 6, 8])
def test_a_response_to_the_future_or_to_what_is_long_past_is_not(lag):
    """480 bins: chance is 1 / sqrt(480)."""
    x = spectrograms()
    assert abs(QUICK.score(layer(x), recorded(noisy(moved(x, lag), 0.1))).item()) < 4 / 480**0.5


@pytest.mark.parametrize("factor", [1e-3, -1.0, 1e3])
@pytest.mark.parametrize("components", [3, 50])
def test_scale_and_offset_of_features_do_not_matter(problem, factor, components):
    x, data = problem
    metric = replace(QUICK, components=components)
    expected = metric.score(layer(x), data).values
    np.testing.assert_allclose(metric.score(layer(factor * x + 3), data).values, expected, atol=1e-7)


def test_order_of_channels_does_not_matter_but_that_of_time_does(problem):
    x, data = problem
    expected = QUICK.score(layer(x), data).values
    np.testing.assert_allclose(QUICK.score(layer(x[:, ::-1]), data).values, expected, atol=1e-10)
    nested = x.reshape(STIMULI, BANDS, 1, FRAMES)
    np.testing.assert_allclose(QUICK.score(layer(nested), data).values, expected, atol=1e-10)
    assert np.abs(QUICK.score(layer(x[..., ::-1]), data).values).max() < 0.25


def test_ids_count_and_not_the_order_of_stimuli(problem):
    x, data = problem
    order = np.random.default_rng(5).permutation(STIMULI)
    ids = [IDS[k] for k in order]
    expected = QUICK.score(layer(x), data).values
    np.testing.assert_allclose(QUICK.score(layer(x[order], ids), data).values, expected, atol=1e-10)
    assert (expected > 0.7).all()
    assert np.abs(QUICK.score(layer(x, ids), data).values).max() < 0.25


def test_ridge_does_not_see_a_rotation_so_neither_do_all_principal_components(problem):
    """A wide layer of low rank gives what the few features in it give, each penalty scaled by the ratio of widths."""
    x, data = problem
    turned = np.linalg.qr(np.random.default_rng(0).standard_normal((60, BANDS)))[0]
    wide = np.einsum("wb,sbt->swt", turned, x)
    narrow = replace(QUICK, penalties=(0.5,))
    expected = narrow.score(layer(x), data).values
    whole = replace(narrow, components=60, penalties=(0.5 * 60 / BANDS,))
    np.testing.assert_allclose(whole.score(layer(wide), data).values, expected, atol=1e-6)
    reduced = replace(narrow, components=BANDS)
    np.testing.assert_allclose(reduced.score(layer(wide), data).values, expected, atol=1e-6)
    fields = [metric.receptive_fields(layer(wide), data).values for metric in (whole, reduced)]
    np.testing.assert_allclose(fields[1], fields[0], atol=1e-5)


def test_principal_axes_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    mixed = (rng.standard_normal((30, 30)) * 2.0 ** -np.arange(30)) @ rng.standard_normal((30, 12 * 80))
    frames = mixed.reshape(30, 12, 80).transpose(1, 0, 2) + 5
    assert frames.size / 30 < PCA_FRAMES
    axes = principal_axes(frames, frames.mean((0, 2)), 4, 1)
    expected = PCA(4, svd_solver="full").fit(frames.transpose(0, 2, 1).reshape(-1, 30)).components_
    np.testing.assert_allclose(np.abs(expected @ axes), np.eye(4), atol=1e-6)


def test_of_many_frames_an_even_sample_tells_the_axes():
    rng = np.random.default_rng(0)
    strong = np.linalg.qr(rng.standard_normal((20, 3)))[0]
    frames = np.einsum("wc,nct->nwt", strong, 10 * rng.standard_normal((30, 3, 200))) + rng.standard_normal(
        (30, 20, 200)
    )
    assert frames.size / 20 > 2 * PCA_FRAMES
    axes = principal_axes(frames, frames.mean((0, 2)), 3, 1)
    np.testing.assert_allclose(np.linalg.svd(strong.T @ axes, compute_uv=False), 1, atol=1e-3)
    every_third = np.arange(30 * 200).reshape(30, 1, 200) % 3 == 0
    elsewhere = np.where(every_third, frames, 1e3)
    np.testing.assert_array_equal(principal_axes(elsewhere, frames.mean((0, 2)), 3, 1), axes)


def test_a_narrow_layer_is_left_as_it_is():
    np.testing.assert_array_equal(principal_axes(spectrograms(), np.zeros(BANDS), BANDS, 1), np.eye(BANDS))


@pytest.mark.parametrize("components", [2, 50])
def test_stimuli_to_judge_by_have_no_part_in_the_fit(problem, components):
    x, data = problem
    metric = replace(QUICK, components=components)
    held_out = ~data["train_0"].values
    changed, other = x.copy(), data.copy(deep=True)
    changed[held_out[:STIMULI]] = spectrograms(7)[held_out[:STIMULI]] * 20
    other.values[held_out] = 0.5 + np.random.default_rng(0).random(other.values[held_out].shape)
    expected = metric.receptive_fields(layer(x), data).values
    np.testing.assert_allclose(metric.receptive_fields(layer(changed), other).values, expected, atol=1e-12)


def test_before_the_sound_features_are_at_their_mean():
    x = np.arange(24.0).reshape(2, 3, 4)
    lagged = Lagged(x.mean((0, 2)), np.eye(3), history_weights(4, 1.0, np.array([0.13, 0.63]), np.array([0, 0.25])), 2)
    found = lagged(x).reshape(2, 2, 2, 3)  # (stimuli, times, lags, features)
    np.testing.assert_array_equal(found[:, 0, 1], 0)
    centred = x - x.mean((0, 2))[:, None]
    np.testing.assert_allclose(found[:, 1, 0], 0.98 * centred[..., 2] + 0.02 * centred[..., 2], atol=1e-12)
    np.testing.assert_allclose(found[:, 1, 1], 0.98 * centred[..., 1] + 0.02 * centred[..., 2], atol=1e-12)


def test_parts_of_a_clip_stay_together_when_the_penalty_is_chosen():
    """Both parts of a clip are the same here, but for noise; parted, one would tell the other by heart."""
    rng = np.random.default_rng(0)
    x = np.repeat(rng.standard_normal((STIMULI // 2, 40, FRAMES)), 2, axis=0)
    y = np.repeat(rng.standard_normal((STIMULI // 2, 1, BINS)), 2, axis=0)  # nothing that a layer could generalise from
    trials = noisy(y, 0.1)
    metric = replace(QUICK, penalties=(1e-3, 1e4))
    together, parted = (metric.receptive_fields(layer(x), recorded(trials, clips=c)) for c in (True, False))
    assert np.square(parted).sum() > 1e4 * np.square(together).sum()


def test_splits_that_part_a_recording_are_refused(problem):
    x, data = problem
    mask = data["train_0"].values.copy()
    mask[np.flatnonzero(data["stimulus_id"].values == "clip0/part1")] = False
    with pytest.raises(InputError, match=r"'clip0' is heard in stimuli to fit on and in stimuli to judge by"):
        QUICK.score(layer(x), data.assign_coords(train_0=("presentation", mask)))


def test_one_recording_is_too_few(problem):
    x, data = problem
    mask = data["clip"].values == "clip0"
    with pytest.raises(InputError, match="needs two to fit on, but there is 1"):
        QUICK.score(layer(x), data.assign_coords(train_0=("presentation", mask)))


def test_every_split_that_comes_with_the_data_is_used(problem):
    x, data = problem
    second = ~np.isin(data["clip"].values, ["clip0", "clip3"])
    both = QUICK.score(layer(x), data.assign_coords(train_1=("presentation", second)))
    alone = QUICK.score(layer(x), data.assign_coords(train_0=("presentation", second)))
    np.testing.assert_array_equal(both.values, [QUICK.score(layer(x), data).values[0], alone.values[0]])
    value, error = QUICK.aggregate(both)
    medians = np.median(both.values, axis=1)
    assert value == pytest.approx(medians.mean())
    assert error == pytest.approx(abs(medians[0] - medians[1]) / 2)


def test_cc_norm_is_the_median_over_neuroids_of_their_own_ratios(problem):
    x, data = problem
    trials = data.values.reshape(4, STIMULI, 4, BINS)[:, ~data["train_0"].values[:STIMULI]]
    own = cc_max(cc_half(trials.transpose(2, 0, 1, 3).reshape(4, 4, -1)), 4)
    raw = QUICK.score(layer(x), data)
    np.testing.assert_allclose(raw["cc_max"].values[0], own, rtol=1e-12)
    ceiling = QUICK.ceiling(data)
    assert ceiling.value == pytest.approx(np.median(own))
    assert QUICK.normalize(raw, ceiling) == pytest.approx(np.median(raw.values[0] / own))
    known = raw.assign_coords(cc_max=(raw.dims, [[0.5, np.nan, 0.8, 0.9]]))
    ratios = raw.values[0, [0, 2, 3]] / [0.5, 0.8, 0.9]
    assert QUICK.normalize(known, ceiling) == pytest.approx(np.median(ratios))


def test_measured_once_there_is_a_score_but_nothing_to_normalise_it_by(problem):
    x, _ = problem
    data = recorded(noisy(driven(x, FIELDS), 2.0, repetitions=1))
    raw, ceiling = QUICK.score(layer(x), data), QUICK.ceiling(data)
    assert (raw > 0.7).all()
    assert np.isnan(ceiling.value)
    assert ceiling.method.startswith("not estimable: CC_max needs two repetitions")
    assert np.isnan(QUICK.normalize(raw, ceiling))


@pytest.mark.parametrize("data", [responses(STIMULI), rdms(STIMULI)], ids=["responses", "RDMs"])
def test_data_without_time_are_refused(data):
    with pytest.raises(InputError, match=r"strf needs responses over time \(presentation x neuroid x time_bin\)"):
        QUICK.score(layer(spectrograms()), data)
    assert QUICK.ceiling(data).method == "not estimable: CC_max needs responses over time, the data have none"


@pytest.mark.parametrize("x", [spectrograms()[:, :, 0], spectrograms()[..., :1]], ids=["flat", "pooled"])
def test_a_layer_without_time_is_refused(problem, x):
    with pytest.raises(InputError, match=r"has activity of shape .* needs a layer of a network for sounds whose last"):
        QUICK.score(layer(x), problem[1])


def test_a_layer_of_another_kind_of_network_is_refused(problem):
    x, data = problem
    with pytest.raises(InputError, match="takes no sounds"):
        QUICK.score(Representation.from_features("layer", IDS, x, keep=True), data)
    unshaped = replace(layer(x), shape=None)
    with pytest.raises(InputError, match=r"has activity of shape \(\)"):
        QUICK.score(unshaped, data)
    with pytest.raises(InputError, match="keep_features=True"):
        QUICK.score(replace(layer(x), features=None), data)


def test_a_layer_that_heard_less_than_the_responses_last_is_refused(problem):
    x, data = problem
    with pytest.raises(InputError, match=r"responses last for 1 s, but layer 'layer' has heard 0.5 s"):
        QUICK.score(layer(x, seconds=0.5), data)


def test_a_layer_that_does_not_change_where_it_is_fitted_is_refused(problem):
    x, data = problem
    with pytest.raises(InputError, match="every stimulus alike"):
        QUICK.score(layer(np.tile(x[:1], (STIMULI, 1, 1))), data)
    flat = np.where(data["train_0"].values[:STIMULI, None, None], 0.3, x).astype(np.float32)
    with pytest.raises(InputError, match="never changes during the stimuli to fit on"):
        QUICK.score(layer(flat), data)
    with pytest.raises(InputError, match="never change"):
        ridge_by_groups(np.zeros((6, 2)), np.ones((6, 1)), np.arange(6), np.ones(1), 2)


def test_data_and_layer_are_left_as_they_were(problem):
    x, data = problem
    before, representation = data.copy(deep=True), layer(x)
    features = representation.features.copy()
    QUICK.score(representation, data)
    QUICK.ceiling(data)
    assert data.identical(before)
    np.testing.assert_array_equal(representation.features, features)


@pytest.mark.slow
@pytest.mark.skipif(
    not (Path(os.environ.get("NEUROCOMPARE_MIRROR", "")) / "harper2016_ns1").is_dir(),
    reason="NEUROCOMPARE_MIRROR names no folder that holds harper2016_ns1",
)
def test_ferret_auditory_cortex():
    """73 units and 4 test clips of Harper et al. 2016: CC_half, CC_max, and what linear fields of a cochleagram reach.

    The mirror comes with CC_half and CC_max to two decimals, for a window of about the same width.
    """
    benchmark = load_harper2016()
    held_out = benchmark.data.values[~benchmark.data["train_0"].values].reshape(12, 20, 73, 333)
    half = cc_half(held_out.transpose(2, 1, 0, 3).reshape(73, 20, -1))
    assert np.median(half) == pytest.approx(0.61, abs=0.02)
    ceiling = STRF.ceiling(benchmark.data)
    assert ceiling.value == pytest.approx(0.87, abs=0.01)
    assert "1,000 of 92,378 halvings, seed 1; median of 73 neuroids" in ceiling.method
    preprocess, ids = CochleagramPreprocess(), list(benchmark.stimuli.ids)
    x = np.stack([preprocess(benchmark.stimuli.open(i)) for i in ids])
    raw = STRF.score(layer(x, ids, preprocess.seconds), benchmark.data)
    assert STRF.normalize(raw, ceiling) > 0.60
    mixed = [ids[k] for k in np.random.default_rng(0).permutation(60)]
    permuted = STRF.score(layer(x, mixed, preprocess.seconds), benchmark.data)
    assert abs(STRF.aggregate(permuted)[0]) < 0.1
