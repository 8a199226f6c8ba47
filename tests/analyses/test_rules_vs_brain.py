"""The headline table: what is contrasted with what, on tables whose answer is known, and the small version end to end."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import ttest_rel

from analyses import rules_vs_brain as analysis
from analyses.rules_vs_brain_words import words
from neurocompare.metrics import METRICS
from neurocompare.probe import probe
from neurocompare.spectra import with_spectrum_of
from neurocompare.stimuli import StimulusSet
from neurocompare.study import Entry
from neurocompare.study.models import Models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rules_vs_brain")


@pytest.fixture(scope="module")
def paths(folder):
    return analysis.main(folder, quick=True)


@pytest.fixture(scope="module")
def dataset(paths, folder):
    return analysis.compute(True, folder=folder)  # everything is there


@pytest.fixture(scope="module")
def models(paths, folder):
    return Models(analysis.PARTS["quick"]["digits"].spec, folder / "digits")


def table(values: dict[tuple[str, int], float], **more) -> pd.DataFrame:
    """One layer and one benchmark."""
    rows = [
        {
            "benchmark": "b", "metric": "ridge", "model": model, "seed": seed, "layer": "fc1", "depth": 1, "raw": value,
            "task_accuracy": 0.5, "note": "", **more,
        }
        for (model, seed), value in values.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_each_matching_contrasts_its_own_scores():
    rng = np.random.default_rng(0)
    noise = {(m, s): rng.normal(0, 0.01) for m in ("backprop", "hebbian") for s in range(5)}
    final = table({key: (0.5 if key[0] == "backprop" else 0.3) + e for key, e in noise.items()})
    early = table({key: (0.4 if key[0] == "backprop" else 0.1) + e for key, e in noise.items()})
    early["task_accuracy"] = np.where(early["model"] == "backprop", 0.2, 0.05)
    final["task_accuracy"] = np.where(final["model"] == "backprop", 0.6, 0.2)
    learning = pd.concat([early.assign(step=10), final.assign(step=100)])
    spectrum = table({("hebbian", s): 0.55 + noise["hebbian", s] for s in range(5)}, kind=analysis.SPECTRUM)
    coarse = table(dict.fromkeys(noise, 0.0), kind="8")
    found = analysis.contrasts_of({"study": final, "learning": learning, "changed": pd.concat([spectrum, coarse])})
    means = found.set_index("matching")["difference"]
    assert means[analysis.RAW] == pytest.approx(-0.2, abs=0.02)
    assert means[analysis.ACCURACY] == pytest.approx(-0.1, abs=0.02)  # hebbian at its end, backprop on its way
    assert means[analysis.SPECTRUM] == pytest.approx(0.05, abs=0.02)
    own, others = (final.loc[final["model"] == name, "raw"] for name in ("hebbian", "backprop"))
    expected = ttest_rel(own, others).pvalue
    assert found.set_index("matching")["q_of_t"][analysis.RAW] == pytest.approx(expected, rel=1e-6)


def test_spectra_and_resolutions_are_those_of_the_networks_themselves(models, folder):
    benchmark = models.benchmarks["simulated.units"]
    rule, reference = (models.trained(Entry(name, 1)).model() for name in ("feedback_alignment", "backprop"))
    layers, others = (probe(model, benchmark.stimuli) for model in (rule, reference))
    metric = METRICS["ridge"]
    changed = pd.concat(
        analysis._changed(models.spec, models.folder, (kind, Entry("feedback_alignment", 1)))
        for kind in (analysis.SPECTRUM, "4")
    )
    rows = changed[changed["benchmark"] == "simulated.units"].set_index(["kind", "layer"])["raw"]
    for layer in layers:
        equal = with_spectrum_of(layers[layer], others[layer])
        assert equal.effective_dimensionality == pytest.approx(others[layer].effective_dimensionality, rel=0.02)
        expected = metric.aggregate(metric.score(equal, benchmark.data))[0]
        assert rows[analysis.SPECTRUM, layer] == pytest.approx(expected, abs=1e-9)
    assert (rows["4"] < rows[analysis.SPECTRUM]).any()


def test_coarse_stimuli_are_the_reduced_images(models):
    model = models.trained(Entry("backprop", 0)).model()
    stimuli = models.benchmarks["simulated.units"].stimuli
    reduced = {i: stimuli.open(i).resize((4, 4), Image.Resampling.BICUBIC) for i in stimuli.ids}
    assert reduced[stimuli.ids[0]].size == (4, 4)
    found = analysis._seeing(model, 4)(stimuli)
    expected = probe(model, StimulusSet("reduced", stimuli.ids, reduced.__getitem__))
    own = probe(model, stimuli)
    for layer in own:
        np.testing.assert_allclose(found[layer].gram, expected[layer].gram)
        assert not np.allclose(found[layer].gram, own[layer].gram)


def test_the_small_version_has_every_number(dataset):
    rules = ["feedback_alignment", "node_perturbation"]
    part = dataset.sel(data="digits", rule=rules)
    for name in ("difference", "low", "high", "p", "q", "q_of_t", "effect"):
        assert part[name].notnull().all(), name
    assert part["accuracy"].sel(matching=analysis.ACCURACY).notnull().all()
    assert part["along"].notnull().all()
    assert part.sizes["checkpoint"] == 3
    assert part["at_pixels"].notnull().all()
    assert dataset["score"].sel(model=["backprop", "untrained", "pixels"]).notnull().all()
    assert (part["low"] <= part["difference"]).all()


def test_where_no_resolution_was_swept_the_other_figures_are_there(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(analysis, "compute", lambda *_, **__: dataset.assign(at_pixels=dataset["at_pixels"] * np.nan))
    made = {path.name for path in analysis.main(tmp_path, quick=True) if path.suffix == ".png"}
    assert made == {"rules_vs_brain.png", "rules_vs_brain_scores.png", "rules_vs_brain_learning.png"}


def test_files_and_words(paths, dataset):
    names = {path.name for path in paths}
    assert {f"rules_vs_brain{kind}.png" for kind in ("", "_scores", "_learning", "_resolution")} <= names
    contrasts = pd.read_csv(next(path for path in paths if path.name == "rules_vs_brain_contrasts.csv"))
    assert set(contrasts["matching"]) == {analysis.RAW, analysis.ACCURACY, analysis.SPECTRUM}
    told = "\n".join(words(dataset))
    value = float(dataset["score"].sel(data="digits", benchmark="simulated.units", model="backprop"))
    assert f"simulated.units: backprop {value:.3f}" in told
    sure = dataset.assign(q_of_t=dataset["q_of_t"] * 0, difference=-abs(dataset["difference"]) - 1)
    assert "as they are: 2 below, 0 above" in "\n".join(words(sure))
