"""Stimuli by id, and the declared way from a stimulus to a network's input."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from neurocompare.errors import InputError
from neurocompare.sounds import Sound


@dataclass(frozen=True)
class StimulusSet:
    """A named, ordered set of stimuli.

    Attributes:
        name: of the set.
        ids: one unique string per stimulus.
        open: from an id to the stimulus as recorded (``PIL.Image.Image`` for images, ``Sound`` for sounds).
        table: what else is known of each stimulus (category, ...), indexed by id; may have no columns.
    """

    name: str
    ids: tuple[str, ...]
    open: Callable[[str], Any]
    table: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False)

    def __post_init__(self) -> None:
        if not self.ids:
            raise InputError(f"stimulus set {self.name!r} needs stimuli, but has none")
        for stimulus_id in self.ids:
            if not _is_text(stimulus_id):
                raise InputError(
                    f"stimulus set {self.name!r} needs ids that are text, but has {stimulus_id!r}; rename that stimulus"
                )
        if not self.table.index.is_unique:
            raise InputError(f"the table of stimulus set {self.name!r} has two rows for one id; leave one")
        if len(set(self.ids)) != len(self.ids):
            raise InputError(f"stimulus set {self.name!r} repeats an id; ids must be unique")

    def __len__(self) -> int:
        return len(self.ids)

    def in_memory(self) -> StimulusSet:
        """The same set, each stimulus decoded once and kept."""
        return replace(self, open=functools.cache(self.open))

    @functools.cached_property
    def contents(self) -> dict[str, str]:
        """By id, a sha256 over the decoded stimulus: equal for equal stimuli, whatever file they came from."""
        return {stimulus_id: _sha256_of(self.open(stimulus_id)) for stimulus_id in self.ids}

    @functools.cached_property
    def fingerprint(self) -> str:
        """A sha256 over ids and ``contents``."""
        return hashlib.sha256("".join(f"{i}\0{c}\0" for i, c in self.contents.items()).encode()).hexdigest()


def _is_text(stimulus_id: object) -> bool:
    """A file's name in a foreign encoding is not; a zero character would end it where numpy keeps it."""
    return isinstance(stimulus_id, str) and not any(c == "\0" or "\ud800" <= c <= "\udfff" for c in stimulus_id)


def _sha256_of(stimulus: Any) -> str:
    content = np.ascontiguousarray(stimulus)
    rate = f"{stimulus.rate}\0" if isinstance(stimulus, Sound) else ""
    digest = hashlib.sha256(f"{rate}{content.shape}\0{content.dtype}\0".encode())
    digest.update(content.tobytes())
    return digest.hexdigest()


class Preprocess(Protocol):
    """From a stimulus to a network's input; ``describe`` goes into provenance and into cell keys."""

    def __call__(self, stimulus: Any) -> np.ndarray: ...

    def describe(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class ImagePreprocess:
    """Resize (antialiased bicubic), scale to [0, 1], then normalise each channel.

    Attributes:
        height, width: of the network's input, in pixels.
        mean, std: one per channel (one channel means grey), in units of [0, 1].
    """

    height: int
    width: int
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    def __call__(self, stimulus: Image.Image) -> np.ndarray:
        """The input for one image, float32 ``(channels, height, width)``."""
        image = stimulus.convert("L" if len(self.mean) == 1 else "RGB")
        if image.size != (self.width, self.height):
            image = image.resize((self.width, self.height), Image.Resampling.BICUBIC)
        pixels = np.asarray(image, dtype=np.float32).reshape(self.height, self.width, len(self.mean)) / 255
        normalised = (pixels - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(normalised.transpose(2, 0, 1))

    def describe(self) -> dict[str, Any]:
        """The settings, for provenance."""
        return {"kind": "image", "resample": "bicubic", **asdict(self)}

    @classmethod
    def from_description(cls, description: Mapping[str, Any]) -> ImagePreprocess:
        """The preprocessing that ``describe`` described (after a round trip through JSON, too)."""
        mean, std = (tuple(map(float, description[key])) for key in ("mean", "std"))
        return cls(int(description["height"]), int(description["width"]), mean, std)


def batches(stimuli: StimulusSet, preprocess: Preprocess, size: int) -> list[tuple[slice, Callable[[], np.ndarray]]]:
    """The inputs of a stimulus set in batches: where each belongs, and a function that makes it.

    A failed decode names its stimulus.
    """

    def make(ids: Sequence[str]) -> np.ndarray:
        return np.stack([_input(stimuli, preprocess, stimulus_id) for stimulus_id in ids])

    starts = range(0, len(stimuli), size)
    return [(slice(i, min(i + size, len(stimuli))), functools.partial(make, stimuli.ids[i : i + size])) for i in starts]


def _input(stimuli: StimulusSet, preprocess: Preprocess, stimulus_id: str) -> np.ndarray:
    try:
        return preprocess(stimuli.open(stimulus_id))
    except (OSError, SyntaxError) as error:  # what Pillow raises on a broken file
        raise InputError(f"stimulus {stimulus_id!r} of {stimuli.name!r} cannot be decoded: {error}") from error
