"""The metrics by name; what is in ``METRICS`` inherits the whole test battery."""

from neurocompare.metrics.banded import BANDED_RIDGE
from neurocompare.metrics.base import Ceiling, Metric, OverTime, data_for, no_ceiling
from neurocompare.metrics.ceiling import FORMULAS
from neurocompare.metrics.decoding import DECODING_METRICS
from neurocompare.metrics.encoding import ENCODING_METRICS, Encoding
from neurocompare.metrics.joint import Joint
from neurocompare.metrics.presets import PRESETS
from neurocompare.metrics.rsa import RSA, RSA_METRICS
from neurocompare.metrics.similarity import SIMILARITY_METRICS
from neurocompare.metrics.strf import STRF
from neurocompare.metrics.weighted_rsa import WEIGHTED_RSA

_BY_FAMILY: tuple[tuple[Metric, ...], ...] = (
    ENCODING_METRICS,
    (BANDED_RIDGE,),
    RSA_METRICS,
    (WEIGHTED_RSA,),
    SIMILARITY_METRICS,
    DECODING_METRICS,
    (STRF,),
    PRESETS,
)
METRICS: dict[str, Metric] = {metric.name: metric for family in _BY_FAMILY for metric in family}

__all__ = [
    "FORMULAS",
    "METRICS",
    "RSA",
    "Ceiling",
    "Encoding",
    "Joint",
    "Metric",
    "OverTime",
    "data_for",
    "no_ceiling",
]
