"""The credit-assignment rules by name; what is in ``RULES`` inherits the whole test battery."""

from neurocompare.rules.almeida_pineda import AlmeidaPineda
from neurocompare.rules.base import Credit, Needs, Rule
from neurocompare.rules.boltzmann import BoltzmannMachine
from neurocompare.rules.burst import Burst
from neurocompare.rules.contrastive_hebbian import ContrastiveHebbian, GeneRec
from neurocompare.rules.deep_feedback_control import DeepFeedbackControl
from neurocompare.rules.dual_propagation import DualPropagation
from neurocompare.rules.equilibrium_propagation import EquilibriumPropagation, HolomorphicEquilibriumPropagation
from neurocompare.rules.forward_only import ForwardForward, Pepita
from neurocompare.rules.genetic_algorithm import GeneticAlgorithm
from neurocompare.rules.hebbian import Hebbian
from neurocompare.rules.learned_feedback import KolenPollack, WeightMirror
from neurocompare.rules.microcircuit import DendriticMicrocircuit
from neurocompare.rules.predictive_coding import PredictiveCoding
from neurocompare.rules.recirculation import Autoencoder, Recirculation
from neurocompare.rules.reinforce import Reinforce
from neurocompare.rules.scalar_feedback import NodePerturbation
from neurocompare.rules.segregated_dendrites import SegregatedDendrites
from neurocompare.rules.target_propagation import DifferenceTargetPropagation, TargetPropagation
from neurocompare.rules.targets_from_output import (
    LocalDifferenceReconstruction,
    SimplifiedDifferenceTargetPropagation,
)
from neurocompare.rules.urbanczik_senn import UrbanczikSenn
from neurocompare.rules.vector_feedback import Backprop, DirectFeedbackAlignment, FeedbackAlignment, SignSymmetry
from neurocompare.rules.wake_sleep import WakeSleep
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
        TargetPropagation,
        DifferenceTargetPropagation,
        SimplifiedDifferenceTargetPropagation,
        LocalDifferenceReconstruction,
        Recirculation,
        Autoencoder,
        GeneRec,
        ContrastiveHebbian,
        AlmeidaPineda,
        BoltzmannMachine,
        WakeSleep,
        EquilibriumPropagation,
        HolomorphicEquilibriumPropagation,
        PredictiveCoding,
        DendriticMicrocircuit,
        SegregatedDendrites,
        UrbanczikSenn,
        Burst,
        DeepFeedbackControl,
        DualPropagation,
        ForwardForward,
        Pepita,
    )
}

__all__ = ["RULES", "Credit", "Needs", "Rule"]
