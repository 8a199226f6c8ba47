"""Baselines that need no training: what an RDM or a prediction may owe to no more than light, outline, labels or filters.

A rule whose networks do no better than these has not been shown to explain anything. Here are those that are no networks;
``BASELINES`` also holds the filter banks and HMAX.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from scipy.spatial.distance import squareform

from neurocompare import assembly
from neurocompare.benchmark import Benchmark
from neurocompare.errors import InputError
from neurocompare.filter_banks import gabor_v1, random_filters
from neurocompare.hmax import hmax_c2
from neurocompare.model import Given, Model
from neurocompare.modulation import cochleagram_mean, spectrotemporal
from neurocompare.representation import Representation, double_centred
from neurocompare.stimuli import StimulusSet, batches

REC_709 = (0.2126, 0.7152, 0.0722)
# Share of the border that must have the background's colour.
BACKGROUND = 0.5
# Of grey levels, around the background of images stored with loss. At 8 the masks of the 92 objects on white (JPEG,
# Cichy et al. 2014) agree best with those of the same objects on grey (exact, Kriegeskorte et al. 2008).
LOSSY_TOLERANCE = 8
CORRELATION_DISTANCES = ("1 - Pearson r", "1 - correlation")
SQUARED_DISTANCES = ("squared euclidean",)


class _Colours:
    """Preprocessing that leaves an image's pixels as they are, uint8 ``(height, width, 3)``."""

    def __call__(self, stimulus: Image.Image) -> np.ndarray:
        return np.asarray(stimulus.convert("RGB"))

    def describe(self) -> dict[str, Any]:
        return {"kind": "colours"}


def _pixels(stimuli: StimulusSet) -> Iterator[tuple[str, np.ndarray]]:
    loads = batches(stimuli, _Colours(), 1)
    return ((stimulus_id, load()[0]) for stimulus_id, (_, load) in zip(stimuli.ids, loads, strict=True))


def luminance() -> Given:
    """One number per image: its mean relative luminance.

    From 0 (black) to 1 (white): sRGB values made linear (IEC 61966-2-1), weighted as in ITU-R Rec. 709 (.2126 red, .7152
    green, .0722 blue), averaged over pixels.

    Returns:
        A model with the layer ``luminance`` of one feature.
    """
    return Given("luminance", _luminances, provenance={"luminance": "linear sRGB, Rec. 709"})


def _luminances(stimuli: StimulusSet) -> dict[str, Representation]:
    codes = np.arange(256) / 255
    linear = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    means = [float(linear[pixels].mean((0, 1)) @ REC_709) for _, pixels in _pixels(stimuli)]
    return {"luminance": Representation.from_features("luminance", stimuli.ids, np.array(means)[:, None])}


def silhouette(*, side: int | None = None, tolerance: int | None = None) -> Given:
    """Figure or ground, one bit per pixel, for images on a uniform background.

    The background's colour is the commonest on the image's border, and must be that of half the border or more. Figure
    is every pixel whose colour is another, by more than the tolerance in some channel. A hole through which the background
    shows is ground, as is a part of the figure that has exactly the background's colour. On the 92 images this gives the
    silhouette RDM that was published with them (Kriegeskorte et al. 2008, Neuron 60:1126).

    Args:
        side: of the square mask, pixels (figure where half of it or more is); by default the images' own pixels.
        tolerance: in grey levels of 255. By default 0, unless an image of the set has no exactly uniform background: then
            all were stored with loss (JPEG), and it is 8.
    Returns:
        A model with the layer ``silhouette``; it raises ``InputError`` for an image without a uniform background.
    """
    settings = {"side": side, "tolerance": tolerance}
    return Given("silhouette", functools.partial(_silhouettes, side, tolerance), provenance=settings)


def _silhouettes(side: int | None, tolerance: int | None, stimuli: StimulusSet) -> dict[str, Representation]:
    pixels = dict(_pixels(stimuli))
    if tolerance is None:
        exact = all(_share_of_background(image, 0) >= BACKGROUND for image in pixels.values())
        tolerance = 0 if exact else LOSSY_TOLERANCE
    for stimulus_id, image in pixels.items():
        share = _share_of_background(image, tolerance)
        if share < BACKGROUND:
            raise InputError(
                f"a silhouette needs images on a uniform background, the colour of half of the border or more (to a "
                f"tolerance of {tolerance}), but {stimulus_id!r} of {stimuli.name!r} has {share:.0%} of its border in one "
                "colour; choose other stimuli, or leave this baseline out"
            )
    masks = {stimulus_id: _mask(image, side, tolerance) for stimulus_id, image in pixels.items()}
    _check_sizes(masks)
    return {"silhouette": Representation.from_features("silhouette", stimuli.ids, np.stack(list(masks.values())))}


def _check_sizes(masks: Mapping[str, np.ndarray]) -> None:
    by_size = {mask.shape: stimulus_id for stimulus_id, mask in masks.items()}
    if len(by_size) > 1:
        (small, first), *_, (large, second) = sorted(by_size.items())
        raise InputError(
            f"silhouettes need images of one size, but {second!r} has {large[1]} x {large[0]} pixels and "
            f"{first!r} {small[1]} x {small[0]}; give a side"
        )


def _background(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The commonest colour of the border, ``(3,)``, and the border, ``(pixels, 3)``; int16, so that they subtract."""
    border = np.concatenate([image[0], image[-1], image[1:-1, 0], image[1:-1, -1]]).astype(np.int16)
    colours, counts = np.unique(border, axis=0, return_counts=True)
    return colours[counts.argmax()], border


def _share_of_background(image: np.ndarray, tolerance: int) -> float:
    colour, border = _background(image)
    return float((np.abs(border - colour).max(-1) <= tolerance).mean())


def _mask(image: np.ndarray, side: int | None, tolerance: int) -> np.ndarray:
    figure = np.abs(image - _background(image)[0]).max(-1) > tolerance
    if side is None:
        return figure
    covered = Image.fromarray(figure.astype(np.float32)).resize((side, side), Image.Resampling.BOX)
    return np.asarray(covered) >= 0.5


def category_labels(columns: Sequence[str], layer: str | None = None) -> Given:
    """Nothing but the categories that each stimulus is said to belong to.

    Each distinct value of each column is a feature, 1 for the stimuli that have it and 0 for the others. With one column
    the correlation distance is one number within and another between categories; ``("animate",)`` is the animacy model.

    Args:
        columns: of ``StimulusSet.table``: flags or labels.
        layer: its name, in place of the columns'.
    Returns:
        A model with one layer, named after the columns (``animate+face``); it raises ``InputError`` for stimuli whose
        table lacks a column or a label, and for a column that tells no stimuli apart.
    Raises:
        InputError: no column.
    """
    if isinstance(columns, str):
        raise InputError(f"category labels need a sequence of columns, but got {columns!r}; put it into a tuple")
    if not columns:
        raise InputError("category labels need one column or more of the stimuli's table, but got none")
    represent = functools.partial(_labels, tuple(columns), layer or "+".join(columns))
    return Given("category_labels", represent, provenance={"columns": list(columns)})


def _labels(columns: tuple[str, ...], layer: str, stimuli: StimulusSet) -> dict[str, Representation]:
    known = list(map(str, stimuli.table.columns))
    missing = [column for column in columns if column not in known]
    if missing:
        there = f"the columns {', '.join(known)}" if known else "no columns"
        raise InputError(
            f"category labels need the columns {', '.join(map(repr, missing))}, "
            f"but the table of {stimuli.name!r} has {there}"
        )
    one_hot = np.concatenate([_one_hot(stimuli, column) for column in columns], 1)
    return {layer: Representation.from_features(layer, stimuli.ids, one_hot)}


def _one_hot(stimuli: StimulusSet, column: str) -> np.ndarray:
    labels = stimuli.table[column].reindex(list(stimuli.ids))
    if labels.isna().any():
        raise InputError(f"column {column!r} of {stimuli.name!r} has no label for {labels.index[labels.isna()][0]!r}")
    codes, names = pd.factorize(labels)
    if len(names) < 2:
        raise InputError(
            f"column {column!r} of {stimuli.name!r} is {names[0]!r} for all {len(labels)} stimuli, so it tells none apart"
        )
    return np.eye(len(names))[codes]


def region(benchmark: Benchmark, *, each_subject: bool = True) -> Given:
    """Another brain region, or another subject, as the model.

    Responses become one layer, named after the region, whose features are the neuroids, averaged over repetitions. RDMs
    become one layer per subject and, of several subjects, ``mean``; a Gram matrix stands for patterns that nobody has:

    - A correlation distance ``d``: patterns with mean 0 and norm 1 over features have the Gram matrix ``1 - d``, so that
      with sums of 0 ``correlation_distance`` of ``metrics`` gives ``d`` back exactly. The mean of several is the Gram matrix
      of all subjects' patterns side by side.
    - A squared euclidean distance ``D``: ``-1/2 H D H`` (classical scaling, Torgerson 1952), times the number of features
      because ``squared_euclidean_distance`` is per feature; it gives ``D`` back exactly.

    Those layers count as ``n + 1`` features: enough for any ``n`` patterns whose sums are 0. Compared with its own data a
    region is trivially perfect, and ``mean`` contains each subject.

    Args:
        benchmark: the region's data.
        each_subject: RDMs become a layer for each subject, too; otherwise only ``mean`` of several.
    Returns:
        A model named after the benchmark; it raises ``InputError`` for stimuli that are not the benchmark's.
    Raises:
        InputError: RDMs of another measure.
    """
    if assembly.is_rdms(benchmark.data):
        layers = _of_rdms(benchmark, each_subject)
    else:
        mean = assembly.average_repetitions(assembly.average_time(benchmark.data))
        name = benchmark.name.rpartition(".")[2]
        layers = {name: Representation.from_features(name, assembly.stimulus_ids(mean), mean.values)}
    represent = functools.partial(_known, benchmark.name, layers)
    return Given(benchmark.name, represent, provenance={"benchmark_sha256": benchmark.fingerprint})


def _known(name: str, layers: Mapping[str, Representation], stimuli: StimulusSet) -> dict[str, Representation]:
    known = next(iter(layers.values())).ids
    others = sorted(set(stimuli.ids) - set(known))
    if others:
        raise InputError(
            f"{name!r} knows {len(known)} stimuli, but {len(others)} of {stimuli.name!r} are others (first: {others[0]!r}); "
            "a region is a model only of what was shown to it"
        )
    return {layer: representation.select(stimuli.ids) for layer, representation in layers.items()}


def _of_rdms(benchmark: Benchmark, each_subject: bool) -> dict[str, Representation]:
    data = benchmark.data
    ids = tuple(assembly.stimulus_ids(data))
    features = len(ids) + 1
    gram_of = _gram_maker(str(data.attrs.get("units")), benchmark.name, features)
    rdms: dict[str, np.ndarray] = {}
    if each_subject or data.sizes["subject"] == 1:
        rdms |= dict(zip(map(str, data["subject"].values), data.values, strict=True))
    if data.sizes["subject"] > 1:
        rdms["mean"] = data.values.mean(0)
    return {
        name: Representation(name, ids, gram_of(squareform(d)), np.zeros(len(ids)), features)
        for name, d in rdms.items()
    }


def _gram_maker(measure: str, name: str, features: int) -> Callable[[np.ndarray], np.ndarray]:
    if measure in CORRELATION_DISTANCES:
        return lambda square: 1 - square
    if measure in SQUARED_DISTANCES:
        return lambda square: -0.5 * features * double_centred(square)
    raise InputError(
        f"RDMs stand for patterns only where the measure says which; {measure!r} of {name} is none of: "
        f"{', '.join((*CORRELATION_DISTANCES, *SQUARED_DISTANCES))}; use responses, or another benchmark"
    )


# Those that need nothing but, some of them, a seed; the first line of each docstring says what it is.
BASELINES: dict[str, Callable[..., Model | Given]] = {
    make.__name__: make
    for make in (luminance, silhouette, gabor_v1, hmax_c2, random_filters, cochleagram_mean, spectrotemporal)
}
