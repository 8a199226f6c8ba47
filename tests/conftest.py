"""Makes ``oracles`` and ``problems`` importable from every folder of tests, and runs torch on one thread."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
# The tensors here are tiny: threads would wait for each other, ten times as long where the cores are shared.
torch.set_num_threads(1)
