"""A benchmark: what the brain did, what it was shown, and how models are compared with it by default."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property

import xarray as xr

from neurocompare import assembly
from neurocompare.stimuli import StimulusSet


@dataclass(frozen=True)
class Benchmark:
    """Neural data with its stimuli, named ``dataset.region``.

    Attributes:
        name: e.g. ``"cowley2023.V4"``.
        data: responses (``presentation x neuroid``) or RDMs (``subject x pair``); see ``neurocompare.assembly``.
        stimuli: exactly the stimuli that the data mention.
        metric: the name of the metric used where none is asked for.
        citation, licence: of the data, as found.
    """

    name: str
    data: xr.DataArray
    stimuli: StimulusSet
    metric: str
    citation: str
    licence: str

    def __post_init__(self) -> None:
        assembly.check(self.data)
        assembly.check_stimuli_match(self.data, self.stimuli.ids)

    @cached_property
    def fingerprint(self) -> str:
        """A sha256 over the neural data, their coordinates and the decoded stimuli."""
        digest = hashlib.sha256(self.stimuli.fingerprint.encode())
        digest.update(self.data.values.tobytes())
        for name in sorted(map(str, self.data.coords)):
            digest.update(f"{name}\0{list(self.data[name].values)}\0".encode())
        return digest.hexdigest()

    @cached_property
    def grouped_data(self) -> xr.DataArray:
        """The data, where some stimuli are the same picture or sound under two names with the coord ``content``.

        Splits of the stimuli then keep such twins on one side.
        """
        contents = self.stimuli.contents
        if len(set(contents.values())) == len(contents):
            return self.data
        return assembly.with_stimulus_coord(self.data, "content", contents)

    def in_memory(self) -> Benchmark:
        """The same benchmark, each stimulus decoded once and kept."""
        return replace(self, stimuli=self.stimuli.in_memory())
