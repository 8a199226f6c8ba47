"""Published results recomputed, one file each: ``compute() -> Dataset``, ``plot(dataset) -> Figure``, ``main(folder)``."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from analyses import (
    apical_plasticity,
    cadieu2014,
    error_signals,
    kell2018,
    khaligh_razavi2014,
    learning_speed,
    noise_ceilings,
    perceptual_learning,
    rule_recovery,
    rules_vs_brain,
    target_propagation,
)


class Analysis(Protocol):
    """Computes, prints, and writes into a folder; returns the paths written.

    ``quick`` makes it small. Networks have the seeds from ``first_seed`` on: what holds for other seeds is no accident.
    """

    def __call__(self, folder: Path, quick: bool = False, first_seed: int = 0) -> list[Path]: ...


ANALYSES: dict[str, Analysis] = {
    "apical_plasticity": apical_plasticity.main,
    "cadieu2014": cadieu2014.main,
    "error_signals": error_signals.main,
    "kell2018": kell2018.main,
    "khaligh_razavi2014": khaligh_razavi2014.main,
    "learning_speed": learning_speed.main,
    "noise_ceilings": noise_ceilings.main,
    "perceptual_learning": perceptual_learning.main,
    "rule_recovery": rule_recovery.main,
    "rules_vs_brain": rules_vs_brain.main,
    "target_propagation": target_propagation.main,
}
