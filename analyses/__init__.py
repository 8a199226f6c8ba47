"""Published results recomputed, one file each: ``compute() -> Dataset``, ``plot(dataset) -> Figure``, ``main(folder)``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from analyses import learning_speed, noise_ceilings

ANALYSES: dict[str, Callable[[Path], list[Path]]] = {
    "learning_speed": learning_speed.main,
    "noise_ceilings": noise_ceilings.main,
}
