"""The credit-assignment rules by name; what is in ``RULES`` inherits the whole test battery."""

from neurocompare.rules.base import Credit, Needs, Rule
from neurocompare.rules.genetic_algorithm import GeneticAlgorithm
from neurocompare.rules.hebbian import Hebbian
from neurocompare.rules.learned_feedback import KolenPollack, WeightMirror
from neurocompare.rules.reinforce import Reinforce
from neurocompare.rules.scalar_feedback import NodePerturbation
from neurocompare.rules.vector_feedback import Backprop, DirectFeedbackAlignment, FeedbackAlignment, SignSymmetry
from neurocompare.rules.weight_noise import EvolutionStrategies, WeightPerturbation

RULES: dict[str, type[Rule]] = {
    rule.name: rule
    for rule in (
        Backprop,
        FeedbackAlignment,
        DirectFeedbackAlignment,
        SignSymmetry,
        KolenPollack,
        WeightMirror,
        WeightPerturbation,
        NodePerturbation,
        Reinforce,
        EvolutionStrategies,
        GeneticAlgorithm,
        Hebbian,
    )
}

__all__ = ["RULES", "Credit", "Needs", "Rule"]
