"""What a metric is that takes all layers of a model together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeVar

import xarray as xr

from neurocompare import assembly
from neurocompare.errors import InputError
from neurocompare.representation import Representation

T = TypeVar("T")


class Joint(ABC):
    """Compares all layers of a model, as one, with one benchmark's data; else as ``Metric``."""

    @abstractmethod
    def score_together(self, representations: Mapping[str, Representation], data: xr.DataArray) -> xr.DataArray:
        """Raw scores as of ``Metric.score``, with the names of the layers that took part in ``attrs["layers"]``.

        Raises:
            InputError: the metric is not defined for any layer, or for these data.
        """

    def score(self, representation: Representation, data: xr.DataArray) -> xr.DataArray:
        """Of a layer alone."""
        return self.score_together({representation.layer: representation}, data)


def of_each(
    representations: Mapping[str, Representation], data: xr.DataArray, make: Callable[[Representation], T]
) -> dict[str, T]:
    """What is made of each layer over the data's stimuli; layers for which that is not defined are left out.

    A layer that does not vary, say, adds nothing to the others, and is no reason to refuse them.

    Args:
        representations: by layer.
        data: responses or RDMs.
        make: may raise ``InputError``.
    Raises:
        InputError: stimuli were not probed, or no layer is left.
    """
    stimuli = assembly.stimulus_ids(data)
    selected = {layer: representation.select(stimuli) for layer, representation in representations.items()}
    made: dict[str, T] = {}
    reasons = ["there is none"]
    for layer, representation in selected.items():
        try:
            made[layer] = make(representation)
        except InputError as error:
            reasons.append(str(error))
    if not made:
        raise InputError(f"no layer can take part: {reasons[-1]}")
    return made
