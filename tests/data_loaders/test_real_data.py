"""Facts of the real recordings, measured before the loaders were written; needs a mirror that holds them.

The digits compared with are those published with the mirror, to the three decimals given.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import kendalltau, spearmanr

import data_loaders
from data_loaders import cichy2014, cowley2023, inventory, kriegeskorte2008
from data_loaders._files import locate
from neurocompare.assembly import average_repetitions

pytestmark = pytest.mark.usefixtures("real_mirror")


def spearman(a, b) -> float:
    return spearmanr(np.ravel(a), np.ravel(b))[0]


def tau_a(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-a, from scipy's tau-b by undoing its correction for ties."""
    pairs = len(a) * (len(a) - 1) / 2
    untied = [pairs - sum(n * (n - 1) / 2 for n in np.unique(x, return_counts=True)[1]) for x in (a, b)]
    return kendalltau(a, b)[0] * np.sqrt(untied[0] * untied[1]) / pairs


@pytest.fixture
def monkey():
    return data_loaders.load_benchmark("kriegeskorte2008.mIT").data.values[0]


@pytest.fixture
def human():
    return kriegeskorte2008.human_it_group_average().values[0]


@pytest.fixture
def cichy_it():
    return data_loaders.load_benchmark("cichy2014.IT").data.values.mean(0)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("kriegeskorte2008.hIT", {"subject": 4, "pair": 4186}),
        ("kriegeskorte2008.mIT", {"subject": 1, "pair": 4186}),
        ("cichy2014.EVC", {"subject": 15, "pair": 4186}),
        ("cichy2014.IT", {"subject": 15, "pair": 4186}),
        ("cowley2023.V4", {"presentation": 4840, "neuroid": 50}),
    ],
)
def test_shapes(name, sizes):
    benchmark = data_loaders.load_benchmark(name)
    assert benchmark.name == name
    assert dict(benchmark.data.sizes) == sizes
    side = 112 if name.startswith("cowley") else 175
    assert {benchmark.stimuli.open(i).size for i in benchmark.stimuli.ids} == {(side, side)}
    assert {benchmark.stimuli.open(i).mode for i in benchmark.stimuli.ids} == {"RGB"}


def test_the_mean_of_the_human_it_rdms_is_the_published_average(human):
    subjects = data_loaders.load_benchmark("kriegeskorte2008.hIT").data
    assert subjects["subject"].values.tolist() == ["BE", "KO", "SN", "TI"]
    assert spearman(subjects.mean("subject"), human) == pytest.approx(1.000, abs=5e-4)


def test_human_it_against_monkey_it(human, monkey):
    assert spearman(human, monkey) == pytest.approx(0.439, abs=5e-4)


def test_cichy_it_against_both_its(cichy_it, human, monkey):
    assert spearman(cichy_it, human) == pytest.approx(0.557, abs=5e-4)
    assert spearman(cichy_it, monkey) == pytest.approx(0.486, abs=5e-4)


def test_animacy_against_both_its(human, monkey):
    animate = kriegeskorte2008.load_stimuli().table["animate"].to_numpy(float)
    model = pdist(animate[:, None])
    assert tau_a(model, monkey) == pytest.approx(0.262, abs=5e-4)
    assert tau_a(model, human) == pytest.approx(0.340, abs=5e-4)


def test_tau_a_counts_pairs():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 30), rng.random(30)
    signs = [np.sign(np.subtract.outer(x, x))[np.triu_indices(30, 1)] for x in (a, b)]
    assert tau_a(a, b) == pytest.approx(np.mean(signs[0] * signs[1]))


def test_the_categories_nest_as_their_names_say():
    table = kriegeskorte2008.load_stimuli().table
    assert (table["animate"] == ~table["inanimate"]).all()
    assert (table["animate"] == (table["human"] | table["nonhuman_animal"])).all()
    assert (table["animate"] == (table["face"] | table["body"])).all()
    assert (table["inanimate"] == (table["natural_object"] | table["artificial_object"])).all()
    assert (table["natural"] == ~table["artificial_object"]).all()
    words = table["category"].str
    assert (table["face"] == words.contains("face")).all()
    assert (table["human"] == words.startswith("human")).all()
    assert table["animate"].sum() == 48


def test_the_92_objects_are_in_the_same_order_and_upright_in_both_sets():
    """Correlates the two sets over grey pixels, backgrounds masked: each image is most like its own namesake."""
    sets = [kriegeskorte2008.load_stimuli(), cichy2014.load_stimuli()]
    assert sets[0].ids == sets[1].ids
    assert sets[0].name != sets[1].name
    pixels = [np.stack([np.asarray(s.open(i), float) for i in s.ids]) for s in sets]
    flat = []
    for images, background in zip(pixels, (128, 255), strict=True):
        images[np.abs(images - background).max(-1) < 12] = 0
        flat.append(images.reshape(92, -1) - images.reshape(92, -1).mean(1, keepdims=True))
        flat[-1] /= np.linalg.norm(flat[-1], axis=1, keepdims=True)
    likeness = flat[0] @ flat[1].T
    np.testing.assert_array_equal(likeness.argmax(1), np.arange(92))


def test_the_raw_repeats_average_to_the_published_averages():
    benchmark = data_loaders.load_benchmark("cowley2023.V4")
    path = locate(cowley2023.FILES["responses_repeat_averaged/responses_210325.npy"])
    published = np.load(path, allow_pickle=False)
    averaged = average_repetitions(benchmark.data)
    assert tuple(averaged["stimulus_id"].values) == benchmark.stimuli.ids
    np.testing.assert_allclose(averaged.values, published.T, rtol=1e-12)
    counts = np.bincount(np.unique(benchmark.data["stimulus_id"].values, return_counts=True)[1])
    assert counts.tolist() == [0, 0, 0, 0, 0, 0, 36, 261, 294, 45, 4]


def test_split_half_reliability_of_v4():
    data = data_loaders.load_benchmark("cowley2023.V4").data
    rng = np.random.default_rng(0)
    ids = data["stimulus_id"].values
    medians = []
    for _ in range(20):
        order = rng.permutation(len(ids))
        _, first_seen, inverse = np.unique(ids[order], return_index=True, return_inverse=True)
        rank = np.empty(len(ids), int)  # how often the stimulus came before, in the shuffled order
        by_stimulus = np.argsort(inverse, kind="stable")
        starts = np.concatenate([[0], np.cumsum(np.bincount(inverse))[:-1]])
        rank[by_stimulus] = np.arange(len(ids)) - starts[inverse[by_stimulus]]
        halves = [average_repetitions(data[order[rank % 2 == half]]).sortby("stimulus_id").values for half in (0, 1)]
        r = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(halves[0].T, halves[1].T, strict=True)])
        medians.append(np.median(2 * r / (1 + r)))
        assert len(first_seen) == 640
    assert np.mean(medians) == pytest.approx(0.76, abs=0.01)


@pytest.mark.parametrize("session", sorted(cowley2023.ANIMALS))
def test_every_session_of_v4_loads(session):
    neurons, images = {
        "190923": (33, 1200),
        "190929": (33, 1200),
        "201025": (89, 1200),
        "210225": (55, 1200),
        "210305": (70, 400),
        "210322": (59, 1200),
        "210325": (50, 640),
    }[session]
    benchmark = cowley2023.load_cowley2023(session)
    assert len(benchmark.stimuli) == images
    assert benchmark.data.sizes["neuroid"] == neurons
    assert "dropped" not in benchmark.data.attrs


@pytest.mark.slow
def test_cifar10_has_every_class_in_proportion():
    dataset = data_loaders.load_cifar10_jpeg()
    assert dataset.train.inputs.shape == (50_000, 3, 32, 32)
    assert np.bincount(dataset.train.labels).tolist() == [5000] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1000] * 10
    # The original's channel means and deviations, to the accuracy of a JPEG copy.
    np.testing.assert_allclose(dataset.preprocess.mean, (0.4914, 0.4822, 0.4465), atol=1e-3)
    np.testing.assert_allclose(dataset.preprocess.std, (0.2470, 0.2435, 0.2616), atol=3e-3)
    assert np.bincount(dataset.train.labels[:1000], minlength=10).min() > 60, "the first items are a random sample"


def test_every_file_of_the_mirror_is_what_it_should_be():
    states = inventory.verify()
    elsewhere = {state.dataset for state in states if state.place != "mirror"}
    assert elsewhere == {"cadieu2014", "freemanziemba2013", "majaj2015", "tuckute2023"}, (
        "their sources are not in the mirror"
    )
    assert [state.fault for state in states if state.fault] == []
