"""How well the stimuli's labels can be read from a layer; the neural data only say which stimuli, and what they are.

``Decoding`` reads them with a linear classifier, judged on stimuli that it was not fitted on (Cadieu et al. 2014, PLOS
Comput. Biol. 10:e1003963, Fig. 5). ``KernelAnalysis`` asks how complex a reading must be to be right: the error of
regressing labels on Gaussian kernels against the complexity allowed (Montavon, Braun & Müller 2011, JMLR 12:2563).
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import xarray as xr
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics.base import Ceiling, check_varies, no_ceiling, standard_error
from neurocompare.metrics.ceiling import by_formula
from neurocompare.metrics.device import on_device
from neurocompare.metrics.kernel_analysis import Curve, LeadingComponents, LeaveOneOut, squared_distances, width_of
from neurocompare.metrics.splits import Shuffled, Splitter
from neurocompare.representation import Representation, double_centred

STRENGTHS = tuple(np.logspace(-3, 3, 7).tolist())


def labelled_stimuli(name: str, data: xr.DataArray) -> xr.DataArray:
    """The data's stimuli in the order of their ids, with ``label`` and, where known, ``content``, as splits take them.

    Args:
        name: of the metric, for errors.
        data: responses or RDMs.
    Returns:
        ``presentation x neuroid`` of zeros, one presentation per stimulus and one neuroid.
    Raises:
        InputError: stimuli have no labels, or all one, or a label is that of a single stimulus.
    """
    known = {coord: assembly.stimulus_coord(data, coord) for coord in ("label", "content")}
    labels = known["label"]
    if labels is None:
        raise InputError(
            f"{name} reads the stimuli's labels, but these data come without (coord 'label'); add them with "
            "assembly.with_stimulus_coord, or choose a metric that needs none"
        )
    (rarest, number), n_labels = min(Counter(labels).items(), key=lambda item: item[1]), len(set(labels))
    if n_labels < 2 or number < 2:
        found = f"only {rarest!r}" if n_labels < 2 else f"{rarest!r} is that of a single one"
        raise InputError(
            f"{name} needs two labels or more, of two stimuli or more each, but of {len(labels)} stimuli {found}"
        )
    ids = np.asarray(assembly.stimulus_ids(data))
    order = np.argsort(ids)
    coords = {coord: ("presentation", np.asarray(value)[order]) for coord, value in known.items() if value is not None}
    coords["stimulus_id"] = ("presentation", ids[order])
    return xr.DataArray(np.zeros((len(ids), 1)), dims=("presentation", "neuroid"), coords=coords)


@dataclass(frozen=True)
class LabelMetric(ABC):
    """Reads labels: a score for each split of the stimuli, the mean over splits, and no noise ceiling.

    Attributes:
        splits: of the stimuli, taken in the order of their ids.
    """

    name: str
    label: str
    splits: Splitter = field(default=Shuffled(test_size=0.2))
    formula: str = "r_over_ceiling"
    needs_features: bool = False

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """One score for each split, ``(split,)``.

        Raises:
            InputError: as ``labelled_stimuli``; there are too few stimuli, or the layer does not vary over them.
        """
        stimuli = labelled_stimuli(self.name, data)
        selected = representation.select([str(s) for s in stimuli["stimulus_id"].values])
        check_varies(selected)
        return xr.DataArray(self.of_splits(selected, stimuli), dims=("split",))

    @abstractmethod
    def of_splits(self, representation: Representation, stimuli: xr.DataArray) -> list[float]:
        """The score of each split of the stimuli, which are the representation's."""

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """The mean over splits, and its standard error."""
        return float(raw.mean()), standard_error(raw.values)

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """None: no neural response is predicted."""
        return no_ceiling(
            "labels are read, not neural data, so their noise sets no limit; score the region as a model "
            "(baselines.region) to see how well it can be read"
        )

    def normalize(self, raw: xr.DataArray, ceiling: Ceiling) -> float:
        """By the formula; NaN."""
        return by_formula(self, raw, ceiling)


class Classifier(Protocol):
    """A linear classifier.

    Attributes:
        strengths: candidates for the factor of the loss, beside the penalty ``|w|^2 / 2``; the larger, the less penalty.
    """

    @property
    def strengths(self) -> tuple[float, ...]: ...

    def __call__(self, x: np.ndarray, labels: np.ndarray, strength: float) -> Callable[[np.ndarray], np.ndarray]:
        """Fit to ``x``, ``(stimuli, features)``, and return what predicts labels."""
        ...


@dataclass(frozen=True)
class LinearSVM:
    """Support vector machine: squared hinge loss, each label against the rest, the intercept penalised like a weight."""

    strengths: tuple[float, ...] = STRENGTHS

    def __call__(self, x: np.ndarray, labels: np.ndarray, strength: float) -> Callable[[np.ndarray], np.ndarray]:
        machine = LinearSVC(C=strength, dual="auto", tol=1e-6, max_iter=5000, random_state=0)
        with warnings.catch_warnings():  # a candidate that takes longer is judged as it is then
            warnings.simplefilter("ignore", ConvergenceWarning)
            return machine.fit(x, labels).predict


@dataclass(frozen=True)
class Logistic:
    """Multinomial logistic regression, the intercept free."""

    strengths: tuple[float, ...] = STRENGTHS

    def __call__(self, x: np.ndarray, labels: np.ndarray, strength: float) -> Callable[[np.ndarray], np.ndarray]:
        return LogisticRegression(C=strength, tol=1e-6, max_iter=5000).fit(x, labels).predict


@dataclass(frozen=True)
class Decoding(LabelMetric):
    """Held-out accuracy of a linear classifier, whose penalty is chosen within the training stimuli.

    Cadieu et al. 2014 trained linear SVMs on 80 % of the images and tested on 20 %, ten times over, with regularisation
    estimated from the training set; more is not in their text. Here splits are stratified, the penalty is that of
    highest accuracy in cross-validation (the strongest of several), and the accuracy is balanced: the share of right
    answers for each label, averaged over labels, which is plain accuracy where labels are equally common, as theirs are.
    Chance is one over the number of labels.

    Features are centred on the training stimuli and divided by one number, the root of the mean squared length of their
    patterns, so that the penalties mean the same for any layer. A linear classifier sees features through the Gram
    matrix alone, so it gets coordinates with the same Gram matrix in their place, no more than there are stimuli.

    Attributes:
        classifier: how.
        folds: of the cross-validation.
        seed: of the folds.
    """

    classifier: Classifier = field(default=LinearSVM())
    folds: int = 3
    seed: int = 1

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """Balanced accuracy, ``(split,)``; chance is in ``attrs["chance"]``."""
        raw = super().score(representation, data)
        return raw.assign_attrs(chance=1 / len(set(assembly.stimulus_coord(data, "label") or [])))

    def of_splits(self, representation: Representation, stimuli: xr.DataArray) -> list[float]:
        """The balanced accuracy on the stimuli that each split holds out."""
        axes, labels = coordinates(representation.gram), stimuli["label"].values
        contents = stimuli["content" if "content" in stimuli.coords else "stimulus_id"].values
        values = []
        for train, test in self.splits(stimuli):
            x = on_unit_scale(axes, train)
            strength = self._strength(x[train], labels[train], contents[train])
            values.append(balanced_accuracy(labels[test], self._fitted(x[train], labels[train], strength)(x[test])))
        return values

    def _strength(self, x: np.ndarray, labels: np.ndarray, contents: np.ndarray) -> float:
        fold = dealt(labels, contents, self.folds, np.random.default_rng(self.seed))
        accuracies = []
        for strength in self.classifier.strengths:
            predicted = np.empty_like(labels)
            for held_out in (fold == number for number in range(self.folds)):
                predicted[held_out] = self._fitted(x[~held_out], labels[~held_out], strength)(x[held_out])
            accuracies.append(balanced_accuracy(labels, predicted))
        return self.classifier.strengths[int(np.argmax(accuracies))]

    def _fitted(self, x: np.ndarray, labels: np.ndarray, strength: float) -> Callable[[np.ndarray], np.ndarray]:
        if (labels == labels[0]).all():  # a rare label may be held out altogether
            return lambda rows: np.repeat(labels[:1], len(rows))
        return self.classifier(x, labels, strength)


def coordinates(gram: np.ndarray) -> np.ndarray:
    """Coordinates whose Gram matrix is this one once features are centred, ``(n, rank)``."""
    values, vectors = np.linalg.eigh(double_centred(gram))
    kept = values > 1e-12 * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])


def on_unit_scale(axes: np.ndarray, train: np.ndarray) -> np.ndarray:
    """All stimuli, less the mean of those to fit on, over the root of the mean squared length that these have then."""
    centred = axes - axes[train].mean(0)
    length = np.sqrt(np.square(centred[train]).sum(1).mean())
    return centred / length if length > 0 else centred


def dealt(labels: np.ndarray, contents: np.ndarray, folds: int, generator: np.random.Generator) -> np.ndarray:
    """The fold of each stimulus: each label's stimuli are dealt out in turn, those of equal content together."""
    _, first, group = np.unique(contents, return_index=True, return_inverse=True)
    shuffled = generator.permutation(len(first))
    order = shuffled[np.argsort(labels[first][shuffled], kind="stable")]
    fold = np.empty(len(first), int)
    fold[order] = np.arange(len(first)) % folds
    return fold[group]


def balanced_accuracy(labels: np.ndarray, predicted: np.ndarray) -> float:
    """The share of right predictions for each label, averaged over the labels that occur."""
    return float(np.mean([(predicted[labels == label] == label).mean() for label in np.unique(labels)]))


@dataclass(frozen=True)
class KernelAnalysis(LabelMetric):
    """One less the area under the error of regressing labels on Gaussian kernels, against the complexity allowed.

    The simpler the labels are in a layer, the higher. The area is the mean of the curve over the complexities at which it
    is computed, for the larger part of each split of the stimuli, 80 % as published (Cadieu et al. 2014 drew theirs with
    replacement, so that of a stimulus left out a copy could remain; here without).

    Attributes:
        curve: which error, against which complexity.
    """

    curve: Curve = field(default=LeadingComponents())

    def of_splits(self, representation: Representation, stimuli: xr.DataArray) -> list[float]:
        """One score for the larger part of each split."""
        labels = stimuli["label"].values
        return [float(1 - self.errors(representation, labels, part).mean()) for part, _ in self.splits(stimuli)]

    def errors(self, representation: Representation, labels: np.ndarray, part: np.ndarray) -> np.ndarray:
        """The curve of some stimuli, ``(complexities,)``.

        Args:
            labels: of the representation's stimuli.
            part: rows of these.
        """
        distances = squared_distances(representation.gram[np.ix_(part, part)])
        targets = (labels[part, None] == np.unique(labels[part])).astype(float)
        on_its_device = on_device(representation, distances, targets - targets.mean(0))
        return self.curve(on_its_device[0], on_its_device[1], width_of(distances))


DECODING_METRICS = (
    Decoding("decoding", "decoded labels (balanced accuracy; chance is 1 / number of labels)"),
    KernelAnalysis("kernel_analysis", "kernel analysis of labels (1 - area under error; chance is about 1 / 2)"),
    KernelAnalysis(
        "kernel_analysis_loo",
        "kernel analysis of labels (1 - area under leave-one-out error; chance is 0)",
        curve=LeaveOneOut(),
    ),
)
