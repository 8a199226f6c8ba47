"""Published results recomputed, one file each: ``compute() -> Dataset``, ``plot(dataset) -> Figure``, ``main(folder)``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from analyses import noise_ceilings

ANALYSES: dict[str, Callable[[Path], list[Path]]] = {"noise_ceilings": noise_ceilings.main}
