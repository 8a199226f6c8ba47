"""Could a benchmark and a metric tell learning rules apart at all?

A brain is simulated from a network that one rule trained, with the sites, stimuli, repetitions and noise of an experiment,
and networks that all rules trained from other seeds are scored on it as on a recording. How often the right rule scores
best is the most that experiment and metric can say of rules: a real brain is no network of this architecture that was
trained on this task. Han, Poggio & Cheung 2023 (arXiv:2302.06677) ask the same of architectures.
"""

from neurocompare.recovery.confusion import (
    CHOSEN_BY,
    confusion,
    confusions,
    enough,
    mean_scores,
    power,
    profile_match,
    wilson,
)
from neurocompare.recovery.planned import PANEL, SMALL_NET, UNTRAINED, held_out_images, hidden_layers, plan, trained
from neurocompare.recovery.scores import Network, Networks, judge_of, recovery_scores
from neurocompare.recovery.simulated import Experiment, like, lower_ceiling, matched, observed, simulate, simulate_rdms

__all__ = [
    "CHOSEN_BY",
    "PANEL",
    "SMALL_NET",
    "UNTRAINED",
    "Experiment",
    "Network",
    "Networks",
    "confusion",
    "confusions",
    "enough",
    "held_out_images",
    "hidden_layers",
    "judge_of",
    "like",
    "lower_ceiling",
    "matched",
    "mean_scores",
    "observed",
    "plan",
    "power",
    "profile_match",
    "recovery_scores",
    "simulate",
    "simulate_rdms",
    "trained",
    "wilson",
]
