"""Banded ridge regression against plain ridge, and against himalaya's solver for features."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from problems import rdms, responses
from sklearn.model_selection import KFold, ShuffleSplit

from neurocompare.errors import InputError
from neurocompare.metrics import METRICS
from neurocompare.metrics.banded import BANDED_RIDGE, Bands
from neurocompare.metrics.encoding import Ridge
from neurocompare.metrics.joint import Joint
from neurocompare.metrics.splits import Shuffled
from neurocompare.representation import Representation

backend = pytest.importorskip("himalaya.backend")

N = 40
IDS = [f"s{i:03d}" for i in range(N)]
QUICK = replace(BANDED_RIDGE, predictor=Bands(candidates=8), splits=Shuffled(3))


def layer(x, name="layer"):
    return Representation.from_features(name, IDS, x)


def two_layers(data=None, seed=0):
    """A narrow layer that predicts, and a wide and strong one that knows nothing."""
    signal = (responses(N) if data is None else data).values[:N]
    rng = np.random.default_rng(seed)
    return {
        "good": layer(signal @ rng.standard_normal((6, 8)) + 0.1 * rng.standard_normal((N, 8)) + 3, "good"),
        "noise": layer(100 * rng.standard_normal((N, 500)), "noise"),
    }


@pytest.mark.parametrize("width", [5, 80])
def test_one_band_is_ridge(width):
    """With as many folds as stimuli both choose the penalty by leave-one-out."""
    data = responses(N)
    x = np.random.default_rng(4).standard_normal((N, width)) + 1
    x[:, :4] += data.values[:N, :4]
    found = replace(BANDED_RIDGE, predictor=Bands(folds=36)).score_together({"layer": layer(x)}, data)
    expected = METRICS["ridge"].score(layer(x), data)
    np.testing.assert_allclose(found.values, expected.values, atol=1e-9)
    assert found.dims == expected.dims
    assert found["neuroid_id"].identical(expected["neuroid_id"])


def test_its_predictions_are_those_of_ridge_with_their_mean():
    y = responses(N).values[:N] + 100
    x = np.random.default_rng(4).standard_normal((N, 12)) + 50
    x[:, :6] += y
    splits = ShuffleSplit(2, test_size=0.1, random_state=1).split(x)
    splits = [(np.sort(train), test) for train, test in splits]
    found, expected = (list(predictor(layer(x), y, splits)) for predictor in (Bands(folds=36), Ridge()))
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_other_layers_are_brought_to_the_same_stimuli():
    y, (good, noise) = responses(N).values[:N], two_layers().values()
    backwards = noise.select(IDS[::-1])
    splits = list(ShuffleSplit(1, test_size=0.1, random_state=1).split(y))
    found, expected = (
        next(iter(Bands(candidates=8, beside=(other,))(good, y, splits))) for other in (backwards, noise)
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


def on_unit_scale(x, train):
    centred = x - x[train].mean(0)
    return centred / np.sqrt(np.square(centred[train]).sum(1).mean())


def test_bands_are_groups_of_features():
    """himalaya's GroupRidgeCV, which solves for the weights of features, with the same candidates and folds."""
    from himalaya.ridge import GroupRidgeCV

    data = responses(N)
    rng = np.random.default_rng(0)
    xs = [rng.standard_normal((N, width)) * scale + 7 for width, scale in ((6, 1), (70, 30), (10, 1e-3))]
    xs[0] += 2 * data.values[:N]
    predictor = Bands(candidates=10, folds=4)
    found = replace(BANDED_RIDGE, predictor=predictor).score_together(
        {f"{k}": layer(x, f"{k}") for k, x in enumerate(xs)}, data
    )
    y = data.values.reshape(2, N, 6).mean(0)
    for split, (train, test) in enumerate(ShuffleSplit(10, test_size=0.1, random_state=1).split(y)):
        groups = [on_unit_scale(x, train) for x in xs]
        model = GroupRidgeCV(
            groups="input",
            solver_params={"n_iter": 10, "alphas": np.array(predictor.penalties), "progress_bar": False, "warn": False},
            fit_intercept=True,
            cv=KFold(4, shuffle=True, random_state=1),
            random_state=1,
        ).fit([g[train] for g in groups], y[train])
        predicted = model.predict([g[test] for g in groups])
        expected = [np.corrcoef(predicted[:, i], y[test, i])[0, 1] for i in range(6)]
        np.testing.assert_allclose(found.values[split], expected, atol=1e-6)


def test_a_wide_layer_of_noise_does_not_drown_a_narrow_one_that_predicts():
    data, layers = responses(N), two_layers()
    together = BANDED_RIDGE.aggregate(QUICK.score_together(layers, data))[0]
    joined = Representation(
        "both", tuple(IDS), sum(r.gram for r in layers.values()), sum(r.sums for r in layers.values()), 508
    )
    ridge = replace(METRICS["ridge"], splits=Shuffled(3))
    assert together > ridge.aggregate(ridge.score(joined, data))[0] + 0.2
    assert together > ridge.aggregate(ridge.score(layers["good"], data))[0] - 0.05


def test_weight_goes_to_the_layer_that_predicts():
    grams = [r.gram - r.gram.mean(0) - r.gram.mean(1)[:, None] + r.gram.mean() for r in two_layers().values()]
    kernels = np.stack([gram / np.trace(gram) * N for gram in grams])
    y = responses(N).values[:N]
    weights = np.exp(Bands().fit(kernels, y - y.mean(0)).deltas_)
    assert (weights[0] / weights.sum(0) > 0.9).all()


def test_scores_repeat_and_scale_does_not_matter():
    data, layers = responses(N), two_layers()
    expected = QUICK.score_together(layers, data).values
    np.testing.assert_array_equal(QUICK.score_together(layers, data).values, expected)
    good = layers["good"]
    scaled = {**layers, "good": replace(good, gram=1e6 * good.gram, sums=1e3 * good.sums)}
    np.testing.assert_allclose(QUICK.score_together(scaled, data).values, expected, atol=1e-8)
    order = np.random.default_rng(0).permutation(N)
    shuffled = {name: r.select([IDS[i] for i in order]) for name, r in layers.items()}
    np.testing.assert_allclose(QUICK.score_together(shuffled, data).values, expected, atol=1e-8)
    other = replace(QUICK, predictor=replace(QUICK.predictor, seed=2))
    assert not np.allclose(other.score_together(layers, data).values, expected)


def test_layers_that_do_not_vary_take_no_part():
    data, layers = responses(N), two_layers()
    expected = QUICK.score_together(layers, data)
    assert expected.attrs["layers"] == "good, noise"
    dead = layer(np.full((N, 4), 0.3), "dead")
    found = QUICK.score_together({"dead": dead, **layers}, data)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.attrs == expected.attrs
    with pytest.raises(InputError, match=r"no layer can take part: layer 'dead' responds to every stimulus alike"):
        QUICK.score_together({"dead": dead}, data)


def test_a_layer_that_varies_only_over_held_out_stimuli_does_no_harm():
    data, layers = responses(N), two_layers()
    flat = np.ones((N, 4))
    flat[next(ShuffleSplit(3, test_size=0.1, random_state=1).split(flat))[1][0]] = 5
    scores = QUICK.score_together({**layers, "flat": layer(flat, "flat")}, data)
    assert np.isfinite(scores.values).all()


def test_missing_stimuli_and_rdms_are_refused():
    layers = two_layers()
    with pytest.raises(InputError, match=r"probed with 39 stimuli, but 1 others .*'s039'"):
        QUICK.score_together({**layers, "short": layers["good"].select(IDS[:-1])}, responses(N))
    with pytest.raises(InputError, match=r"banded_ridge needs responses of neuroids, but these data are RDMs"):
        QUICK.score_together(layers, rdms(N))


def test_the_rest_is_as_of_ridge():
    data, ridge = responses(N), METRICS["ridge"]
    raw, ceiling = QUICK.score_together(two_layers(), data), BANDED_RIDGE.ceiling(data)
    assert ceiling == ridge.ceiling(data)
    assert QUICK.aggregate(raw) == ridge.aggregate(raw)
    assert QUICK.normalize(raw, ceiling) == ridge.normalize(raw, ceiling)
    assert (BANDED_RIDGE.formula, BANDED_RIDGE.needs_features) == (ridge.formula, False)
    assert isinstance(BANDED_RIDGE, Joint)
    assert not isinstance(ridge, Joint)


@pytest.fixture
def requested(monkeypatch):
    """himalaya's backends as they are asked for; torch on the processor stands in for CUDA."""
    names, real = [], backend.set_backend

    def note(name, **settings):
        names.append(name)
        return real("torch" if name == "torch_cuda" else name, **settings)

    monkeypatch.setattr(backend, "set_backend", note)
    yield names
    real("numpy")


@pytest.mark.parametrize("before", ["numpy", "torch"])
@pytest.mark.parametrize(("device", "asked"), [("cpu", "numpy"), ("cuda", "torch_cuda"), ("cuda:1", "torch_cuda")])
def test_the_backend_is_that_of_the_layers_device_and_is_put_back(requested, device, asked, before):
    data, layers = responses(N), two_layers()
    expected = QUICK.score_together(layers, data).values
    backend.set_backend(before)
    requested.clear()
    there = {name: replace(r, device=device) for name, r in layers.items()}
    np.testing.assert_allclose(QUICK.score_together(there, data).values, expected, atol=1e-8)
    assert requested == [asked, before] * 3
    assert backend.get_backend().name == before


def test_the_backend_is_put_back_after_an_error(requested, monkeypatch):
    def fail(self, kernels, targets):
        raise MemoryError(backend.get_backend().name)

    monkeypatch.setattr(Bands, "fit", fail)
    backend.set_backend("torch")
    with pytest.raises(MemoryError, match="numpy"):
        QUICK.score_together(two_layers(), responses(N))
    assert backend.get_backend().name == "torch"


def test_without_himalaya_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "himalaya", None)
    with pytest.raises(InputError, match=r"needs the package 'himalaya'.* pip install 'neurocompare\[banded\]'"):
        QUICK.score_together(two_layers(), responses(N))
