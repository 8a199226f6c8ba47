"""What single rules need in the shared tests of learning, each with its reason; a rule that is not named needs nothing."""

from __future__ import annotations

from typing import Any

# Settings of the rule.
SETTINGS: dict[str, dict[str, Any]] = {
    "node_perturbation": {"directions": 20},  # the default is one noisy estimate per sample
}
# Steps and learning rate (of Adam) for the exclusive-or of two signs.
EXCLUSIVE_OR: dict[str, dict[str, Any]] = {}
# Rules whose hidden gradients are meant to come close to backprop's, which a test otherwise takes for backprop in disguise.
CLOSE_TO_BACKPROP = {"backprop"}
