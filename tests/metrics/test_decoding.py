"""Decoding against scikit-learn on the features themselves; kernel analysis against its definition, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from problems import rdms, responses
from scipy.spatial.distance import cdist
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import PredefinedSplit, StratifiedShuffleSplit, cross_val_predict
from sklearn.svm import LinearSVC

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics.ceiling import FORMULAS
from neurocompare.metrics.decoding import (
    DECODING_METRICS,
    STRENGTHS,
    Decoding,
    KernelAnalysis,
    LinearSVM,
    Logistic,
    balanced_accuracy,
    coordinates,
    dealt,
)
from neurocompare.metrics.kernel_analysis import LeadingComponents, LeaveOneOut, squared_distances, width_of
from neurocompare.metrics.splits import Shuffled
from neurocompare.representation import Representation

N = 60
IDS = [f"s{i:03d}" for i in range(N)]
DECODING = Decoding("decoding", "accuracy")


def labels_of(n=N, kinds=3):
    """Labels of unequal numbers of stimuli: a half, a quarter, a quarter."""
    return np.array(["a", "b", "a", "c"])[np.arange(n) % 4] if kinds == 3 else np.array(["a", "b"])[np.arange(n) % 2]


def labelled(labels, data=None):
    data = responses(len(labels)) if data is None else data
    return assembly.with_stimulus_coord(data, "label", dict(zip(IDS, map(str, labels), strict=False)))


def features(width, labels=None, separation=0.7, seed=0):
    """Skewed features far from zero, some of them shifted by the label."""
    labels = labels_of() if labels is None else labels
    rng = np.random.default_rng(seed)
    x = 5 + rng.standard_normal((len(labels), width)) * (0.5 + rng.gamma(1, size=width))
    means = separation * rng.standard_normal((len(set(labels)), width))
    return x + means[np.unique(labels, return_inverse=True)[1]]


def layer(x, **settings):
    return replace(Representation.from_features("layer", IDS[: len(x)], x), **settings)


ESTIMATORS = {
    "svm": (LinearSVM(), lambda c: LinearSVC(C=c, tol=1e-6, max_iter=5000, random_state=0, dual="auto")),
    "logistic": (Logistic(), lambda c: LogisticRegression(C=c, tol=1e-6, max_iter=5000)),
}


def by_scikit_learn(x, labels, estimator):
    """The same splits and folds on the features themselves, every other step by scikit-learn."""
    scores = []
    for train, test in StratifiedShuffleSplit(10, test_size=0.2, random_state=1).split(x, labels):
        scaled = x - x[train].mean(0)
        scaled /= np.sqrt((scaled[train] ** 2).sum(1).mean())
        fold = PredefinedSplit(dealt(labels[train], train, 3, np.random.default_rng(1)))
        inner = [cross_val_predict(estimator(c), scaled[train], labels[train], cv=fold) for c in STRENGTHS]
        best = STRENGTHS[int(np.argmax([balanced_accuracy_score(labels[train], p) for p in inner]))]
        fitted = estimator(best).fit(scaled[train], labels[train])
        scores.append(balanced_accuracy_score(labels[test], fitted.predict(scaled[test])))
    return scores


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("width", [4, 200])
def test_decoding_is_that_of_scikit_learn_on_the_features(width, name):
    classifier, estimator = ESTIMATORS[name]
    x = features(width, separation=2.5 / width**0.3)
    found = replace(DECODING, classifier=classifier).score(layer(x), labelled(labels_of())).values
    np.testing.assert_allclose(found, by_scikit_learn(x, labels_of(), estimator), atol=1e-12)
    assert 0.4 < found.mean() < 0.99  # neither chance nor trivial


@pytest.mark.parametrize("width", [5, 60, 300])
def test_coordinates_have_the_centred_gram_matrix_and_no_more_columns_than_that_needs(width):
    x = features(width)
    found = coordinates(x @ x.T)
    centred = x - x.mean(0)
    np.testing.assert_allclose(found @ found.T, centred @ centred.T, atol=1e-9 * np.square(centred).sum())
    assert found.shape == (N, min(width, N - 1))


@dataclass(frozen=True)
class Watched:
    """Notes what it is fitted to, and guesses."""

    strengths: tuple[float, ...] = (1.0, 2.0)
    seen: list = field(default_factory=list)

    def __call__(self, x, labels, strength):
        self.seen.append((x, labels))
        return lambda rows: np.repeat(labels[:1], len(rows))


def test_the_penalty_is_chosen_without_the_held_out_stimuli():
    watched = Watched()
    metric = replace(DECODING, classifier=watched, splits=Shuffled(1, test_size=0.2))
    metric.score(layer(features(8)), labelled(labels_of()))
    *inner, (whole, _) = watched.seen
    assert len(inner) == 2 * 3
    assert len(whole) == 48
    rows = {row.tobytes() for row in whole}
    for x, labels in inner:
        assert len(x) == 32
        assert {row.tobytes() for row in x} < rows
        assert sorted(map(labels.tolist().count, "abc")) == [8, 8, 16]


def test_the_penalty_is_that_of_highest_accuracy():
    """A class that lies in a direction of little variance needs a weak penalty; noise in many needs a strong one."""
    labels = labels_of(kinds=2)
    rng = np.random.default_rng(0)
    faint = np.column_stack([100 * rng.standard_normal(N), np.where(labels == "a", 0.0, 1.0)])
    assert DECODING.aggregate(DECODING.score(layer(faint), labelled(labels)))[0] > 0.95
    weak = replace(DECODING, classifier=LinearSVM((1e-3,)))
    assert weak.aggregate(weak.score(layer(faint), labelled(labels)))[0] < 0.8


def test_balanced_accuracy_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels, predicted = rng.choice(list("aaab"), 30), rng.choice(list("abc"), 30)
    labels[:2] = "a", "b"
    with pytest.warns(UserWarning, match="y_pred contains classes"):
        assert balanced_accuracy(labels, predicted) == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert balanced_accuracy(np.array(list("aaab")), np.array(list("aaaa"))) == 0.5


def test_labels_that_have_nothing_to_do_with_the_layer_are_read_at_chance():
    labels = np.random.default_rng(3).permutation(labels_of())
    raw = DECODING.score(layer(features(40, labels, separation=0)), labelled(labels))
    assert raw.attrs["chance"] == pytest.approx(1 / 3)
    assert raw.values.mean() == pytest.approx(1 / 3, abs=0.12)  # 120 held-out guesses that share stimuli


def test_folds_deal_out_each_label_and_keep_equal_contents_together():
    labels = labels_of()
    contents = np.array([f"c{i // 8}-{i % 4}" for i in range(N)])  # i and i + 4 are one picture
    fold = dealt(labels, contents, 3, np.random.default_rng(0))
    for content in set(contents):
        assert len(set(fold[contents == content])) == 1
    alone = dealt(labels, np.array(IDS), 3, np.random.default_rng(0))
    counts = [[np.sum((alone == k) & (labels == label)) for k in range(3)] for label in "abc"]
    assert all(max(row) - min(row) <= 1 for row in counts)


def test_equal_pictures_are_never_on_both_sides():
    """Labels at random but the same for twins, and twins look the same: all there is to learn is which twin it is."""
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.permutation(labels_of(N // 2, kinds=2)), 2)
    x = np.repeat(rng.standard_normal((N // 2, 50)), 2, axis=0)
    data = labelled(labels)
    twins = assembly.with_stimulus_coord(data, "content", {s: f"picture {i // 2}" for i, s in enumerate(IDS)})
    assert DECODING.score(layer(x), data).values.mean() > 0.85
    assert DECODING.score(layer(x), twins).values.mean() < 0.65


def test_a_label_that_a_split_leaves_but_once_to_fit_on_is_no_obstacle():
    labels = np.array(["a"] * 14 + ["b"] * 2)
    raw = DECODING.score(layer(features(6, labels, separation=3)), labelled(labels))
    assert np.isfinite(raw.values).all()


def explicit_curve(x, labels, quantiles):
    """The definition, with every projection written out."""
    distances = cdist(x, x, "sqeuclidean")
    targets = (labels[:, None] == np.unique(labels)) * 2.0 - 1
    targets -= targets.mean(0)
    targets /= targets.std()  # as published: over stimuli and labels together
    n = len(x)
    centring = np.eye(n) - 1 / n
    curves = []
    for quantile in quantiles:
        kernel = centring @ np.exp(-distances / np.sort(distances.ravel())[int(quantile * n * n)]) @ centring
        values, vectors = np.linalg.eigh(kernel)
        curve, predicted = [], np.zeros_like(targets)
        order = np.argsort(-values)
        explained = np.cumsum(values[order] ** 2) / np.sum(values**2)
        for rank, i in enumerate([None, *order]):
            if 0 < rank <= explained.argmax() + 1:  # as published: no more components than the kernel's rank
                predicted = predicted + np.outer(vectors[:, i], vectors[:, i]) @ targets
            curve.append(((targets - predicted) ** 2).mean())
        curves.append(curve)
    return np.min(curves, axis=0)


@pytest.mark.parametrize("width", [3, 100])
def test_the_curve_of_components_is_its_definition(width):
    x, labels = features(width), labels_of()
    found = KernelAnalysis("kernel_analysis", "").errors(layer(x), labels, np.arange(N))
    np.testing.assert_allclose(found, explicit_curve(x, labels, (0.1, 0.5, 0.9)), atol=1e-9)
    assert found[0] == 1
    assert (np.diff(found) < 1e-12).all()


def test_the_score_is_one_less_the_mean_error_of_each_training_set():
    x, labels = features(20), labels_of()
    found = KernelAnalysis("kernel_analysis", "").score(layer(x), labelled(labels)).values
    splits = StratifiedShuffleSplit(10, test_size=0.2, random_state=1).split(x, labels)
    expected = [1 - explicit_curve(x[train], labels[train], (0.1, 0.5, 0.9)).mean() for train, _ in splits]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_leave_one_out_is_n_refits():
    n = 16
    labels = labels_of(n)
    x = features(5, labels)
    curve = LeaveOneOut(widths=(0.3, 2.0), penalties=(1e-3, 0.1, 10.0))
    distances = cdist(x, x, "sqeuclidean")
    median = np.sort(distances.ravel())[n * n // 2] ** 0.5
    targets = (labels[:, None] == np.unique(labels)).astype(float)
    targets -= targets.mean(0)
    expected = []
    for penalty in curve.penalties:
        errors = []
        for factor in curve.widths:
            kernel = np.exp(-distances / (2 * (factor * median) ** 2))
            left = [np.delete(np.arange(n), i) for i in range(n)]
            refits = [
                KernelRidge(alpha=penalty, kernel="precomputed").fit(kernel[np.ix_(k, k)], targets[k]) for k in left
            ]
            predicted = np.array([fit.predict(kernel[i : i + 1, k])[0] for i, (fit, k) in enumerate(zip(refits, left))])  # noqa: B905
            errors.append((((predicted - targets) ** 2).mean(0) / targets.var(0)).mean())
        expected.append(min(errors))
    found = KernelAnalysis("x", "", curve=curve).errors(layer(x), labels, np.arange(n))
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_kernel_analysis_of_noise_and_of_the_labels_themselves():
    one_hot = (labels_of()[:, None] == np.unique(labels_of())).astype(float)
    for curve, noise in ((LeadingComponents(), 0.5), (LeaveOneOut(), 0.0)):
        metric = KernelAnalysis("kernel_analysis", "", curve=curve)
        unrelated, perfect = (
            metric.aggregate(metric.score(layer(x), labelled(labels_of())))[0]
            for x in (features(100, separation=0), one_hot)
        )
        assert unrelated == pytest.approx(noise, abs=0.08)
        assert perfect > 0.75


def test_equal_eigenvalues_have_no_order():
    """A layer of ten kinds alike, two to each label: nine directions are one eigenspace, whose basis is arbitrary."""
    kinds = np.arange(N) % 10
    x, targets = np.eye(10)[kinds], np.eye(5)[kinds // 2] - 1 / 5
    errors = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(N)
        distances = squared_distances(x[order] @ x[order].T)
        errors.append(LeadingComponents()(distances, targets[order], width_of(distances)))
    np.testing.assert_allclose(errors, np.tile(errors[0], (5, 1)), atol=1e-12)
    np.testing.assert_allclose(errors[0][:11], [*(1 - np.arange(10) / 9), 0], atol=1e-12)


def test_stimuli_that_a_layer_takes_for_one_are_no_distance_apart():
    """Far from zero, what is left of the distance between equal rows is rounding, and no scale for a kernel."""
    patterns = 1000 + np.random.default_rng(0).standard_normal((4, 30))
    x = patterns[np.arange(N) % 4]
    distances = squared_distances(x @ x.T)
    np.testing.assert_allclose(distances, cdist(x, x, "sqeuclidean"), rtol=1e-5)
    assert width_of(distances)(0.1) == pytest.approx(
        cdist(patterns, patterns, "sqeuclidean")[~np.eye(4, dtype=bool)].min()
    )


def test_a_width_is_never_zero():
    distances = squared_distances(np.diag([1.0, 1, 1, 4])[[0, 0, 0, 3]][:, [0, 0, 0, 3]])
    assert width_of(distances)(0.1) == pytest.approx(5)
    assert width_of(np.zeros((3, 3)))(0.5) == 1


@pytest.mark.parametrize("curve", [LeadingComponents(), LeaveOneOut()], ids=["components", "leave one out"])
def test_on_torch_it_is_the_same(curve):
    metric = KernelAnalysis("kernel_analysis", "", curve=curve, splits=Shuffled(2, test_size=0.2))
    x, data = features(20), labelled(labels_of())
    there = metric.score(layer(x, device="cpu:0"), data)
    np.testing.assert_allclose(there.values, metric.score(layer(x), data).values, rtol=1e-9)


@pytest.mark.parametrize("metric", DECODING_METRICS, ids=lambda metric: metric.name)
def test_of_the_data_only_stimuli_and_labels_count(metric):
    x, labels = features(20), labels_of()
    expected = metric.score(layer(x), labelled(labels)).values
    assert expected.shape == (10,)
    backwards = labelled(labels).isel(presentation=slice(None, None, -1))
    for data in (labelled(labels, rdms(N)), labelled(labels, responses(N, 3, 1, seed=7)), backwards):
        np.testing.assert_array_equal(metric.score(layer(x), data).values, expected)
    other = np.random.default_rng(0).permutation(labels)
    assert not np.allclose(metric.score(layer(x), labelled(other)).values, expected, atol=1e-3)


@pytest.mark.parametrize("metric", DECODING_METRICS, ids=lambda metric: metric.name)
def test_there_is_no_ceiling_and_so_nothing_normalized(metric):
    ceiling = metric.ceiling(labelled(labels_of()))
    assert ceiling.method.startswith("not estimable: labels are read")
    assert "baselines.region" in ceiling.method
    assert metric.formula in FORMULAS
    raw = metric.score(layer(features(20)), labelled(labels_of()))
    assert np.isnan(metric.normalize(raw, ceiling))
    value, error = metric.aggregate(raw)
    assert value == pytest.approx(raw.values.mean())
    assert error == pytest.approx(raw.values.std(ddof=1) / 10**0.5)


@pytest.mark.parametrize("metric", DECODING_METRICS, ids=lambda metric: metric.name)
def test_data_without_labels_to_tell_apart_are_refused(metric):
    x = layer(features(20))
    with pytest.raises(InputError, match=rf"{metric.name} reads the stimuli's labels, .* \(coord 'label'\); add them"):
        metric.score(x, responses(N))
    with pytest.raises(InputError, match=r"needs two labels or more, .* of 60 stimuli only 'a'"):
        metric.score(x, labelled(["a"] * N))
    with pytest.raises(InputError, match=r"two stimuli or more each, but of 60 stimuli 'b' is that of a single one"):
        metric.score(x, labelled(["a"] * (N - 1) + ["b"]))
