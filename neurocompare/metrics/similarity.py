"""How alike a layer and a population of neuroids are as wholes: CKA, Procrustes and canonical correlation.

Nothing is fitted and then judged on other stimuli. All but soft matching read the Gram matrices ``K`` and ``L`` of the two
sides, ``(n, n)``, centred to ``H K H`` with ``H = I - 1 1^T / n``, and so do not change when features are rotated,
reflected, shifted or scaled together.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from array_api_compat import array_namespace

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics.base import Ceiling, averaged, check_varies, no_ceiling, standard_error
from neurocompare.metrics.ceiling import by_formula, halves_ceiling
from neurocompare.metrics.device import Array, on_device, to_numpy
from neurocompare.metrics.matching import SoftMatching, check_same_stimuli
from neurocompare.representation import Representation, double_centred

# Of two representations of the same stimuli; symmetric, 1 for a layer with itself.
Comparison = Callable[[Representation, Representation], float]


def _grams(first: Representation, second: Representation) -> list[Array]:
    """Both Gram matrices, where the first one's metrics are computed.

    Raises:
        InputError: they are not over the same stimuli in the same order.
    """
    check_same_stimuli(first, second)
    return on_device(first, first.gram, second.gram)


@dataclass(frozen=True)
class CKA:
    """Centred kernel alignment ``<K, L> / (|K| |L|)`` (Kornblith et al. 2019, arXiv:1905.00414, sect. 3), in ``n^2`` steps.

    The biased estimate grows with the number of features over stimuli: unrelated wide layers reach .9. The unbiased one
    (Song et al. 2012, JMLR 13:1393; Nguyen, Raghu & Kornblith 2021, arXiv:2010.15327) is around 0 for these and may be
    negative.

    Attributes:
        bandwidth: of a Gaussian kernel, in units of the median distance between stimuli; None for the linear kernel.
        unbiased: use the unbiased estimate of HSIC in all three places.
    """

    bandwidth: float | None = None
    unbiased: bool = False

    def __call__(self, first: Representation, second: Representation) -> float:
        """Between -1 and 1; between 0 and 1 where biased.

        Raises:
            InputError: the stimuli differ, are too few, or are equally far apart; or too many are alike for a bandwidth.
        """
        grams = _grams(first, second)
        if self.bandwidth is not None:
            named = zip(grams, (first.layer, second.layer), strict=True)
            grams = [gaussian_kernel(gram, self.bandwidth, layer) for gram, layer in named]
        if not self.unbiased:
            return _cosine(double_centred(grams[0]), double_centred(grams[1]))
        named = zip(grams, (first.layer, second.layer), strict=True)
        return _cosine(*(_u_centred(gram, layer) for gram, layer in named))


def _cosine(a: Array, b: Array) -> float:
    a, b = a.reshape(-1), b.reshape(-1)
    return float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def gaussian_kernel(gram: Array, fraction: float, layer: str) -> Array:
    """``exp(-d^2 / (2 s^2))`` with ``s`` a fraction of the median distance ``d``, so that scale does not matter.

    Kornblith et al. 2019, sect. 3. As in their code, the median is over all ``n^2`` pairs, each stimulus with itself too.

    Args:
        gram: ``(n, n)``.
        fraction: of the median distance.
        layer: its name, for the error.
    Raises:
        InputError: half of the pairs or more are no distance apart.
    """
    xp = array_namespace(gram)
    power = xp.linalg.diagonal(gram)
    squared = power[:, None] + power - 2 * gram
    median = float(np.median(to_numpy(squared)))  # torch's median is the lower of the middle two
    if not median > 1e-12 * float(power.max()):
        raise InputError(
            f"the bandwidth of a Gaussian kernel is a fraction of the median distance, but in layer {layer!r} half of the "
            "pairs of stimuli or more are no distance apart; use cka"
        )
    return xp.exp(squared * (-0.5 / (fraction**2 * median)))


def _u_centred(kernel: Array, layer: str) -> Array:
    """The kernel whose inner products, over ``n (n - 3)``, are the unbiased estimates of HSIC.

    "U-centred" in Szekely & Rizzo 2014, Ann. Stat. 42:2382, where the estimate is shown to be an inner product; so this CKA
    is a cosine. The diagonal, a stimulus with itself, has no part in it.
    """
    n = kernel.shape[0]
    if n < 4:
        raise InputError(f"unbiased CKA needs 4 stimuli or more, but there are {n}; use cka")
    xp = array_namespace(kernel)
    diagonal = xp.arange(n)
    trace = float(xp.linalg.trace(kernel))
    centred = kernel + 0.0
    centred[diagonal, diagonal] = 0.0
    means = centred.sum(0) / (n - 2)
    centred -= means
    centred -= means[:, None]
    centred += means.sum() / (n - 1)
    centred[diagonal, diagonal] = 0.0
    if not float(xp.max(xp.abs(centred))) > 1e-12 * trace:
        raise InputError(f"layer {layer!r} holds all stimuli equally far apart: unbiased CKA is not defined")
    return centred


def procrustes(first: Representation, second: Representation) -> float:
    """The cosine left between two sets of responses after the best rotation, ``|X^T Y|_* / (|X| |Y|)``.

    Williams, Kunz, Kornblith & Linderman 2021, arXiv:2110.14739. With both scaled to unit Frobenius norm the squared
    Procrustes distance is twice what this lacks of 1. The singular values of ``X^T Y`` are the roots of the eigenvalues of
    ``A^T K A``, where ``A A^T = L`` (normalized Bures similarity: Harvey, Larsen & Williams 2023, PMLR 243:60). What
    cannot be told from rounding counts as 0.

    Returns:
        Between 0 and 1.
    Raises:
        InputError: the stimuli differ.
    """
    grams = _grams(first, second)
    kernel, other = map(double_centred, grams)
    xp = array_namespace(kernel)
    raw, raw_other, power, power_other = (float(xp.linalg.trace(gram)) for gram in (*grams, kernel, other))
    factor = _held(first, second)
    if factor is None:
        values, vectors = xp.linalg.eigh(other)
        factor = vectors * xp.sqrt(xp.clip(values, min=0))
    squared = xp.linalg.eigvalsh(factor.T @ kernel @ factor)
    rounding = 1e-15 * (raw * power_other + power * raw_other)  # of the matrices before they were centred
    return float(xp.sqrt(squared[squared > rounding]).sum()) / math.sqrt(power * power_other)


def angular_distance(first: Representation, second: Representation) -> float:
    """The angle left after the best rotation, 0 to pi / 2: a metric on shapes (Williams et al. 2021)."""
    return math.acos(min(procrustes(first, second), 1.0))  # rounding may leave the cosine of equals above 1


def _held(device_of: Representation, representation: Representation) -> Array | None:
    """Centred features where they are held and fewer than stimuli, which saves an eigendecomposition of ``(n, n)``."""
    features = representation.features
    if features is None or features.shape[1] >= len(features):
        return None
    centred = features.astype(np.float64)
    return on_device(device_of, centred - centred.mean(0))[0]


@dataclass(frozen=True)
class CCA:
    """Mean canonical correlation between leading principal components (SVCCA, Raghu et al. 2017, arXiv:1706.05806).

    Each side keeps the fewest components that hold a share of its variance. But subspaces of ``p`` and ``q`` dimensions
    share at least ``p + q - (n - 1)``, in which any two layers correlate perfectly, and unrelated ones reach a mean
    squared correlation of ``max(p, q) / (n - 1)``. So a side also keeps no more than one component for each
    ``stimuli_each`` stimuli: with 5, what is unrelated scores about .45 or less, however wide. Components of equal
    variance, whose directions are arbitrary, are kept or left out together.

    Attributes:
        variance: the share to hold.
        stimuli_each: stimuli for each component kept.
    """

    variance: float = 0.99
    stimuli_each: int = 5

    def __call__(self, first: Representation, second: Representation) -> float:
        """Between 0 and 1.

        Raises:
            InputError: the stimuli differ or are too few; or more components than can be kept are equally strong.
        """
        most = len(first.ids) // self.stimuli_each
        if not most:
            raise InputError(
                f"cca keeps one component for each {self.stimuli_each} stimuli, but there are {len(first.ids)}; use cka"
            )
        pairs = zip((first, second), _grams(first, second), strict=True)
        bases = [self._basis(first, representation, gram, most) for representation, gram in pairs]
        xp = array_namespace(bases[0])
        return float(xp.mean(xp.linalg.svdvals(bases[0].T @ bases[1])))

    def _basis(self, device_of: Representation, representation: Representation, gram: Array, most: int) -> Array:
        """The components kept, of unit length, ``(n, kept)``."""
        xp = array_namespace(gram)
        held = _held(device_of, representation)
        if held is None:
            values, vectors = xp.linalg.eigh(double_centred(gram))
            variances, vectors = xp.flip(values), xp.flip(vectors, axis=1)
        else:
            vectors, lengths, _ = xp.linalg.svd(held, full_matrices=False)
            variances = lengths**2
        kept = components_kept(np.maximum(to_numpy(variances), 0), self.variance, most)
        if not kept:
            raise InputError(
                f"cca can keep {most} principal components of {len(representation.ids)} stimuli, but in layer "
                f"{representation.layer!r} more are equally strong, and none can be chosen; use cka"
            )
        return vectors[:, :kept]


def components_kept(variances: np.ndarray, share: float, most: int) -> int:
    """How many leading components hold a share of the variance, at most so many; equal ones stay together.

    Args:
        variances: descending.
        share: of their sum.
        most: bound.
    Returns:
        0 where the first ``most + 1`` or more are equal.
    """
    wanted = 1 + int(np.searchsorted(np.cumsum(variances), share * variances.sum()))
    steps = -np.diff(variances, append=0.0)
    cuts = 1 + np.flatnonzero(steps > 1e-9 * variances[0])  # counts after which a weaker component follows
    beyond = cuts[(cuts >= wanted) & (cuts <= most)]
    return int(beyond[0]) if beyond.size else int(max(cuts[cuts <= most], default=0))


@dataclass(frozen=True)
class Similarity:
    """Compares a layer with the repetition-averaged responses of all neuroids together.

    Attributes:
        comparison: of two representations.
    """

    name: str
    label: str
    comparison: Comparison
    formula: str = "r_over_ceiling"
    needs_features: bool = False

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """One number, ``(subject,)``, as all neuroids count as one subject.

        Raises:
            InputError: the data are RDMs, the layer does not vary over stimuli, or as the comparison.
        """
        selected, responses = averaged(self.name, representation, data)
        value = self.comparison(selected, _population(selected.ids, responses.values))
        return xr.DataArray([value], dims=("subject",), coords={"subject": ["all neuroids"]})

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """The number itself; there is one, so its standard error is NaN."""
        return float(raw.mean()), standard_error(raw.values)

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """Between halves of the repetitions; not estimable where the comparison is not defined for these."""
        if assembly.is_rdms(data):
            return no_ceiling(f"{self.name} needs responses of neuroids, the data are RDMs")
        try:
            return halves_ceiling(self._similarity, data)
        except InputError as error:
            return no_ceiling(str(error))

    def _similarity(self, first: np.ndarray, second: np.ndarray) -> float:
        ids = tuple(str(row) for row in range(len(first)))
        return self.comparison(_population(ids, first), _population(ids, second))

    def normalize(self, raw: xr.DataArray, ceiling: Ceiling) -> float:
        """By the formula."""
        return by_formula(self, raw, ceiling)


def _population(ids: tuple[str, ...], values: np.ndarray) -> Representation:
    """Mean responses of neuroids, as a layer."""
    population = Representation.from_features("mean responses", ids, values, keep=True)
    check_varies(population)
    return population


SIMILARITY_METRICS = (
    Similarity("cka", "linear CKA", CKA()),
    Similarity("cka_unbiased", "linear CKA (unbiased)", CKA(unbiased=True)),
    Similarity("cka_rbf", "CKA (Gaussian kernel)", CKA(bandwidth=0.5)),
    Similarity("procrustes", "Procrustes similarity (cosine)", procrustes),
    Similarity("cca", "mean canonical correlation", CCA()),
    Similarity("soft_matching", "correlation of matched units", SoftMatching(), needs_features=True),
)
