"""Comparisons of RDMs over resampled stimuli, from how often each stimulus was drawn.

A bootstrap sample draws stimulus ``i`` ``w_i`` times. The pair ``(i, j)`` then occurs ``w_i w_j`` times, and pairs of a
stimulus with itself are left out, as rsatoolbox does: their distance of zero would be predicted by every model. So no RDM
need be resampled. A sum over resampled pairs of a product is ``w^T (A . B) w / 2``, one matrix product for all samples; a
rank is a cumulative sum of weights along distances that are sorted once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neurocompare.metrics import comparisons
from neurocompare.metrics.comparisons import Comparison

# ``(model RDMs (models, pairs), subject RDMs (subjects, pairs), counts (samples, stimuli)) -> (samples, models, subjects)``
OnCounts = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]

BLOCK = 1 << 21  # numbers that are held at once: 16 MiB
FEWEST = 3  # distinct stimuli that a sample needs
NOTHING = 1e-12  # a sum of squares this small beside what it is left of is rounding error


@dataclass(frozen=True)
class Resampled:
    """One comparison, on the data as they are and on samples.

    Attributes:
        plain: of one condensed RDM with several.
        on_counts: of all models with all subjects in each sample.
    """

    plain: Comparison
    on_counts: OnCounts

    def __call__(self, models: np.ndarray, subjects: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Similarities in each sample.

        Args:
            models: condensed RDMs, ``(models, pairs)``.
            subjects: condensed RDMs, ``(subjects, pairs)``.
            counts: how often each stimulus was drawn, ``(samples, stimuli)``; each row sums to the number of stimuli.
        Returns:
            ``(samples, models, subjects)``; NaN where a sample has fewer than three distinct stimuli, or an RDM is constant
            in it.
        """
        found = self.on_counts(models, subjects, counts.astype(np.float64))
        return np.where(((counts > 0).sum(1) >= FEWEST)[:, None, None], found, np.nan)


class Sums(NamedTuple):
    """Inner products over the pairs of each sample, of models ``a``, subjects ``b``, and ones."""

    ab: np.ndarray  # (samples, models, subjects)
    aa: np.ndarray  # (samples, models)
    bb: np.ndarray  # (samples, subjects)
    a: np.ndarray  # (samples, models)
    b: np.ndarray  # (samples, subjects)
    ones: np.ndarray  # (samples,)


def cosine(models: np.ndarray, subjects: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Cosine of the angle between the resampled RDMs."""
    sums = _sums(models, subjects, counts)
    return _angle(sums, sums)


def pearson(models: np.ndarray, subjects: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Pearson correlation of the resampled RDMs."""
    sums = _sums(_centred(models), _centred(subjects), counts)
    return _angle(_less_means(sums, *_means(sums)), sums)


def whitened_cosine(models: np.ndarray, subjects: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Cosine of the resampled RDMs after whitening, as rsatoolbox has it where pairs are missing.

    Distances give a second moment ``-D / 2`` up to ``u_i + u_j``. What is left of it after the best ``u``, by least squares
    over pairs (weight 2) and diagonal (weight 1), is compared. Without missing pairs this is the double-centring of
    ``comparisons.whitened_cosine``.
    """
    sums = _sums(models, subjects, counts)
    return _angle(_less_offsets(sums, models, subjects, counts), sums)


def whitened_correlation(models: np.ndarray, subjects: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The same after the mean distance of the sample is taken out of each RDM."""
    models, subjects = _centred(models), _centred(subjects)
    sums = _sums(models, subjects, counts)
    whitened = _less_offsets(sums, models, subjects, counts)
    return _angle(_less_means(whitened, *_means(sums)), sums)


def spearman(models: np.ndarray, subjects: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Spearman rank correlation of the resampled RDMs, ties (copies of a pair among them) at their mean rank."""
    rankers = [_Ranks.of(rdm) for rdm in (*models, *subjects)]
    found = []
    for weights in _pair_weights(counts, len(rankers)):
        ranks = np.empty((len(weights), len(rankers), models.shape[1]))
        for k, ranker in enumerate(rankers):
            ranks[:, k] = ranker(weights)
        ranks *= np.sqrt(weights)[:, None]
        norms = np.sqrt(np.einsum("nkp,nkp->nk", ranks, ranks))
        a, b = np.split(ranks, [len(models)], axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(a @ b.transpose(0, 2, 1) / (norms[:, : len(models), None] * norms[:, None, len(models) :]))
    return np.concatenate(found)


def tau_a(models: np.ndarray, subjects: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Kendall's tau-a of the resampled RDMs, sample by sample."""
    n = counts.shape[1]
    place = np.zeros((n, n), int)
    place[np.triu_indices(n, 1)] = np.arange(models.shape[1])
    found = np.empty((len(counts), len(models), len(subjects)))
    for sample, drawn in enumerate(counts.astype(int)):
        rows = np.repeat(np.arange(n), drawn)
        first, second = (rows[side] for side in np.triu_indices(len(rows), 1))
        pairs = place[first, second][first != second]
        found[sample] = [comparisons.tau_a(model[pairs], subjects[:, pairs]) for model in models]
    return found


@dataclass(frozen=True)
class _Ranks:
    """Ranks of one RDM's pairs in resamples.

    Attributes:
        order: sorts the pairs.
        starts: where, in that order, equal distances begin.
        group: of each pair, the number of its run of equal distances.
    """

    order: np.ndarray
    starts: np.ndarray
    group: np.ndarray

    @classmethod
    def of(cls, rdm: np.ndarray) -> _Ranks:
        order = np.argsort(rdm, kind="stable")
        new = np.r_[True, np.diff(rdm[order]) != 0]
        group = np.empty(len(rdm), int)
        group[order] = np.cumsum(new) - 1
        return cls(order, np.flatnonzero(new), group)

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Mean ranks of the copies of each pair, less the mean rank of all, ``(samples, pairs)``.

        Args:
            weights: how often each pair occurs, ``(samples, pairs)``.
        """
        of_group = weights[:, self.order]
        if len(self.starts) < len(self.order):
            of_group = np.add.reduceat(of_group, self.starts, axis=1)
        # A group's mean rank is what came before it, and (1 + its own) / 2; that of all is (1 + all) / 2.
        ranks = np.cumsum(of_group, axis=1)
        middle = ranks[:, -1:] / 2
        ranks -= middle
        ranks -= of_group / 2
        return ranks[:, self.group]


def _sums(models: np.ndarray, subjects: np.ndarray, counts: np.ndarray) -> Sums:
    """The inner products, by one matrix product for each block of pairs."""
    m, s = len(models), len(subjects)
    width = m * s + 2 * (m + s) + 1
    total = np.zeros((len(counts), width))
    first, second = np.triu_indices(counts.shape[1], 1)
    step = max(1, BLOCK // (width + len(counts)))
    for start in range(0, len(first), step):
        part = slice(start, start + step)
        a, b = models[:, part], subjects[:, part]
        products = (a[:, None] * b).reshape(m * s, -1)
        weights = counts[:, first[part]] * counts[:, second[part]]
        total += weights @ np.vstack([products, a * a, b * b, a, b, np.ones((1, a.shape[1]))]).T
    ab, aa, bb, one_a, one_b, ones = np.split(total, np.cumsum([m * s, m, s, m, s]), axis=1)
    return Sums(ab.reshape(-1, m, s), aa, bb, one_a, one_b, ones[:, 0])


def _pair_weights(counts: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """How often each pair occurs, ``(some samples, pairs)``, for blocks of samples that leave room for ``width`` RDMs."""
    first, second = np.triu_indices(counts.shape[1], 1)
    step = max(1, BLOCK // (len(first) * (2 * width + 1)))
    for start in range(0, len(counts), step):
        some = counts[start : start + step]
        yield np.ascontiguousarray(some[:, first] * some[:, second])


def _centred(rdms: np.ndarray) -> np.ndarray:
    """Less their means: what a sample's own mean takes out anyway, it takes out of smaller numbers."""
    return rdms - rdms.mean(1, keepdims=True)


def _means(sums: Sums) -> tuple[np.ndarray, np.ndarray]:
    with np.errstate(invalid="ignore", divide="ignore"):
        return sums.a / sums.ones[:, None], sums.b / sums.ones[:, None]


def _less_means(sums: Sums, mean_a: np.ndarray, mean_b: np.ndarray) -> Sums:
    """The inner products of ``a - mean_a`` and ``b - mean_b``."""
    ones = sums.ones[:, None]
    ab = sums.ab - mean_a[:, :, None] * sums.b[:, None] - sums.a[:, :, None] * mean_b[:, None]
    ab = ab + (ones * mean_a)[:, :, None] * mean_b[:, None]
    aa = sums.aa - 2 * mean_a * sums.a + ones * mean_a**2
    bb = sums.bb - 2 * mean_b * sums.b + ones * mean_b**2
    return sums._replace(ab=ab, aa=aa, bb=bb)


def _less_offsets(sums: Sums, models: np.ndarray, subjects: np.ndarray, counts: np.ndarray) -> Sums:
    """The inner products of what is left after the best offsets ``u_i + u_j``, a block of samples at a time.

    The moments of an RDM with the offsets are ``w_i (D w)_i``, those of the offsets with each other are
    ``diag(w_i (n + 2 - 2 w_i)) + w w^T``: a diagonal and one outer product, so Sherman & Morrison's formula inverts them.
    """
    n = counts.shape[1]
    rdms = [comparisons.square(rows) for rows in (models, subjects, np.ones((1, models.shape[1])))]
    step = max(1, BLOCK // (2 * n * sum(map(len, rdms))))
    parts = []
    for start in range(0, len(counts), step):
        some = counts[start : start + step]
        with np.errstate(divide="ignore"):  # where a stimulus is half of all draws; such a sample comes out as NaN
            e = some / (n + 2 - 2 * some)
        a, b, one = (np.einsum("kij,nj->nki", square, some, optimize=True) for square in rdms)
        pairs = ((a[:, :, None], b[:, None]), (a, a), (b, b), (a, one), (b, one), (one[:, 0], one[:, 0]))
        parts.append([_explained(x, y, e.reshape(len(e), *[1] * (x.ndim - 2), n)) for x, y in pairs])
    return Sums(*(whole - np.concatenate(part) for whole, part in zip(sums, zip(*parts, strict=True), strict=True)))


def _explained(x: np.ndarray, y: np.ndarray, e: np.ndarray) -> np.ndarray:
    """What the best offsets take from an inner product; stimuli are the last axis."""
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.einsum("...n,...n->...", x, e), np.einsum("...n,...n->...", y, e)
        return np.einsum("...n,...n,...n->...", x, e, y) - sums[0] * sums[1] / (1 + e.sum(-1))


def _angle(sums: Sums, before: Sums) -> np.ndarray:
    """``ab / sqrt(aa bb)``; NaN where what is left of ``aa`` or ``bb`` is the rounding error of what was taken away.

    Args:
        sums: of a sample.
        before: means or offsets were taken out.
    """
    left = (sums.aa > NOTHING * before.aa)[:, :, None] & (sums.bb > NOTHING * before.bb)[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(left, sums.ab / np.sqrt(sums.aa[:, :, None] * sums.bb[:, None]), np.nan)


COMPARISONS = {
    "cosine": Resampled(comparisons.cosine, cosine),
    "pearson": Resampled(comparisons.pearson, pearson),
    "spearman": Resampled(comparisons.spearman, spearman),
    "tau_a": Resampled(comparisons.tau_a, tau_a),
    "whitened_cosine": Resampled(comparisons.whitened_cosine, whitened_cosine),
    "whitened_correlation": Resampled(comparisons.whitened_correlation, whitened_correlation),
}
