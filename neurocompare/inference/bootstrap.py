"""How well a comparison of RDMs would hold for other subjects and other stimuli (Schütt et al. 2023, eLife 12:e82566).

Subjects and stimuli are resampled with replacement, both together. That counts the noise of single measurements too often:
where ``v`` is the variance over samples of subjects, of stimuli, and of both,

    ``2 (v_subject + v_stimulus) - v_both``

is that of the estimate, and for few subjects ``S`` or stimuli ``N``, with ``s = S / (S - 1)`` and ``t = N / (N - 1)``,

    ``s v_subject + t v_stimulus - s t (v_both - v_subject - v_stimulus)``.

The toolbox of the paper uses the second (rsatoolbox, ``util.inference_util._dual_bootstrap``), and so does this. What is
compared is a mean over subjects, so that what their resampling adds is had without drawing them: the bootstrap variance of a
mean is that of its terms over their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.stats import t as student

from neurocompare.errors import InputError, unknown_name
from neurocompare.inference.resampled import COMPARISONS
from neurocompare.metrics.comparisons import stimuli_of
from neurocompare.metrics.rsa import RSA
from neurocompare.representation import Representation

FACTORS = ("subject", "stimulus")
FEWEST_STIMULI = 4


@dataclass(frozen=True)
class Bootstrap:
    """Models compared with subjects, and how far that would vary.

    Attributes:
        value: similarity to the data as they are, mean over subjects, ``(models,)``.
        samples: the same in each sample, ``(n_samples, models)``; NaN where it is undefined there.
        covariance: of the models' values over new subjects and stimuli, ``(models, models)``, such that that of a difference
            is ``c_ii + c_jj - 2 c_ij``.
        dof: degrees of freedom, one less than the factor with the fewest levels.
        factors: what was resampled.
    """

    value: np.ndarray
    samples: np.ndarray
    covariance: np.ndarray
    dof: int
    factors: tuple[str, ...]

    @property
    def mean(self) -> np.ndarray:
        """Over samples, ``(models,)``.

        Copies of a stimulus leave fewer pairs, so this may differ from ``value`` systematically.
        """
        return self.samples[_complete(self.samples)].mean(0)

    @property
    def standard_error(self) -> np.ndarray:
        """Of each model's value, ``(models,)``."""
        return np.sqrt(np.diagonal(self.covariance))

    @property
    def difference(self) -> np.ndarray:
        """The value of each model (row) less that of each other (column), ``(models, models)``."""
        return self.value[:, None] - self.value

    @property
    def difference_error(self) -> np.ndarray:
        """The standard error of each difference, ``(models, models)``."""
        return np.sqrt(np.maximum(_of_differences(self.covariance), 0))

    def interval(self, confidence: float = 0.95) -> np.ndarray:
        """Student's t interval around each value, low and high, ``(models, 2)``."""
        return self._around(self.value, self.standard_error, confidence)

    def difference_interval(self, confidence: float = 0.95) -> np.ndarray:
        """Student's t interval around each difference, ``(models, models, 2)``."""
        return self._around(self.difference, self.difference_error, confidence)

    def difference_p(self) -> np.ndarray:
        """Two-sided p of no difference between two models by Student's t, ``(models, models)``; 1 on the diagonal."""
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.abs(self.difference) / self.difference_error
        return np.where(self.difference == 0, 1.0, 2 * student.sf(t, self.dof))

    def _around(self, centre: np.ndarray, error: np.ndarray, confidence: float) -> np.ndarray:
        half = student.ppf((1 + confidence) / 2, self.dof) * error
        return np.stack([centre - half, centre + half], axis=-1)


def bootstrap(
    model_rdms: np.ndarray,
    subject_rdms: np.ndarray,
    comparison: str = "cosine",
    *,
    n_samples: int = 1000,
    seed: int = 0,
    factors: Sequence[str] | None = None,
) -> Bootstrap:
    """Resample subjects and stimuli.

    Args:
        model_rdms: condensed, ``(models, pairs)``.
        subject_rdms: condensed, ``(subjects, pairs)``.
        comparison: a key of ``COMPARISONS``.
        n_samples: how many.
        seed: of the draws.
        factors: ``"subject"``, ``"stimulus"`` or both; both by default, stimuli alone where there is one subject.
    Raises:
        InputError: unknown names; RDMs that do not fit together, are constant or not finite; fewer than four stimuli;
            subjects are to be resampled, but there is one.
    """
    if comparison not in COMPARISONS:
        raise unknown_name("comparison", comparison, COMPARISONS)
    models, subjects = np.asarray(model_rdms, np.float64), np.asarray(subject_rdms, np.float64)
    _check(models, subjects)
    levels = {"subject": len(subjects), "stimulus": stimuli_of(models.shape[1])}
    chosen, compare = _factors(factors, levels["subject"]), COMPARISONS[comparison]
    generator = np.random.default_rng(seed)
    counts = {factor: draws(n, n_samples, generator) for factor, n in levels.items()}
    whole = np.stack([compare.plain(model, subjects) for model in models])
    resampled = compare(models, subjects, counts["stimulus"]) if "stimulus" in chosen else whole[None]
    weights = counts["subject"] if "subject" in chosen else np.ones((1, levels["subject"]))
    samples = np.einsum("nms,ns->nm", resampled, weights / levels["subject"])
    covariance = _covariance(whole, resampled, chosen, levels["stimulus"])
    return Bootstrap(whole.mean(1), samples, covariance, min(levels[f] for f in chosen) - 1, chosen)


def bootstrap_layers(
    metric: RSA,
    representations: Sequence[Representation],
    data: xr.DataArray,
    *,
    n_samples: int = 1000,
    seed: int = 0,
    factors: Sequence[str] | None = None,
) -> Bootstrap:
    """Resample the subjects and stimuli of a benchmark's data.

    Args:
        metric: as it compares.
        representations: of models, or of layers.
        data: responses or RDMs; where ``metric.group`` is true their mean over subjects is one RDM.
        n_samples, seed, factors: as for ``bootstrap``.
    Raises:
        InputError: as ``bootstrap`` and as the metric.
    """
    subjects = metric.compared_rdms(data).values
    models = np.stack([metric.model_rdm(representation, data) for representation in representations])
    names = [name for name, resampled in COMPARISONS.items() if resampled.plain is metric.comparison]
    if not names:
        raise InputError(
            f"{metric.name} compares RDMs in a way that has no bootstrap; there are: {', '.join(COMPARISONS)}"
        )
    return bootstrap(models, subjects, names[0], n_samples=n_samples, seed=seed, factors=factors)


def draws(n: int, n_samples: int, generator: np.random.Generator) -> np.ndarray:
    """How often each of ``n`` was drawn in ``n`` draws with replacement, ``(n_samples, n)``."""
    return generator.multinomial(n, np.full(n, 1 / n), size=n_samples)


def corrected(
    subject: np.ndarray, stimulus: np.ndarray, both: np.ndarray, n_subjects: int, n_stimuli: int
) -> np.ndarray:
    """The variance of an estimate from its variances over samples of subjects, of stimuli, and of both.

    The second equation above, and no less than from either factor alone, nor more than from both without interaction.
    rsatoolbox has ``both`` for an upper bound. That lacks the factors ``s`` and ``t``, and so takes back the correction for
    few subjects wherever subjects and stimuli hardly interact.

    Args:
        subject, stimulus, both: variances, of one shape.
        n_subjects, n_stimuli: how many there are, two or more.
    """
    s, t = n_subjects / (n_subjects - 1), n_stimuli / (n_stimuli - 1)
    found = s * subject + t * stimulus - s * t * (both - subject - stimulus)
    return np.clip(found, np.maximum(s * subject, t * stimulus), s * subject + t * stimulus)


def _covariance(whole: np.ndarray, resampled: np.ndarray, factors: tuple[str, ...], n: int) -> np.ndarray:
    """Of the models' values.

    Variances of values and of differences are corrected each for itself; the covariance is what agrees with both.

    Args:
        whole: similarities, ``(models, subjects)``.
        resampled: in samples of stimuli, ``(samples, models, subjects)``.
        factors: what is resampled.
        n: stimuli.
    """
    n_subjects = whole.shape[1]
    subject = _over_subjects(whole)
    if factors == ("subject",):
        return subject * n_subjects / (n_subjects - 1)
    complete = resampled[_complete(resampled)]
    if len(complete) < 2:
        raise InputError(
            f"the comparison is defined in {len(complete)} of {len(resampled)} samples, too few for a variance: some RDM "
            "holds most stimuli equally far apart; use more stimuli or another comparison"
        )
    stimulus = np.atleast_2d(np.cov(complete.mean(2).T))
    if factors == ("stimulus",):
        return stimulus * n / (n - 1)
    both = stimulus + _over_subjects(complete).mean(0)
    variance, of_differences = (
        corrected(part(subject), part(stimulus), part(both), n_subjects, n) for part in (np.diagonal, _of_differences)
    )
    return (variance[:, None] + variance - of_differences) / 2


def _over_subjects(similarities: np.ndarray) -> np.ndarray:
    """The covariance that a mean over subjects has over bootstrap samples of them, ``(..., models, models)``."""
    centred = similarities - similarities.mean(-1, keepdims=True)
    return centred @ np.swapaxes(centred, -1, -2) / similarities.shape[-1] ** 2


def _of_differences(covariance: np.ndarray) -> np.ndarray:
    variance = np.diagonal(covariance)
    return variance[:, None] + variance - 2 * covariance


def _complete(samples: np.ndarray) -> np.ndarray:
    """The samples in which everything is defined."""
    return np.isfinite(samples).reshape(len(samples), -1).all(1)


def _factors(asked: Sequence[str] | None, n_subjects: int) -> tuple[str, ...]:
    chosen = tuple(f for f in FACTORS if (n_subjects > 1 or f != "subject") and (asked is None or f in asked))
    for factor in asked or ():
        if factor not in FACTORS:
            raise unknown_name("factor", factor, FACTORS)
        if factor not in chosen:
            raise InputError("resampling subjects needs two or more, but there is one RDM; resample stimuli")
    if not chosen:
        raise InputError(f"a bootstrap resamples something; name one or both of {FACTORS}")
    return chosen


def _check(models: np.ndarray, subjects: np.ndarray) -> None:
    shapes = models.shape, subjects.shape
    if (
        [len(shape) for shape in shapes] != [2, 2]
        or models.shape[1] != subjects.shape[1]
        or not (len(models) and len(subjects))
    ):
        raise InputError(f"condensed RDMs need shapes (models, pairs) and (subjects, pairs), but got {shapes}")
    n = stimuli_of(models.shape[1])
    if n < FEWEST_STIMULI or n * (n - 1) // 2 != models.shape[1]:
        raise InputError(
            f"a bootstrap needs all pairs of {FEWEST_STIMULI} stimuli or more, got {models.shape[1]} pairs"
        )
    for kind, rdms in (("model", models), ("subject", subjects)):
        for row, rdm in enumerate(rdms):
            if not np.isfinite(rdm).all() or np.ptp(rdm) == 0:
                raise InputError(f"the RDM of {kind} {row} is constant or not finite, so no comparison is defined")
