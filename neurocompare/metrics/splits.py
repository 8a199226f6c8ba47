"""Which stimuli a regression is fitted on, and which it is judged by.

Splits are over distinct stimuli, never over presentations, and never part stimuli of equal content: what is learnt from one
presentation of a picture would be tested on another.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit, StratifiedShuffleSplit

from neurocompare import assembly
from neurocompare.errors import InputError

Split = tuple[np.ndarray, np.ndarray]  # rows to fit on, rows to judge by
# From averaged responses (``presentation x neuroid``, one presentation per stimulus) to splits of their rows.
Splitter = Callable[[xr.DataArray], list[Split]]

FEWEST = 3  # held-out stimuli, for a correlation


@dataclass(frozen=True)
class Shuffled:
    """Independent random splits.

    Stimuli of equal content (coord ``content``) stay together. Otherwise, where stimuli have a ``label``, its classes are
    represented alike on both sides.

    Attributes:
        n_splits: how many.
        test_size: fraction, or number of stimuli, to judge by.
        seed: of the splits.
        stratified: regard labels.
    """

    n_splits: int = 10
    test_size: float | int = 0.1
    seed: int = 1
    stratified: bool = True

    def __call__(self, responses: xr.DataArray) -> list[Split]:
        """The splits.

        Raises:
            InputError: fewer than three stimuli would be held out or fitted on, or a class is too small.
        """
        contents, labels = (assembly.stimulus_coord(responses, name) for name in ("content", "label"))
        n = responses.sizes["presentation"] if contents is None else len(set(contents))
        held_out = self.test_size if isinstance(self.test_size, int) else n * self.test_size
        if not FEWEST <= held_out <= n - FEWEST:
            raise InputError(
                f"a split that holds out {self.test_size if held_out is self.test_size else f'{self.test_size:.0%}'} of "
                f"{n} distinct stimuli leaves fewer than {FEWEST} on one side, too few for a correlation; use more stimuli"
            )
        nothing = np.zeros(responses.sizes["presentation"])
        settings = {"n_splits": self.n_splits, "test_size": self.test_size, "random_state": self.seed}
        if contents is not None:
            return list(GroupShuffleSplit(**settings).split(nothing, groups=contents))
        if labels is not None and self.stratified:
            try:
                return list(StratifiedShuffleSplit(**settings).split(nothing, labels))
            except ValueError as error:  # scikit-learn says which class is too small
                raise InputError(f"the splits cannot represent each label on both sides: {error}") from error
        return list(ShuffleSplit(**settings).split(nothing))


@dataclass(frozen=True)
class Given:
    """The splits that come with the data: coords ``train_0``, ``train_1``, ... on presentations, true to fit on."""

    def __call__(self, responses: xr.DataArray) -> list[Split]:
        """The splits.

        Raises:
            InputError: the data come with none.
        """
        names = [name for name in map(str, responses.coords) if name.startswith("train_")]
        if not names:
            raise InputError(
                "this protocol uses the splits that come with its data (coords train_0, train_1, ...), but these data have "
                "none; use a metric that makes its own"
            )
        masks = [responses[name].values.astype(bool) for name in sorted(names, key=lambda name: int(name[6:]))]
        return [(np.flatnonzero(mask), np.flatnonzero(~mask)) for mask in masks]
