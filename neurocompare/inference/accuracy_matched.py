"""Networks compared when they know equally much.

Rules differ in how much of the task they have learnt after so many steps, and what a network has learnt changes how well it
matches a brain whatever the rule. So each pair of networks of a seed is compared at the checkpoints at which their accuracy
is nearest to that of the one that ends lower: a slower rule at its end, the faster one on its way there.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from neurocompare.errors import InputError, unknown_name
from neurocompare.inference.contrasts import contrasts, false_discoveries

NEEDED = ("model", "seed", "step", "task_accuracy", "benchmark", "metric", "layer")


def accuracy_matched(
    table: pd.DataFrame, reference: str = "backprop", value: str = "raw", *, family: Sequence[str] = ()
) -> pd.DataFrame:
    """Each model less the reference, within seeds, at matched task accuracy.

    Args:
        table: scores along training, as ``Study.learning_table`` makes it.
        reference: the model that the others are compared with.
        value: the column to compare.
        family: columns within which false discoveries are controlled.
    Returns:
        As ``contrasts``, with ``accuracy`` and ``accuracy_reference`` at the checkpoints that were compared, and ``step``
        and ``step_reference``, means over seeds. How well they match is for the reader to see: checkpoints are few.
    Raises:
        InputError: a column or the reference is missing, or a network has no accuracy; else as ``contrasts``.
    """
    for column in NEEDED:
        if column not in table:
            raise unknown_name("column", column, map(str, table.columns))
    checkpoints = table.groupby(["model", "seed", "step"], sort=False)["task_accuracy"].first().reset_index()
    if checkpoints["task_accuracy"].isna().any():
        lacking = checkpoints.loc[checkpoints["task_accuracy"].isna(), "model"].iloc[0]
        raise InputError(f"networks are matched by their task accuracy, but {lacking} has none")
    if reference not in set(table["model"]):
        raise unknown_name("model", reference, map(str, dict.fromkeys(table["model"])))
    found = []
    for model in dict.fromkeys(table["model"]):
        if model != reference:
            pairs = _pairs(checkpoints, model, reference)
            rows = contrasts(table.merge(pairs[["model", "seed", "step"]]), reference, value)
            found.append(rows.assign(**_at(pairs, model, reference)))
    if not found:
        raise InputError(f"there is no model beside {reference} to compare with it")
    joined = pd.concat(found, ignore_index=True)
    return joined.assign(q=false_discoveries(joined, family))


def _pairs(checkpoints: pd.DataFrame, model: str, reference: str) -> pd.DataFrame:
    """For each seed that both have, the checkpoint of either whose accuracy is nearest to the lower of the last ones."""
    both = checkpoints[checkpoints["model"].isin([model, reference])]
    shared = both.groupby("seed").filter(lambda part: part["model"].nunique() == 2)
    last = shared.loc[shared.groupby(["model", "seed"])["step"].idxmax()]
    level = last.groupby("seed")["task_accuracy"].min()
    gap = (shared["task_accuracy"] - shared["seed"].map(level)).abs()
    # Of two that are as near, the later: it has learnt for longer.
    ordered = shared.assign(gap=gap).sort_values(["gap", "step"], ascending=[True, False], kind="stable")
    return ordered.groupby(["model", "seed"], sort=False).head(1)


def _at(pairs: pd.DataFrame, model: str, reference: str) -> dict[str, float]:
    own, others = (pairs[pairs["model"] == name] for name in (model, reference))
    return {
        "accuracy": float(own["task_accuracy"].mean()),
        "accuracy_reference": float(others["task_accuracy"].mean()),
        "step": float(own["step"].mean()),
        "step_reference": float(others["step"].mean()),
    }
