"""The credit-assignment rules by name; what is in ``RULES`` inherits the whole test battery."""

from neurocompare.rules.base import Credit, Needs, Rule
from neurocompare.rules.scalar_feedback import NodePerturbation
from neurocompare.rules.vector_feedback import Backprop, DirectFeedbackAlignment, FeedbackAlignment

RULES: dict[str, type[Rule]] = {
    "backprop": Backprop,
    "feedback_alignment": FeedbackAlignment,
    "direct_feedback_alignment": DirectFeedbackAlignment,
    "node_perturbation": NodePerturbation,
}

__all__ = ["RULES", "Credit", "Needs", "Rule"]
