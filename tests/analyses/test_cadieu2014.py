"""The protocol against direct computation, what needs labels on a tiny archive, and what is said of the numbers."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tiny_cadieu as tiny
import xarray as xr
from PIL import Image
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV

from analyses import cadieu2014, cadieu_figures, cadieu_models
from data_loaders import cadieu2014 as loader
from data_loaders import load_benchmark
from data_loaders._files import DataFile
from data_loaders.images import array_images
from data_loaders.installed import load_digits_dataset
from neurocompare.assembly import response_assembly
from neurocompare.benchmark import Benchmark
from neurocompare.errors import DataUnavailable
from neurocompare.metrics.ceiling import split_half_reliability
from neurocompare.metrics.presets import CADIEU_2014
from neurocompare.representation import Representation


def benchmark(values: np.ndarray, repetitions: int = 1, images: np.ndarray | None = None) -> Benchmark:
    """Responses ``(stimuli, sites)``, each presentation with noise of its own where there are several."""
    n, sites = values.shape
    rng = np.random.default_rng(1)
    shown = np.concatenate([values + (repetitions > 1) * rng.standard_normal(values.shape) for _ in range(repetitions)])
    ids = [f"s{i:03d}" for i in range(n)]
    data = response_assembly(
        shown,
        ids * repetitions,
        repetitions=np.repeat(np.arange(repetitions), n).tolist(),
        neuroid_ids=[f"site{k}" for k in range(sites)],
        region="IT",
        subjects="x",
        units="x",
    )
    pixels = rng.integers(0, 255, (n, 2, 2), dtype=np.uint8) if images is None else images
    return Benchmark("x.IT", data, array_images("x", dict(zip(ids, pixels, strict=True))), "ridge", "", "")


def layers(target, *features: np.ndarray) -> dict[str, Representation]:
    ids = [str(s) for s in target.responses["stimulus_id"].values]
    return {f"l{k}": Representation.from_features(f"l{k}", ids, x) for k, x in enumerate(features)}


@pytest.fixture(scope="module")
def problem():
    """60 stimuli, seven sites that a layer explains in part, four presentations."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((60, 12))
    values = features @ rng.standard_normal((12, 7)) / 3 + 0.5 * rng.standard_normal((60, 7))
    return cadieu2014.target_of(benchmark(values, repetitions=4)), features


def test_the_number_is_that_of_a_direct_computation(problem):
    target, features = problem
    over, raw, chosen = cadieu2014.explained(layers(target, features), target)
    y, penalties = target.responses.values, np.asarray(CADIEU_2014.predictor.penalties)
    reliability = split_half_reliability(target.benchmark.data)
    for split, (train, test) in enumerate(target.splits):
        centred = features[train] - features[train].mean(0)
        fit = RidgeCV(penalties * np.square(centred).sum() / len(train), alpha_per_target=True)
        predicted = fit.fit(features[train], y[train]).predict(features[test])
        r = np.array([np.corrcoef(predicted[:, k], y[test][:, k])[0, 1] for k in range(7)])
        r2 = np.where(r > 0, r, 0) ** 2
        assert raw[split] == pytest.approx(np.median(r2), abs=1e-8)
        assert over[split] == pytest.approx(np.median(r2 / reliability), abs=1e-8)
    assert chosen == ["l0"] * 10
    assert len(target.splits) == 10
    assert {len(test) for _, test in target.splits} == {12}


def test_a_perfect_model_explains_all_that_can_be_explained():
    """Responses of variance 1 with noise of variance 1 in each of four presentations: 4 / 5 can be explained."""
    responses = np.random.default_rng(0).standard_normal((800, 5))
    target = cadieu2014.target_of(benchmark(responses, repetitions=4))
    over, raw, _ = cadieu2014.explained(layers(target, responses), target)
    assert over.mean() == pytest.approx(1, abs=0.02)
    assert raw.mean() == pytest.approx(0.8, abs=0.02)


def test_the_layer_is_chosen_by_what_does_not_judge_it():
    """Of layers that are all noise the best by luck on the stimuli held out would score above what is reported."""
    rng = np.random.default_rng(0)
    target = cadieu2014.target_of(benchmark(rng.standard_normal((60, 9))))
    noise = [rng.standard_normal((60, 5)) for _ in range(8)]
    _, reported, _ = cadieu2014.explained(layers(target, *noise), target)
    alone = [cadieu2014.explained(layers(target, x), target)[1] for x in noise]
    assert reported.mean() < np.max(alone, axis=0).mean() - 0.01
    assert reported.mean() == pytest.approx(np.mean(alone), abs=0.03)


def test_a_layer_that_explains_is_chosen(problem):
    target, features = problem
    rng = np.random.default_rng(3)
    _, _, chosen = cadieu2014.explained(layers(target, rng.standard_normal((60, 12)), features), target)
    assert chosen == ["l1"] * 10


def test_layers_are_chosen_within_what_is_fitted_on_and_twins_stay_together():
    images = np.arange(60 * 4, dtype=np.uint8).reshape(60, 2, 2)
    images[30:] = images[:30]  # each picture twice, under two names
    target = cadieu2014.target_of(benchmark(np.random.default_rng(0).standard_normal((60, 3)), images=images))
    for (train, test), (first, second) in zip(target.splits, target.choices, strict=True):
        assert set(first) | set(second) == set(train)
        for one, other in ((train, test), (first, second)):
            assert not set(one) & set(other)
            assert not set(one % 30) & set(other % 30)


def test_sites_of_which_nothing_can_be_explained_are_left_out():
    rng = np.random.default_rng(0)
    values = np.concatenate([3 * rng.standard_normal((60, 3)), 1e-9 * rng.standard_normal((60, 4))], axis=1)
    target = cadieu2014.target_of(benchmark(values, repetitions=2))
    without = target.reliability <= 0
    assert without.sum() > 0
    assert not without[:3].any()
    r2 = rng.random((10, 7))
    expected = np.median(r2[:, ~without] / target.reliability[~without], axis=1)
    np.testing.assert_allclose(target.medians(r2), expected)


def test_without_repetitions_nothing_is_divided(problem):
    _, features = problem
    target = cadieu2014.target_of(benchmark(features[:, :5]))
    over, raw, _ = cadieu2014.explained(layers(target, features), target)
    assert np.isnan(over).all()
    assert raw.mean() > 0.9
    assert target.explainable.all()


def test_objects_are_means_of_their_images(problem):
    target, features = problem
    ids = [str(s) for s in target.responses["stimulus_id"].values]
    objects = {stimulus: f"object {int(stimulus[1:]) % 6}" for stimulus in ids}
    groups = [np.arange(k, 60, 6) for k in range(6)]
    means = np.stack([features[rows].mean(0) for rows in groups])
    found = cadieu2014.by_object(layers(target, features)["l0"], objects)
    assert found.ids == tuple(f"object {k}" for k in range(6))
    np.testing.assert_allclose(found.gram, means @ means.T)
    np.testing.assert_allclose(found.sums, means.sum(1))
    sites = np.stack([target.responses.values[rows].mean(0) for rows in groups])
    expected = spearmanr(pdist(means, "correlation"), pdist(sites, "correlation")).statistic
    assert cadieu2014.object_similarity(layers(target, features)["l0"], target, objects) == pytest.approx(expected)


def grating(category: int, rng: np.random.Generator) -> bytes:
    """A category is an orientation; phase and noise differ."""
    y, x = np.mgrid[:16, :16]
    angle = np.pi * category / 7
    wave = np.cos(x * np.cos(angle) + y * np.sin(angle) + rng.uniform(0, 2 * np.pi))
    pixels = np.clip(128 + 80 * wave + 20 * rng.standard_normal((16, 16)), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def of_archive(tmp_path_factory):
    """The whole on a tiny archive of 70 images of 14 objects, V4 without trials and IT with them, two rules, two seeds."""
    rng = np.random.default_rng(0)
    kinds = [tiny.CATEGORIES[k % 7] for k in range(70)]
    images = [grating(k % 7, rng) for k in range(70)]
    lines = tiny.meta([tiny.path_of(content) for content in images], kinds, tiny.splits(70))
    of_category = rng.standard_normal((7, 9))[np.arange(70) % 7]
    trials = of_category[:, :, None] + 0.7 * rng.standard_normal((70, 9, 4))
    v4 = of_category @ rng.standard_normal((9, 6)) + rng.standard_normal((70, 6))
    matrices = {
        "IT_multiunits": tiny.matrix(trials.mean(2), lines, trials=trials),
        "V4_multiunits": tiny.matrix(v4, lines),
    }
    root = tmp_path_factory.mktemp("mirror")
    (root / "cadieu2014").mkdir()
    (root / "cadieu2014" / loader.ARCHIVE).write_bytes(tiny.archive(matrices, images))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEUROCOMPARE_MIRROR", str(root))
        patch.setenv("NEUROCOMPARE_CACHE", str(root / "cache"))
        patch.setattr(loader, "FILES", {loader.ARCHIVE: DataFile(f"cadieu2014/{loader.ARCHIVE}", None, None)})
        patch.setattr(loader, "IMAGES_OF_AN_OBJECT", 5)
        patch.setattr(cadieu_models, "ONCE", ("pixels",))
        regions, missing = cadieu_models._recordings()
        network = {"architecture": "convnet", "channels": [4], "hidden": [8]}
        data = load_digits_dataset().first(200)
        rules = ("backprop", "hebbian")
        panel = cadieu_models.Panel(regions, data, network, 1, rules, (3, 4), pretrained=False, missing=missing)
        return cadieu2014.compute(panel=panel)


def test_the_archive_comes_first_and_its_splits_are_used(of_archive):
    assert of_archive["region"].values.tolist() == ["cadieu2014.IT", "cadieu2014.V4"]
    assert of_archive.attrs["splits"] == "the authors' ten"
    assert of_archive.attrs["missing"] == ""
    assert of_archive["sites"].values.tolist() == [9, 6]
    expected = {
        "untrained",
        "backprop",
        "permuted_weights",
        "hebbian",
        "pixels",
        "category",
        *of_archive["region"].values,
    }
    assert set(of_archive["model"].values) == expected


def test_a_target_is_split_as_its_data_say():
    rng = np.random.default_rng(1)
    ids, flags = [f"s{k}" for k in range(20)], tiny.splits(20).astype(bool)
    data = response_assembly(
        rng.standard_normal((20, 3)), ids, neuroid_ids=list("abc"), region="IT", subjects="one", units=""
    )
    data = data.assign_coords({f"train_{k}": ("presentation", flags[:, k]) for k in range(10)})
    stimuli = array_images("tiny", {i: rng.integers(0, 255, (8, 8, 3), dtype=np.uint8) for i in ids})
    found = cadieu2014.target_of(Benchmark("tiny.IT", data, stimuli, "cadieu2014", "", ""))
    names = found.responses["stimulus_id"].values
    for number, (train, test) in enumerate(found.splits):
        assert set(names[train]) == {i for i, flag in zip(ids, flags[:, number], strict=True) if flag}
        assert set(names[test]) == set(ids) - set(names[train])
    first, second = found.choices[3]
    assert sorted([*first, *second]) == sorted(found.splits[3][0])  # the layer is chosen on what is fitted on


def test_every_model_has_its_numbers_and_a_region_none_of_itself(of_archive):
    seeded = {"untrained", "backprop", "permuted_weights", "hebbian"}
    for model in map(str, of_archive["model"].values):
        part = of_archive.sel(model=model)
        for region in map(str, of_archive["region"].values):
            seeds = 0 if region == model else 2 if model in seeded else 1
            assert int(part["raw"].sel(region=region).notnull().all("split").sum()) == seeds, (region, model)
            assert int(part["objects"].sel(region=region).notnull().sum()) == seeds
        assert int(part["kernel"].notnull().sum()) == (2 if model in seeded else 1)
    assert of_archive["explained"].sel(region="cadieu2014.V4").isnull().all(), "no trials, so no ceiling"
    assert of_archive["explained"].sel(region="cadieu2014.IT", model="cadieu2014.V4")[0].notnull().all()


def test_categories_explain_responses_made_from_categories(of_archive):
    at = of_archive["explained"].sel(region="cadieu2014.IT", seed=3).mean("split")
    assert float(at.sel(model="category")) > 0.9
    assert float(at.sel(model="cadieu2014.V4")) > 0.7
    kernel = of_archive["kernel"].sel(seed=3)
    assert float(kernel.sel(model="category")) > float(kernel.sel(model="untrained")) + 0.1


def test_networks_are_asked_about_labels_before_their_readout(of_archive):
    top = of_archive["top"].sel(seed=3)
    found = [str(top.sel(model=name).values) for name in ("backprop", "permuted_weights", "pixels", "cadieu2014.V4")]
    assert found == ["fc1", "fc1", "pixels", "V4"]


def test_figures_and_words_of_both_regions(of_archive):
    figure = cadieu_figures.plot(of_archive)
    text = " ".join(
        t.get_text()
        for axis in figure.axes
        for t in [*axis.texts, axis.title, axis.xaxis.label, *axis.get_yticklabels()]
    )
    for said in (
        "cadieu2014.IT: 9 sites, 70 images",
        "the authors' ten splits",
        "no noise ceiling (no repetitions)",
        "explained variance (r², %)",
        "explained / explainable variance",
        "V4 (sites)",
        "as published",
        "kernel analysis",
        "between objects",
    ):
        assert said in text
    lines = "\n".join(cadieu_figures.words(of_archive))
    mean = 100 * float(of_archive["explained"].sel(region="cadieu2014.IT", model="category").mean())
    assert f"{'labels alone':40s} {mean:5.1f} ± " in lines
    assert "kernel analysis: 'labels alone'" in lines


def dataset(rule: float, untrained: float = 30.0, pretrained: float = 55.0) -> xr.Dataset:
    models = ["backprop", "untrained", cadieu_models.PRETRAINED]
    shape = (1, 3, 3, 10)
    values = np.broadcast_to(np.array([rule, untrained, pretrained])[None, :, None, None] / 100, shape).copy()
    values += np.array([-0.02, 0, 0.02])[None, None, :, None]
    values[:, 2, 1:] = np.nan
    dims = ("region", "model", "seed", "split")
    return xr.Dataset(
        {
            "explained": (dims, values),
            "raw": (dims, values / 2),
            "layer": (dims[:3], np.full(shape[:3], "fc1")),
            "accuracy": (("model", "seed"), np.full((3, 3), 0.5)),
            "reliability": (("region",), [0.7]),
            "sites": (("region",), [50]),
        },
        coords={"region": ["cowley2023.V4"], "model": models, "seed": [0, 1, 2]},
        attrs={
            "stimuli": 640, "trained_on": "x", "items": 10, "epochs": 1, "splits": "ten random", "missing": "the archive"
        },
    )  # fmt: skip


@pytest.mark.parametrize(("rule", "ahead"), [(40, "backprop"), (33, "no rule"), (20, "no rule")])
def test_a_rule_is_ahead_where_its_every_seed_is(rule, ahead):
    lines = cadieu_figures.words(dataset(rule))
    assert f"cowley2023.V4: every seed above every seed of untrained: {ahead}" in lines
    said = f"cowley2023.V4: the network trained on ImageNet misses 47 %, the best rule here {100 - rule} %"
    assert any(line.startswith(said) for line in lines)
    assert "not to be had: the archive" in lines


def test_recordings_that_cannot_be_had_are_passed_over_with_the_reason(monkeypatch):
    def nothing():
        raise DataUnavailable("no archive here (looked at /some/place)")

    monkeypatch.setattr(cadieu_models, "RECORDINGS", ((nothing, nothing), *cadieu_models.RECORDINGS[-1:]))
    regions, missing = cadieu_models._recordings()
    assert [r.name for r in regions] == ["simulated.units"]
    assert missing == ("no archive here",)


def test_hmax_is_no_control_for_pictures_that_it_was_made_from():
    assert "hmax_c2" not in cadieu_models._once(load_benchmark("simulated.units"))
    assert "hmax_c2" in cadieu_models._once(benchmark(np.eye(4)))
    assert "category" not in cadieu_models._once(benchmark(np.eye(4)))


def test_published_numbers_are_those_of_the_papers():
    """As in the notes on targets; in %."""
    at = {name: value for name, value, _ in cadieu_figures.PUBLISHED}
    assert at["HMAX"] == 25
    assert at["HMO"] == 48.5
    assert at["V4 (rerun)"] == 67
    assert cadieu_figures.MISSED == 40


def test_without_the_package_there_is_no_network_of_imagenet(monkeypatch):
    monkeypatch.setattr(cadieu_models.lite0, "weights_file", lambda: None)
    assert "neurocompare[imagenet]" in cadieu_models.pretrained_or_reason()
