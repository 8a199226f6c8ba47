"""The choice of a layer on the sounds to fit on, and what is said of the numbers."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from analyses import kell2018
from neurocompare.assembly import response_assembly
from neurocompare.representation import Representation


def problem(n=80, width=30, seed=0):
    """Six responses: half are linear in the first layer, half in the second; the third layer is noise."""
    rng = np.random.default_rng(seed)
    ids = [f"s{i}" for i in range(n)]
    layers = {name: rng.standard_normal((n, width)) for name in ("early", "late", "noise")}
    values = np.concatenate([layers[name] @ rng.standard_normal((width, 3)) for name in ("early", "late")], 1)
    data = response_assembly(values, ids, neuroid_ids=list("abcdef"), region="x", subjects="x", units="x")
    return {name: Representation.from_features(name, ids, x) for name, x in layers.items()}, data


def test_each_component_gets_the_layer_that_explains_it():
    represented, data = problem()
    r2, depth, by_layer = kell2018._scored(represented, data, list(represented))
    assert (r2 > 0.6).all()
    np.testing.assert_allclose(depth, [0, 0, 0, 0.5, 0.5, 0.5], atol=0.1)  # a split of ten may choose another
    assert by_layer.shape == (3, 6)
    assert (by_layer[2] < 0.2).all()
    np.testing.assert_allclose(r2[:3], by_layer[0, :3])


def test_the_layer_is_not_chosen_by_what_judges_it():
    """Of layers that are all noise the best by luck on the sounds held out would score above what is reported."""
    _, data = problem()
    rng = np.random.default_rng(1)
    ids = [str(s) for s in data["stimulus_id"].values]
    noise = {f"l{k}": Representation.from_features(f"l{k}", ids, rng.standard_normal((80, 30))) for k in range(6)}
    r2, _, by_layer = kell2018._scored(noise, data, list(noise))
    assert r2.mean() < by_layer.max(0).mean() - 0.01


def dataset(spectrotemporal=0.5):
    models = ["backprop", "hebbian", "untrained", "permuted_weights", "spectrotemporal"]
    means = np.array([0.7, 0.4, 0.45, 0.3, spectrotemporal])
    shape = (len(models), 2, 6)
    rng = np.random.default_rng(0)
    r2 = np.broadcast_to(means[:, None, None], shape) + 0.02 * rng.standard_normal(shape)
    r2[-1, 1] = np.nan
    by_layer = np.repeat(r2[:, :, None], 3, 2)
    by_layer[-1] = np.nan
    return xr.Dataset(
        {
            "r2": (("model", "seed", "component"), r2),
            "depth": (("model", "seed", "component"), np.where(np.isnan(by_layer[:, :, 0]), np.nan, 0.5)),
            "by_layer": (("model", "seed", "layer", "component"), by_layer),
            "accuracy": (("model", "seed"), np.full(shape[:2], 0.8)),
            "published": (("source", "component"), np.array(list(kell2018.PUBLISHED.values()))),
        },
        coords={
            "model": models,
            "layer": ["c1", "c2", "out"],
            "component": list("abcdef"),
            "source": list(kell2018.PUBLISHED),
        },
        attrs={"sounds": 80},
    )


@pytest.mark.parametrize(
    ("level", "said"), [(0.5, "backprop of 2 rules"), (0.9, "none of 2 rules"), (0.1, "backprop, hebbian of 2 rules")]
)
def test_what_is_said_follows_from_the_numbers(level, said):
    text = "\n".join(kell2018.words(dataset(level)))
    assert said in text
    assert ("do fall below" in text) == (level > 0.3)


def test_the_figure_names_what_it_shows():
    figure = kell2018.plot(dataset())
    text = " ".join(t.get_text() for axis in figure.axes for t in [*axis.texts, axis.title, axis.yaxis.label])
    for words in (
        "80 sounds",
        "no noise ceiling estimable",
        "range over 2 seeds",
        "explained variance",
        "spectrotemporal",
    ):
        assert words in text
