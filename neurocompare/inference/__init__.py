"""What may be said of scores: intervals, contrasts of rules, choices of layers, and what chance would give."""

from neurocompare.inference.accuracy_matched import accuracy_matched
from neurocompare.inference.bootstrap import Bootstrap, bootstrap, bootstrap_layers
from neurocompare.inference.contrasts import contrasts, effect_size, false_discoveries, sign_flip_p, smallest_p
from neurocompare.inference.layers import NestedChoice, chosen_by_other_seeds, nested_layer_choice
from neurocompare.inference.nulls import Null, permutation_null
from neurocompare.inference.seeds import MIN_SEEDS, over_seeds, seed_interval

__all__ = [
    "MIN_SEEDS",
    "Bootstrap",
    "NestedChoice",
    "Null",
    "accuracy_matched",
    "bootstrap",
    "bootstrap_layers",
    "chosen_by_other_seeds",
    "contrasts",
    "effect_size",
    "false_discoveries",
    "nested_layer_choice",
    "over_seeds",
    "permutation_null",
    "seed_interval",
    "sign_flip_p",
    "smallest_p",
]
