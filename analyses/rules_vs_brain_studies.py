"""The studies of ``rules_vs_brain``: which rules train which networks on which images, and what they are compared with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from data_loaders import load_benchmark, load_dataset
from neurocompare.errors import DataUnavailable
from neurocompare.spec import StudySpec, Training

# As the search of benchmarks/learning.py found them, the same for every rule (docs/results/learning_cifar10.csv); rules that
# are not in that table have their defaults.
RATES = {
    "backprop": 0.003, "feedback_alignment": 0.0003, "direct_feedback_alignment": 0.0003, "sign_symmetry": 0.001,
    "kolen_pollack": 0.003, "weight_mirror": 0.00033, "difference_target_propagation": 0.0009,
    "simplified_difference_target_propagation": 0.0003, "local_difference_reconstruction": 0.0009, "autoencoder": 0.001,
    "contrastive_hebbian": 0.003, "equilibrium_propagation": 0.003, "predictive_coding": 0.0003,
    "dendritic_microcircuit": 0.0002, "segregated_dendrites": 0.0001, "urbanczik_senn": 0.00033,
    "deep_feedback_control": 0.00033, "dual_propagation": 0.003,
}  # fmt: skip
# Not here: rules that do not beat frozen hidden layers in this network (target propagation, recirculation; PEPITA at its
# default rate), that need other units than ReLU (burst, holomorphic equilibrium propagation, Boltzmann machine), that cost
# fifty times a step of backprop (weight perturbation, evolution strategies, genetic algorithm) or differ from contrastive
# Hebbian learning by a few degrees only (GeneRec, Almeida-Pineda).
ALL_RULES = (
    "backprop", "feedback_alignment", "direct_feedback_alignment", "sign_symmetry", "kolen_pollack", "weight_mirror",
    "node_perturbation", "hebbian", "difference_target_propagation", "simplified_difference_target_propagation",
    "local_difference_reconstruction", "autoencoder", "contrastive_hebbian", "equilibrium_propagation",
    "predictive_coding", "dendritic_microcircuit", "segregated_dendrites", "urbanczik_senn", "deep_feedback_control",
    "dual_propagation", "forward_forward",
)  # fmt: skip
FEW_RULES = (
    "backprop", "feedback_alignment", "direct_feedback_alignment", "node_perturbation", "hebbian",
    "difference_target_propagation",
)  # fmt: skip
NETWORK = {"architecture": "convnet", "channels": [16, 32, 64], "hidden": [128]}
BRAINS = {
    "cowley2023.V4": ("ridge",),
    "cichy2014.EVC": ("rsa_spearman",),
    "cichy2014.IT": ("rsa_spearman",),
    "kriegeskorte2008.hIT": ("rsa_spearman",),
    "kriegeskorte2008.mIT": ("rsa_spearman",),
}


@dataclass(frozen=True)
class Part:
    """Networks of one size of image.

    Attributes:
        spec: of the study.
        pixels: lower resolutions at which stimuli are shown to the networks of ``FEW_RULES``, too.
    """

    spec: StudySpec
    pixels: tuple[int, ...]

    def with_seeds_from(self, first: int) -> Part:
        """The same with other seeds: ``first`` is added to each."""
        return replace(self, spec=self.spec.model_copy(update={"seeds": tuple(first + s for s in self.spec.seeds)}))


def _part(
    dataset: str, rules: tuple[str, ...], pixels: tuple[int, ...], snapshots: tuple[int, ...], **settings: object
) -> Part:
    training = {
        "epochs": 4,
        "batch_size": 64,
        "items": 8000,
        "test_items": 2000,
        "snapshots": snapshots,
        "learning_rate": {rule: RATES[rule] for rule in rules if rule in RATES},
    }
    content = {
        "name": f"rules against brains, {dataset}",
        "dataset": dataset,
        "rules": rules,
        "seeds": (0, 1, 2, 3, 4),
        "network": NETWORK,
        "benchmarks": BRAINS,
        "training": training,
    }
    return Part(StudySpec.model_validate({**content, **settings}), pixels)


_SMALL = Training(epochs=3, batch_size=64, items=800, snapshots=(6, 18))
_SIMULATED = {"simulated.units": ("ridge",), "simulated.rdm": ("rsa_spearman",)}
PARTS: dict[str, dict[str, Part]] = {
    "full": {
        "cifar10_jpeg": _part("cifar10_jpeg", ALL_RULES, (8, 16), (15, 60, 200)),
        "tiny_imagenet40": _part("tiny_imagenet40", FEW_RULES, (), (15, 60, 180)),
    },
    "offline": {"digits": _part("digits", FEW_RULES, (4,), (6, 20, 60), benchmarks=_SIMULATED)},
    "quick": {
        "digits": _part(
            "digits", ("backprop", "feedback_alignment", "node_perturbation"), (4,), (),
            training=_SMALL, benchmarks=_SIMULATED, seeds=(0, 1, 2), controls=("untrained", "pixels"),
            network={**NETWORK, "channels": [8, 16], "hidden": [32]},
        )
    },
}  # fmt: skip


def size_of(quick: bool) -> str:
    """Which of ``PARTS`` can be had."""
    if quick:
        return "quick"
    try:
        for part in PARTS["full"].values():
            load_dataset(part.spec.dataset)
            for name in part.spec.benchmarks:
                load_benchmark(name)
    except DataUnavailable as error:
        print(f"simulated benchmarks and digits instead of recordings and images: {error}")
        return "offline"
    return "full"
