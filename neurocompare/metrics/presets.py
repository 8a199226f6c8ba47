"""The protocols of papers by name, so that a number can be compared with a published one."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

from neurocompare.metrics.ceiling import shared_repetition_ceiling
from neurocompare.metrics.comparisons import tau_a
from neurocompare.metrics.encoding import PLS, Encoding, Ridge
from neurocompare.metrics.noise_corrected import NoiseCorrected
from neurocompare.metrics.rsa import RSA
from neurocompare.metrics.splits import Given, Shuffled

# Schrimpf et al. 2018, bioRxiv 407007. Stimuli in the order of their ids, ten 90/10 splits stratified by label with
# scikit-learn's seed 1, PLS with 25 components, Pearson r, median over neuroids, mean over splits; explained over
# explainable variance with the internal consistency of repetitions as the ceiling (as of 2026; (r/c)^2 before).
BRAIN_SCORE = Encoding(
    "brainscore",
    "Brain-Score's prediction by PLS (Pearson's r)",
    PLS(),
    noise_ceiling=shared_repetition_ceiling,
    in_order_of_ids=True,
)

# Cadieu et al. 2014, PLoS Comput Biol 10:e1003963. Ridge regression, penalty by leave-one-out, on the ten splits that come
# with the data; explained over explainable variance, median over sites and mean over splits.
CADIEU_2014 = Encoding("cadieu2014", "prediction as in Cadieu et al. 2014 (Pearson's r)", Ridge(), splits=Given())

# Tuckute et al. 2023, PLoS Biol 21:e3002366. Ten random halves (83 of 165 sounds to fit on, 82 to judge by), ridge
# regression with penalties of 10^-50 to 10^49 by leave-one-out, r^2 with 0 for a negative r, corrected for both kinds of
# noise.
TUCKUTE_2023 = NoiseCorrected(
    "tuckute2023",
    "explained variance as in Tuckute et al. 2023 (r²)",
    Encoding(
        "tuckute2023",
        "",
        Ridge(tuple(np.logspace(-50, 49, 100).tolist()), relative=False),
        splits=Shuffled(test_size=82 / 165 - 1e-6, stratified=False),  # what is held out is rounded up
    ),
)

# Khaligh-Razavi & Kriegeskorte 2014, PLoS Comput Biol 10:e1003915. Kendall's tau-a of correlation distances with the mean
# RDM over subjects, beside the noise ceiling of single subjects.
KRK_2014 = RSA(
    "krk2014",
    "similarity to the mean RDM as in Khaligh-Razavi & Kriegeskorte 2014 (Kendall's tau-a)",
    tau_a,
    rankdata,
    group=True,
    published=True,
)

PRESETS = (BRAIN_SCORE, CADIEU_2014, TUCKUTE_2023, KRK_2014)
