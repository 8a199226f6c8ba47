"""What single rules need in the shared tests of learning, each with its reason; a rule that is not named needs nothing."""

from __future__ import annotations

from typing import Any

# Settings of the rule.
SETTINGS: dict[str, dict[str, Any]] = {
    "node_perturbation": {"directions": 20},  # the default is one noisy estimate per sample
    "boltzmann_machine": {"sweeps": 15},  # as below
    # 100 further outputs say all there is to say of 10 hidden units, and a label little beside them.
    "simplified_difference_target_propagation": {"auxiliary_outputs": 0},
    "reinforce": {"trials": 20, "entropy": 0.3},  # one bit per guess is noisy; guessing must stay open for long
}
# Steps and learning rate (of Adam), inputs and hidden units for the exclusive-or of two signs.
EXCLUSIVE_OR: dict[str, dict[str, Any]] = {
    "reinforce": {"learning_rate": 0.02, "steps": 400},
    "boltzmann_machine": {"learning_rate": 0.02},  # strong couplings mix slowly, so they must not grow fast
    "pepita": {"inputs": 20},  # errors enter with the input, and with 2 of them only along 2 directions
    "forward_forward": {"inputs": 20, "hidden": 30},  # labels too; and units specialise in one label
    "genetic_algorithm": {"steps": 400},  # mutations have a fixed size, whatever the rate
}
# Rules whose hidden gradients are meant to come close to backprop's, which a test otherwise takes for backprop in disguise.
CLOSE_TO_BACKPROP = {"backprop", "dual_propagation"}
# Rules that by definition use the gradient in the last hidden layer.
GRADIENT_IN_LAST_HIDDEN = {"target_propagation", "difference_target_propagation"}
# Epochs in which training has to show.
EPOCHS = {
    "wake_sleep": 40,  # two layers find causes one after the other, and the readout only then has something to read
}
