"""neurocompare: does it matter, for matching the brain, how a network learned?

Train one network under every credit-assignment rule, probe it layer by layer, score it against neural data with ceilings
and controls.
"""

__version__ = "0.1.0"

from neurocompare import networks, plot
from neurocompare.assembly import rdm_assembly, response_assembly
from neurocompare.benchmark import Benchmark
from neurocompare.controls import CONTROLS
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.metrics import METRICS
from neurocompare.model import Model
from neurocompare.probe import probe
from neurocompare.representation import Representation
from neurocompare.rules import RULES
from neurocompare.score import Score, score
from neurocompare.stimuli import ImagePreprocess, StimulusSet
from neurocompare.train import Run, train

__all__ = [
    "CONTROLS",
    "METRICS",
    "RULES",
    "Benchmark",
    "DataUnavailable",
    "ImagePreprocess",
    "InputError",
    "Model",
    "Representation",
    "Run",
    "Score",
    "StimulusSet",
    "networks",
    "plot",
    "probe",
    "rdm_assembly",
    "response_assembly",
    "score",
    "train",
]
