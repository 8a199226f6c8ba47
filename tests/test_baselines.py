"""Models that are no networks, against images whose values are known, published RDMs, and the RDMs they stand for."""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from problems import benchmark, images, rdms, responses
from scipy.io import loadmat
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr

import data_loaders
from data_loaders import cichy2014, kriegeskorte2008
from neurocompare.assembly import average_repetitions
from neurocompare.baselines import BASELINES, category_labels, luminance, region, silhouette
from neurocompare.errors import InputError
from neurocompare.hmax import hmax_c2
from neurocompare.metrics.rsa import correlation_distance, squared_euclidean_distance
from neurocompare.model import Given, Model
from neurocompare.probe import probe
from neurocompare.stimuli import StimulusSet


def stimuli(**content):
    pictures = {name: Image.fromarray(np.asarray(x, np.uint8)) for name, x in content.items()}
    return StimulusSet("pictures", tuple(pictures), pictures.__getitem__)


def only(representations):
    (found,) = representations.values()
    return found


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """The folder of Kriegeskorte et al. 2008 in the mirror that the environment names; the cache is empty."""
    folder = Path(os.environ.get("NEUROCOMPARE_MIRROR", "")) / "kriegeskorte2008"
    if not folder.is_dir():
        pytest.skip("NEUROCOMPARE_MIRROR names no folder that holds the real data")
    monkeypatch.setenv("NEUROCOMPARE_CACHE", str(tmp_path / "cache"))
    return folder


def tau_a(a, b):
    """Concordant less discordant pairs over all pairs, counted."""
    signs = (np.sign(a[i] - a[:i]) @ np.sign(b[i] - b[:i]) for i in range(len(a)))
    return sum(signs) / (len(a) * (len(a) - 1) / 2)


def scores(model):
    """Tau-a with human IT (mean over subjects), with the human group average, and with monkey IT."""
    model_rdm = correlation_distance(only(probe(model, kriegeskorte2008.load_stimuli())))
    humans, average, monkey = (
        data.values
        for data in (
            kriegeskorte2008.load_human_it().data,
            kriegeskorte2008.human_it_group_average(),
            kriegeskorte2008.load_monkey_it().data,
        )
    )
    return [np.mean([tau_a(model_rdm, row) for row in rows]) for rows in (humans, average, monkey)]


# --- luminance ---


def test_luminance_of_known_colours():
    """Half of the code values is 21.4 % of the light; green weighs more than red, and red more than blue (Rec. 709)."""
    flat = {"black": (0, 0, 0), "white": (255,) * 3, "grey": (128,) * 3}
    flat |= {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "dark": (2, 2, 2)}
    found = only(probe(luminance(), stimuli(**{name: np.full((3, 4, 3), colour) for name, colour in flat.items()})))
    expected = [0, 1, 0.21586, 0.2126, 0.7152, 0.0722, 2 / 255 / 12.92]
    assert found.layer == "luminance"
    assert found.n_features == 1
    np.testing.assert_allclose(found.sums, expected, atol=1e-5)
    np.testing.assert_allclose(np.diagonal(found.gram), np.square(expected), atol=1e-5)


def test_luminance_is_the_mean_of_light_not_of_codes():
    half = np.zeros((2, 2, 3))
    half[0] = 255
    assert only(probe(luminance(), stimuli(half=half))).sums[0] == pytest.approx(0.5)


def test_a_broken_file_is_named():
    broken = StimulusSet("set", ("bad",), lambda i: Image.open(io.BytesIO(b"no image")))
    for model in (luminance(), silhouette()):
        with pytest.raises(InputError, match="'bad' of 'set' cannot be decoded"):
            probe(model, broken)


# --- silhouette ---


def ring(side=9, background=128):
    """A coloured ring around a hole through which the background shows, and the mask by hand."""
    x = np.full((side, side, 3), background)
    mask = np.zeros((side, side), bool)
    mask[2:7, 2:7] = True
    mask[4, 4] = False
    x[mask] = (128, 128, 129)  # differs in one channel, by one
    return x, mask


def gram_of(mask):
    return float(np.square(mask.astype(float)).sum())


def test_a_silhouette_is_what_differs_from_the_background_and_holes_are_not_figure():
    x, mask = ring()
    other = np.full((9, 9, 3), 200)
    other[:5, :3] = 7  # covers a corner, and part of the border
    other_mask = (other != 200).any(-1)
    found = only(probe(silhouette(), stimuli(ring=x, corner=other)))
    assert found.layer == "silhouette"
    assert found.n_features == 81
    np.testing.assert_array_equal(found.sums, [24, 15])
    np.testing.assert_array_equal(found.gram, [[24, (mask & other_mask).sum()], [(mask & other_mask).sum(), 15]])


def test_a_silhouette_of_another_size_is_binary():
    """3 x 3 pixels become one: figure where half or more of them are."""
    x, mask = ring()
    found = only(probe(silhouette(side=3), stimuli(ring=x)))
    coarse = mask.reshape(3, 3, 3, 3).mean((1, 3)) >= 0.5
    assert found.n_features == 9
    assert found.sums[0] == found.gram[0, 0] == coarse.sum()


def test_no_background_is_named():
    x, _ = ring()
    with pytest.raises(InputError, match=r"needs images on a uniform background.*'s000' of 'random images'"):
        probe(silhouette(), images())
    torn = x.copy()
    torn[:5] = np.random.default_rng(0).integers(0, 100, (5, 9, 3))
    torn[5:, 0] = 3
    with pytest.raises(
        InputError, match=r"needs .* half of the border or more .*'torn' of 'pictures' has .* choose other"
    ):
        probe(silhouette(), stimuli(ring=x, torn=torn))


@pytest.mark.parametrize("turn", range(4))
def test_all_four_borders_count(turn):
    """Of 32 border pixels the figure may cover 16: the top row and, of the 7 others on one side, all; not one more."""
    x = np.full((9, 9, 3), 128)
    x[0] = 10 * np.arange(9)[:, None]  # no colour of the figure is as common as the ground
    x[1:8, 0] = 7
    assert only(probe(silhouette(), stimuli(x=np.rot90(x, turn)))).sums[0] == 16
    x[8, 0] = 7
    with pytest.raises(InputError, match="'x' of 'pictures' has 47% of its border"):
        probe(silhouette(), stimuli(x=np.rot90(x, turn)))


def test_lossy_backgrounds_get_a_tolerance():
    """Where one image of a set shows that the set was stored with loss, no image is cut at exact equality."""
    rng = np.random.default_rng(0)
    clean, mask = ring()
    clean[mask] = 250
    clean[1, 1] = 128 + 6
    lossy = np.full((9, 9, 3), 255) - rng.integers(0, 7, (9, 9, 3))
    lossy[3:6, 3:6] = 100
    both = stimuli(clean=clean, lossy=lossy)
    np.testing.assert_array_equal(only(probe(silhouette(), both)).sums, [24, 9])
    np.testing.assert_array_equal(only(probe(silhouette(tolerance=8), both)).sums, [24, 9])
    np.testing.assert_array_equal(only(probe(silhouette(), stimuli(clean=clean))).sums, [25])
    with pytest.raises(InputError, match=r"tolerance of 0.*'lossy'"):
        probe(silhouette(tolerance=0), both)


def test_silhouettes_of_many_sizes_need_a_side():
    both = stimuli(small=ring(9)[0], large=ring(12)[0])
    with pytest.raises(InputError, match=r"'large' has 12 x 12 pixels and 'small' 9 x 9; give a side"):
        probe(silhouette(), both)
    assert only(probe(silhouette(side=6), both)).n_features == 36


def test_silhouettes_of_the_92_images(mirror):
    """As published with the images, and so as the mirror's notes have them."""
    published = {
        str(record["name"].item()): record["RDM"] for record in loadmat(mirror / "92_modelRDMs.mat")["Models"].ravel()
    }
    found = correlation_distance(only(probe(silhouette(), kriegeskorte2008.load_stimuli())))
    np.testing.assert_allclose(found, squareform(published["Silhouette"], checks=False), atol=1e-9)
    assert scores(silhouette()) == pytest.approx([0.065, 0.084, 0.168], abs=5e-4)


def test_silhouettes_of_the_same_objects_on_white_jpegs(mirror):
    """The tolerance for lossy images was chosen so: masks that agree, not brains."""
    grey, white = (
        only(probe(silhouette(), load())) for load in (kriegeskorte2008.load_stimuli, cichy2014.load_stimuli)
    )
    assert np.median(white.sums / grey.sums) == pytest.approx(1, abs=0.05)
    assert spearmanr(correlation_distance(grey), correlation_distance(white))[0] > 0.95


# --- labels ---


def labelled(n=6):
    table = pd.DataFrame(
        {"animate": [True, False] * 3, "kind": ["face", "tool", "body", "tool", "face", "plant"], "same": ["x"] * n},
        index=[f"s{i:03d}" for i in range(n)],
    )
    return dataclasses.replace(images(n), table=table)


def test_labels_are_one_hot():
    found = probe(category_labels(("animate", "kind")), labelled())
    assert list(found) == ["animate+kind"]
    one_hot = pd.get_dummies(labelled().table[["animate", "kind"]].astype(str)).to_numpy(float)
    assert only(found).n_features == one_hot.shape[1] == 6
    np.testing.assert_array_equal(only(found).gram, one_hot @ one_hot.T)
    np.testing.assert_array_equal(only(found).sums, 2)


def test_one_flag_is_one_distance():
    found = correlation_distance(only(probe(category_labels(("animate",)), labelled())))
    np.testing.assert_allclose(found, 2 * pdist(labelled().table[["animate"]].to_numpy(float)), atol=1e-12)


def test_rows_of_the_table_are_found_by_id():
    shuffled = dataclasses.replace(labelled(), table=labelled().table.iloc[::-1])
    model = category_labels(("kind",))
    np.testing.assert_array_equal(only(probe(model, shuffled)).gram, only(probe(model, labelled())).gram)


def test_labels_that_are_not_there():
    with pytest.raises(InputError, match=r"labels need the columns 'colour'.*has the columns animate, kind, same"):
        probe(category_labels(("kind", "colour")), labelled())
    with pytest.raises(InputError, match="has no columns"):
        probe(category_labels(("kind",)), images())
    with pytest.raises(InputError, match=r"column 'same' .*is 'x' for all 6"):
        probe(category_labels(("same",)), labelled())
    with pytest.raises(InputError, match="one column or more"):
        category_labels(())
    with pytest.raises(InputError, match="a sequence of columns, but got 'kind'"):
        category_labels("kind")
    gap = labelled()
    gap.table.loc["s003", "kind"] = None
    with pytest.raises(InputError, match=r"column 'kind' .*no label for 's003'"):
        probe(category_labels(("kind",)), gap)
    short = dataclasses.replace(labelled(), table=labelled().table.drop("s002"))
    with pytest.raises(InputError, match=r"column 'kind' .*no label for 's002'"):
        probe(category_labels(("kind",)), short)


def test_animacy_of_the_92_images(mirror):
    assert scores(category_labels(("animate",))) == pytest.approx([0.223, 0.340, 0.262], abs=5e-4)


# --- another region as the model ---


def test_a_region_of_responses_is_its_mean_responses():
    source = benchmark(responses(), "ridge")
    found = region(source).represent(images(40))
    assert list(found) == ["area"]
    mean = average_repetitions(source.data).values
    np.testing.assert_allclose(only(found).gram, mean @ mean.T)
    np.testing.assert_allclose(only(found).sums, mean.sum(1))
    assert only(found).n_features == 6
    assert region(source).name == source.name


@pytest.mark.parametrize("measure", ["1 - Pearson r", "1 - correlation"])
def test_a_region_of_correlation_distances_gives_them_back(measure):
    """With the mean over subjects, too: the mean of correlations is that of patterns laid side by side."""
    rng = np.random.default_rng(0)
    patterns = rng.standard_normal((3, 40, 15))
    values = np.stack([pdist(x, "correlation") for x in patterns])
    data = rdms(40, 3).copy(data=values).assign_attrs(units=measure)
    found = region(benchmark(data, "rsa_tau_a")).represent(images(40))
    assert list(found) == ["A", "B", "C", "mean"]
    for layer, expected in zip(found.values(), [*values, values.mean(0)], strict=True):
        np.testing.assert_allclose(correlation_distance(layer), expected, atol=1e-12)
        assert layer.n_features > 1
    standard = (patterns - patterns.mean(2, keepdims=True)) / patterns.std(2, keepdims=True) / np.sqrt(15)
    np.testing.assert_allclose(found["B"].gram, standard[1] @ standard[1].T, atol=1e-12)
    joined = np.concatenate(standard, 1)
    np.testing.assert_allclose(found["mean"].gram, joined @ joined.T / 3, atol=1e-12)


def test_a_region_of_squared_distances_gives_them_back():
    x = np.random.default_rng(0).standard_normal((2, 40, 9)) + 3
    values = np.stack([pdist(subject, "sqeuclidean") for subject in x])
    data = rdms(40, 2).copy(data=values).assign_attrs(units="squared euclidean")
    found = region(benchmark(data, "rsa_tau_a")).represent(images(40))
    for layer, expected in zip(found.values(), [*values, values.mean(0)], strict=True):
        np.testing.assert_allclose(squared_euclidean_distance(layer), expected, rtol=1e-9)
    centred = x[0] - x[0].mean(0)
    scale = found["A"].n_features
    np.testing.assert_allclose(found["A"].gram / scale, centred @ centred.T, atol=1e-9)


def test_one_subject_needs_no_mean():
    data = rdms(40, 1).assign_attrs(units="1 - Pearson r")
    assert list(region(benchmark(data, "rsa_tau_a")).represent(images(40))) == ["A"]


def test_a_region_in_the_order_asked_for():
    data = rdms().assign_attrs(units="1 - Pearson r")
    model = region(benchmark(data, "rsa_tau_a"))
    some = StimulusSet("some", ("s009", "s002", "s030"), images(40).open)
    found = model.represent(some)["B"]
    assert found.ids == some.ids
    square = squareform(data.sel(subject="B").values)[np.ix_([9, 2, 30], [9, 2, 30])]
    np.testing.assert_allclose(correlation_distance(found), squareform(square))


def test_what_a_region_cannot_do():
    data = rdms().assign_attrs(units="1 - Pearson r")
    model = region(benchmark(data, "rsa_tau_a"))
    more = StimulusSet("more", ("s001", "t001", "t002"), images(40).open)
    with pytest.raises(
        InputError, match=r"'simulated.area' knows 40 stimuli, but 2 of 'more' are others \(first: 't001'\)"
    ):
        probe(model, more)
    with pytest.raises(
        InputError, match=r"'simulated' .*simulated.area.*: 1 - Pearson r, 1 - correlation, squared euclid"
    ):
        region(benchmark(rdms(), "rsa_tau_a"))


def test_regions_with_other_data_are_other_models():
    described = [
        region(benchmark(rdms(seed=seed).assign_attrs(units="1 - Pearson r"), "rsa_tau_a")).describe()
        for seed in (0, 1)
    ]
    assert described[0] != described[1]
    assert described[0]["model"] == "simulated.area"


@pytest.mark.parametrize("name", ["kriegeskorte2008.hIT", "kriegeskorte2008.mIT", "cichy2014.EVC", "cichy2014.IT"])
def test_the_recorded_regions_give_their_rdms_back(mirror, name):
    source = data_loaders.load_benchmark(name)
    found = region(source).represent(source.stimuli)
    for subject in source.data["subject"].values:
        np.testing.assert_allclose(
            correlation_distance(found[str(subject)]), source.data.sel(subject=subject).values, atol=1e-9
        )
        assert np.linalg.eigvalsh(found[str(subject)].gram).min() > 0, "some patterns have these correlations"


# --- all of them ---


def test_the_baselines_need_nothing_but_a_seed():
    of_images = ["luminance", "silhouette", "gabor_v1", "hmax_c2", "random_filters"]
    assert list(BASELINES) == [*of_images, "cochleagram_mean", "spectrotemporal"]
    for name, make in BASELINES.items():
        model = make()
        assert isinstance(model, Model | Given)
        assert model.name == name == make.__name__
        line = make.__doc__.strip().splitlines()[0]
        assert line.endswith(".")
        assert len(line) < 120
    for name in ("hmax_c2", "random_filters"):
        assert BASELINES[name](3).seed == 3


def test_settings_identify_a_given_model():
    models = [luminance(), silhouette(), silhouette(side=3), silhouette(tolerance=2)]
    models += [category_labels(("a",)), category_labels(("a", "b"))]
    described = [str(model.describe()) for model in models]
    assert len(set(described)) == len(described)


def test_c2_agrees_with_the_published_c2_of_the_92_images(mirror):
    """Kriegeskorte et al. 2008 used the authors' own software and patches of other photographs."""
    published = loadmat(mirror / "rdm92_HMAXnatImPatch.mat")["rdm92_HMAXnatImPatch"]
    found = probe(hmax_c2(n_patches=100), kriegeskorte2008.load_stimuli(), ["c2"])["c2"]
    assert spearmanr(correlation_distance(found), squareform(published, checks=False))[0] > 0.75
