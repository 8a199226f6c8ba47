"""Time of a learning step over that of plain backprop, by rule, with default settings.

MLP 784-500-500-10, batch 128; written by ``python benchmarks/step_cost.py --write``.
"""

from __future__ import annotations

COSTS: dict[str, float] = {}
