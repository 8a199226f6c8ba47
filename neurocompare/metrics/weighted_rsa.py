"""RSA with one weight for each layer, fitted on other stimuli (Khaligh-Razavi & Kriegeskorte 2014, PLOS Comput. Biol.
10:e1003915, "Reweighting of features").

Squared distances add up over features, so where the features of layer k are scaled by ``sqrt(w_k)``, the squared distances
between patterns over all layers are ``sum_k w_k D_k`` (their eq. 1). The correlation distance is a squared distance, up to
a factor, of patterns with mean 0 and length 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.optimize import nnls
from scipy.spatial.distance import squareform

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.metrics.base import Ceiling
from neurocompare.metrics.joint import Joint, of_each
from neurocompare.metrics.rsa import RSA, RSA_METRICS
from neurocompare.representation import Representation

FEWEST = 6  # stimuli of different content, so that there are pairs to fit to beside those held out


@dataclass(frozen=True)
class WeightedRSA(Joint):
    """Compares a weighted sum of all layers' RDMs with the RDM of each subject; the weights come from other stimuli.

    The weights are not negative and minimise the squared deviation from the mean RDM over subjects, without a constant
    (eq. 2). A twelfth of the stimuli is held out at a time (theirs: 8 of 96), weights are fitted to the pairs of the others,
    and pairs among those held out are predicted. As theirs it is repeated until every pair was predicted: all stimuli are
    dealt out at random into twelfths, over and over, and the predictions of a pair are averaged. Theirs held out as many
    animate as inanimate objects; here labels play no part, since two stimuli of a rare label would then never meet. Stimuli
    of equal content are held out together.

    A layer for which the distance is not defined takes no part.

    Attributes:
        rsa: makes RDMs, compares them, and gives the ceiling.
        held_out: which fraction of the stimuli.
        seed: of what is held out with what.
    """

    name: str
    label: str
    rsa: RSA
    held_out: float = 1 / 12
    seed: int = 1
    needs_features: bool = False

    @property
    def formula(self) -> str:
        """That of the RSA."""
        return self.rsa.formula

    def score_together(self, representations: Mapping[str, Representation], data: xr.DataArray) -> xr.DataArray:
        """Similarity of the predicted RDM to each subject's, ``(subject,)``.

        Raises:
            InputError: no layer has an RDM, there are too few stimuli, or their distances go along with no layer's.
        """
        layers, rdms = self._rdms(representations, data), self.rsa.compared_rdms(data)
        values = np.stack(list(layers.values()))
        predicted = held_out_rdm(values, rdms.values.mean(0), self._groups(data), self.held_out, self.seed)
        if np.ptp(predicted) == 0:
            raise InputError(f"{self.name}: the data's distances go along with no layer's, so nothing is predicted")
        similarity = self.rsa.comparison(predicted, rdms.values)
        attrs = {"layers": ", ".join(layers)}
        return xr.DataArray(similarity, dims=("subject",), coords={"subject": rdms["subject"]}, attrs=attrs)

    def weights(self, representations: Mapping[str, Representation], data: xr.DataArray) -> xr.DataArray:
        """Those fitted to all stimuli at once, ``(layer,)``, for a look at them; the score uses others."""
        layers = self._rdms(representations, data)
        values = np.stack(list(layers.values()))
        found = non_negative(values @ values.T, values @ self.rsa.neural_rdms(data).values.mean(0))
        return xr.DataArray(found, dims=("layer",), coords={"layer": list(layers)})

    def _rdms(self, representations: Mapping[str, Representation], data: xr.DataArray) -> dict[str, np.ndarray]:
        return of_each(representations, data, lambda representation: self.rsa.model_rdm(representation, data))

    def _groups(self, data: xr.DataArray) -> np.ndarray:
        return np.unique(assembly.contents(data), return_inverse=True)[1]

    def aggregate(self, raw: xr.DataArray) -> tuple[float, float]:
        """As the RSA."""
        return self.rsa.aggregate(raw)

    def ceiling(self, data: xr.DataArray) -> Ceiling:
        """As the RSA."""
        return self.rsa.ceiling(data)

    def normalize(self, raw: xr.DataArray, ceiling: Ceiling) -> float:
        """As the RSA."""
        return self.rsa.normalize(raw, ceiling)


def held_out_rdm(layers: np.ndarray, target: np.ndarray, groups: np.ndarray, held_out: float, seed: int) -> np.ndarray:
    """Every distance as predicted by weights that were fitted without its two stimuli, ``(pairs,)``.

    Args:
        layers: their RDMs, ``(layers, pairs)``.
        target: the RDM to predict, ``(pairs,)``.
        groups: the group of each stimulus, from 0 with none left out; a group is held out as a whole.
        held_out: which fraction of the groups, but two at least.
        seed: of what is held out with what.
    Raises:
        InputError: there are too few groups.
    """
    n_groups = int(groups.max()) + 1
    if n_groups < FEWEST:
        raise InputError(f"weights fitted to other stimuli need {FEWEST} different stimuli or more, not {n_groups}")
    n_folds = n_groups // max(2, round(n_groups * held_out))
    generator = np.random.default_rng(seed)
    fit = _Fit(layers, target)
    total = np.zeros((len(groups),) * 2)
    times = np.eye(len(groups))  # a stimulus with itself is no pair
    while not times.all():
        fold = (generator.permutation(n_groups) % n_folds)[groups]
        for number in range(n_folds):
            rows = np.flatnonzero(fold == number)
            total[rows[:, None], rows] += fit.predicted(rows)
            times[rows[:, None], rows] += 1
    return squareform(total / times, checks=False)


class _Fit:
    """Least squares over the pairs among some stimuli, from sums over all pairs and over those of each stimulus.

    With ``D_k`` the RDMs as square matrices, and rows H held out, the sum of ``D_k D_l`` over pairs of other stimuli is that
    over all, less twice that over the rows of H, plus that over pairs within H, which was taken off twice. So a fit costs
    ``|H|^2`` and not ``n^2``.
    """

    def __init__(self, layers: np.ndarray, target: np.ndarray) -> None:
        self.all = np.stack([squareform(rdm, checks=False) for rdm in (*layers, target)])  # (layers + 1, n, n)
        by_stimulus = self.all.transpose(1, 0, 2)
        self.rows = by_stimulus @ by_stimulus.transpose(0, 2, 1)  # (n, layers + 1, layers + 1)
        self.total = self.rows.sum(0)

    def predicted(self, rows: np.ndarray) -> np.ndarray:
        """The distances among the stimuli of these rows, square, from weights fitted to those among the others."""
        held_out = self.all[:, rows[:, None], rows]
        flat = held_out.reshape(len(held_out), -1)
        products = self.total - 2 * self.rows[rows].sum(0) + flat @ flat.T
        return np.tensordot(non_negative(products[:-1, :-1], products[:-1, -1]), held_out[:-1], 1)


def non_negative(gram: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """The weights ``w >= 0`` that minimise ``|A w - b|^2``, from ``A^T A`` and ``A^T b``, ``(k,)``.

    With ``A^T A = V L V^T`` the problem has the same solution as one with k rows, ``|L^1/2 V^T w - L^-1/2 V^T A^T b|^2``.
    Columns are first brought to one length, so that none is lost for its scale.
    """
    lengths = np.sqrt(np.diagonal(gram))
    values, vectors = np.linalg.eigh(gram / np.outer(lengths, lengths))
    kept = values > 1e-12 * values[-1]
    roots, projections = np.sqrt(values[kept]), vectors[:, kept].T
    return nnls(roots[:, None] * projections, projections @ (moments / lengths) / roots)[0] / lengths


_RSA = {metric.name: metric for metric in RSA_METRICS}
WEIGHTED_RSA = WeightedRSA("weighted_rsa", "RDM similarity of weighted layers (Kendall's tau-a)", _RSA["rsa_tau_a"])
