"""The metrics by name; what is in ``METRICS`` inherits the whole test battery."""

from neurocompare.metrics.base import Ceiling, Metric, no_ceiling
from neurocompare.metrics.ceiling import FORMULAS
from neurocompare.metrics.encoding import ENCODING_METRICS, Encoding
from neurocompare.metrics.presets import PRESETS
from neurocompare.metrics.rsa import RSA, RSA_METRICS
from neurocompare.metrics.similarity import SIMILARITY_METRICS

METRICS: dict[str, Metric] = {
    metric.name: metric for metric in (*ENCODING_METRICS, *RSA_METRICS, *SIMILARITY_METRICS, *PRESETS)
}

__all__ = ["FORMULAS", "METRICS", "RSA", "Ceiling", "Encoding", "Metric", "no_ceiling"]
