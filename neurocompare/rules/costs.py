"""Time of a learning step over that of plain backprop, by rule, with default settings.

MLP 784-500-500-10, batch 128; written by ``python benchmarks/step_cost.py --write``
(torch 2.13.0+cpu, x86_64, 2 threads).
"""

from __future__ import annotations

COSTS: dict[str, float] = {
    "backprop": 1.04,
    "feedback_alignment": 1.06,
    "direct_feedback_alignment": 0.96,
    "sign_symmetry": 1.13,
    "kolen_pollack": 1.18,
    "weight_mirror": 1.45,
    "weight_perturbation": 47.71,
    "node_perturbation": 1.20,
    "reinforce": 5.56,
    "evolution_strategies": 45.54,
    "genetic_algorithm": 101.43,
    "hebbian": 1.07,
    "target_propagation": 1.66,
    "difference_target_propagation": 1.80,
    "simplified_difference_target_propagation": 2.09,
    "local_difference_reconstruction": 2.75,
    "generec": 3.46,
    "contrastive_hebbian": 3.64,
    "almeida_pineda": 3.55,
    "equilibrium_propagation": 4.72,
    "holomorphic_equilibrium_propagation": 17.06,
    "boltzmann_machine": 35.41,
    "predictive_coding": 7.82,
    "forward_forward": 2.17,
    "pepita": 1.32,
    "wake_sleep": 3.31,
    "recirculation": 2.46,
    "autoencoder": 2.39,
    "segregated_dendrites": 1.04,
    "dendritic_microcircuit": 5.23,
    "urbanczik_senn": 1.16,
    "burst": 1.24,
    "deep_feedback_control": 4.96,
    "dual_propagation": 1.75,
}
