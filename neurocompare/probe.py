"""From a model and a stimulus set to one ``Representation`` per layer, within a stated memory budget.

Stimuli are forwarded in batches. Slices of each layer's features are collected for all stimuli, and added to its Gram
matrix; where the layers are too wide for the budget the forward pass is repeated for further slices. Nothing is written
to disk, and no layer is held whole unless it fits.
"""

from __future__ import annotations

import fnmatch
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from neurocompare.errors import InputError, unknown_name
from neurocompare.model import Given, Model
from neurocompare.progress import Track, silent
from neurocompare.representation import Representation, gram_and_sums
from neurocompare.stimuli import StimulusSet, batches

log = logging.getLogger(__name__)

MEMORY = 2**30
SLICE_WIDTH = 4096
_NORMS = nn.modules.batchnorm._BatchNorm


@dataclass(frozen=True)
class Slice:
    """Features ``start`` to ``stop`` of a layer, collected in one pass."""

    layer: str
    start: int
    stop: int


@dataclass(frozen=True)
class ProbePlan:
    """What a probe will do.

    Attributes:
        shapes: of each layer's activity to one stimulus.
        average_time: whether that is the mean over time.
        passes: the slices that each pass over the stimuli collects.
        n_stimuli, batch_size: per pass.
        peak_bytes: of buffers, Gram matrices and one batch of activity, beyond the model itself.
        reports: how often each layer is called in a forward pass; a pass is broken off after the last one it needs.
        seconds: about how long it will take, from the time of single stimuli.
    """

    shapes: Mapping[str, tuple[int, ...]]
    passes: tuple[tuple[Slice, ...], ...]
    n_stimuli: int
    batch_size: int
    peak_bytes: int
    reports: Mapping[str, int]
    seconds: float = field(compare=False)
    average_time: bool = False

    @property
    def widths(self) -> dict[str, int]:
        """Features of each layer."""
        return {layer: math.prod(shape) for layer, shape in self.shapes.items()}

    def __str__(self) -> str:
        passes = f"{len(self.passes)} pass{'es' if len(self.passes) > 1 else ''}"
        return (
            f"probing {len(self.widths)} layers ({sum(self.widths.values()):,} features) over {self.n_stimuli} stimuli: "
            f"{passes} in batches of {self.batch_size}, about {self.peak_bytes / 2**20:,.0f} MiB beyond the model and "
            f"{self.seconds:,.0f} s"
        )


@dataclass(frozen=True)
class Look:
    """What one stimulus shows of a layer: its shape, how often it is called, and when it was last, in seconds."""

    shape: tuple[int, ...]
    calls: int
    reached: float


def plan(
    model: Model,
    stimuli: StimulusSet,
    layers: Sequence[str] | None,
    *,
    memory: int = MEMORY,
    batch_size: int = 64,
    keep_features: bool = False,
    average_time: bool = False,
) -> ProbePlan:
    """Plan the passes from one forward pass of one stimulus.

    Args:
        layers: names or globs; by default all of the model's layers that its forward pass calls.
        memory: bytes that buffers, Gram matrices and one batch's activity may take together.
        batch_size: stimuli per forward pass at most; fewer where a batch's activity (of a network, four times that of its
            widest layer; all of it where a rule settles) would take over 1/4 of ``memory``.
        keep_features: all features are held, too.
        average_time: see ``probe``.
    Raises:
        InputError: the Gram matrices alone exceed ``memory``, or a layer that was asked for is never called.
    """
    average_time = average_time and "seconds" in model.preprocess.describe()
    looks, folded = _look(model, stimuli, model.choose(layers), average_time)
    shapes = {layer: look.shape for layer, look in looks.items()}
    widths = {layer: math.prod(shape) for layer, shape in shapes.items()}
    unreached = [layer for layer in model.choose(layers) if layer not in widths]
    if unreached and (layers is not None or not widths):
        raise InputError(f"the forward pass of {model.name!r} never calls layer {unreached[0]!r}; choose other layers")
    if not widths:
        raise InputError(f"model {model.name!r} needs a layer to be probed, but none is chosen; name one or more")
    n, total = len(stimuli), sum(widths.values())
    active = total if model.rule is not None else min(total, 4 * max(widths.values()))
    batch_size = 1 if folded else max(1, min(batch_size, n, memory // (16 * active)))
    fixed = 8 * n * n * (len(widths) + 1) + 8 * n * SLICE_WIDTH + 4 * batch_size * active
    fixed += 4 * n * total if keep_features else 0
    columns = (memory - fixed) // (4 * n)  # of float32 buffer that one pass may fill
    if columns < 1:
        raise InputError(
            f"probing {len(widths)} layers over {n} stimuli needs more than {fixed / 2**20:,.0f} MiB for its "
            f"{'features' if keep_features else 'Gram matrices'}, but the budget is {memory / 2**20:,.0f} MiB; "
            "probe fewer layers at once or allow more memory"
        )
    passes = _pack(widths, columns)
    widest = max(sum(piece.stop - piece.start for piece in part) for part in passes)
    seconds = n * sum(max(looks[piece.layer].reached for piece in part) for part in passes)
    seconds += _seconds_per_slice(n) * total / SLICE_WIDTH
    reports = {layer: look.calls for layer, look in looks.items()}
    return ProbePlan(shapes, passes, n, batch_size, fixed + 4 * n * widest, reports, seconds, average_time)


def _seconds_per_slice(n: int) -> float:
    """How long it takes to add a slice of features to a Gram matrix."""
    features = np.ones((n, SLICE_WIDTH), np.float32)
    start = time.perf_counter()
    gram_and_sums(features)
    return time.perf_counter() - start


def _pack(widths: Mapping[str, int], columns: int) -> tuple[tuple[Slice, ...], ...]:
    """Fill passes of ``columns`` features with the layers in order, cutting a layer where a pass ends."""
    passes: list[list[Slice]] = [[]]
    room = columns
    for layer, width in widths.items():
        start = 0
        while start < width:
            if room == 0:
                passes.append([])
                room = columns
            stop = min(width, start + room)
            passes[-1].append(Slice(layer, start, stop))
            room -= stop - start
            start = stop
    return tuple(map(tuple, passes))


def probe(
    model: Model | Given,
    stimuli: StimulusSet,
    layers: Sequence[str] | None = None,
    *,
    memory: int = MEMORY,
    batch_size: int = 64,
    keep_features: bool = False,
    average_time: bool = False,
    track: Track = silent,
) -> dict[str, Representation]:
    """The representation of a stimulus set in each layer.

    A network is put in evaluation mode for the probe and restored after it; the plan is logged before it starts.

    Args:
        model: what to probe.
        stimuli: what to show it.
        layers: names or globs; all of the model's layers by default.
        memory, batch_size: see ``plan``.
        keep_features: also hold each layer's features, float32, for metrics that look at them.
        average_time: of a network for sounds, average each layer over time, the last axis, where it has one, as Kell et al.
            2018 and Tuckute et al. 2023 do: responses to whole sounds do not depend on when in it something was heard.
        track: shows progress over batches.
    Returns:
        layer name -> ``Representation`` over ``stimuli.ids``, in network order; of a module that is called more than
        once in a forward pass, the last call.
    Raises:
        InputError: an unknown layer, activity that is not finite, or too small a budget.
    """
    if isinstance(model, Given):
        return _chosen(model, stimuli, layers)
    modes = {module: module.training for module in model.net.modules()}
    model.net.eval()
    try:
        _check_mode(model)
        steps = plan(
            model, stimuli, layers, memory=memory, batch_size=batch_size, keep_features=keep_features,
            average_time=average_time,
        )  # fmt: skip
        log.info("%s", steps)
        n = len(stimuli)
        grams = {layer: [np.zeros((n, n)), np.zeros(n)] for layer in steps.widths}
        kept = {layer: np.empty((n, w), np.float32) for layer, w in steps.widths.items() if keep_features}
        for number, part in enumerate(steps.passes, 1):
            buffers = _collect(model, stimuli, part, steps, track, f"probe {model.name} {number}/{len(steps.passes)}")
            for piece in part:
                features = buffers.pop(piece.layer)
                if keep_features:
                    kept[piece.layer][:, piece.start : piece.stop] = features.cpu().numpy()
                gram, sums = _gram_and_sums(features)
                grams[piece.layer][0] += gram
                grams[piece.layer][1] += sums
                del features  # before the next pass makes room for its own
    finally:
        for module, mode in modes.items():
            module.training = mode
    settings = model.preprocess.describe()
    provenance = {"stimuli": stimuli.name}
    if "seconds" in settings:
        provenance |= {"seconds": settings["seconds"], "time": "averaged" if steps.average_time else "kept"}
    device = model.device.type
    return {
        layer: Representation(
            layer, stimuli.ids, gram, sums, math.prod(shape), provenance, kept.get(layer), device, shape
        )
        for (layer, (gram, sums)), shape in zip(grams.items(), steps.shapes.values(), strict=True)
    }


def _gram_and_sums(features: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """``X X^T`` and ``X 1`` in float64; on a CUDA device where the features are there."""
    if features.device.type != "cuda":
        return gram_and_sums(features.cpu().numpy(), SLICE_WIDTH)
    gram, sums = features.new_zeros((len(features),) * 2, dtype=torch.float64), features.double().sum(1)
    for part in features.split(SLICE_WIDTH, 1):
        wide = part.double()
        gram.addmm_(wide, wide.T)
    return gram.cpu().numpy(), sums.cpu().numpy()


def _chosen(model: Given, stimuli: StimulusSet, patterns: Sequence[str] | None) -> dict[str, Representation]:
    represented = model.represent(stimuli)
    for pattern in patterns or ():
        if pattern not in represented and not fnmatch.filter(represented, pattern):
            raise unknown_name(f"layer of {model.name!r}", pattern, represented)
    return {
        layer: representation
        for layer, representation in represented.items()
        if patterns is None or layer in patterns or any(fnmatch.fnmatchcase(layer, pattern) for pattern in patterns)
    }


def _collect(
    model: Model, stimuli: StimulusSet, part: Sequence[Slice], steps: ProbePlan, track: Track, title: str
) -> dict[str, Tensor]:
    """One pass over the stimuli: each slice's features, float32 ``(stimuli, stop - start)``."""
    pieces = {piece.layer: piece for piece in part}
    buffers = {p.layer: torch.empty(len(stimuli), p.stop - p.start, device=model.device) for p in part}
    loads = batches(stimuli, model.preprocess, steps.batch_size)
    reports = sum(steps.reports[layer] for layer in pieces)
    for rows, load in track(loads, title, len(loads)):

        def sink(layer: str, activity: Tensor, rows: slice = rows) -> None:
            activity = _over_time(activity, steps.average_time)
            piece = pieces[layer]
            n, width = rows.stop - rows.start, steps.widths[layer]
            if activity.numel() not in (width, n * width):  # width: the same for all stimuli, a position code say
                return  # a module that is called again later, on other shapes: its last call is what counts
            buffers[layer][rows] = activity.reshape(-1, width)[:, piece.start : piece.stop].to(buffers[layer])

        model.visit(torch.from_numpy(load()).to(model.device), list(pieces), sink, reports)
    return buffers


def _over_time(activity: Tensor, average: bool) -> Tensor:
    """``(B, ..., time)`` averaged over time, if so wanted; what has no time as it is."""
    return activity.mean(-1) if average and activity.ndim > 2 else activity


def _look(
    model: Model, stimuli: StimulusSet, layers: Sequence[str], average_time: bool
) -> tuple[dict[str, Look], bool]:
    """What there is to see of each layer that is called; whether one has no row per stimulus.

    Windows and patches folded into the batch (Swin, LeViT), or time before batch: how such rows belong to stimuli is
    known for one stimulus at a time only.
    """
    _, load = batches(stimuli, model.preprocess, 1)[0]
    x = torch.from_numpy(load()).to(model.device)
    _seen(model, x, layers, average_time)  # the first time is spent on more than will be
    looks, rows = _seen(model, x, layers, average_time)
    return {layer: looks[layer] for layer in layers if layer in looks}, rows != {1}


def _seen(model: Model, x: Tensor, layers: Sequence[str], average_time: bool) -> tuple[dict[str, Look], set[int]]:
    looks: dict[str, Look] = {}
    rows: set[int] = set()
    start = time.perf_counter()

    def sink(layer: str, activity: Tensor) -> None:
        activity = _over_time(activity, average_time)
        calls = looks[layer].calls if layer in looks else 0
        one_row = activity.ndim > 0 and activity.shape[0] == 1
        shape = tuple(activity.shape[1:] if one_row else activity.shape)
        looks[layer] = Look(shape, calls + 1, time.perf_counter() - start)
        rows.add(activity.shape[0] if activity.ndim else 0)

    try:
        model.visit(x, layers, sink)
    except RuntimeError as error:  # what torch raises where shapes do not fit
        raise InputError(
            f"model {model.name!r} does not take inputs of shape {tuple(x.shape)}: {error}; check its preprocessing"
        ) from error
    return looks, rows


def _check_mode(model: Model) -> None:
    """A published claim was once reversed by an ``eval()`` that did nothing: look instead of trusting it."""
    for name, module in model.net.named_modules():
        if isinstance(module, _NORMS) and module.running_mean is None:
            raise InputError(
                f"layer {name!r} of {model.name!r} has no running statistics, so its activity would depend on the batch; "
                "make it with track_running_stats=True"
            )
        if isinstance(module, _NORMS) and module.training:
            raise InputError(
                f"layer {name!r} of {model.name!r} stays in training mode after eval(), so its activity would depend on "
                "the batch; mend the model's eval() or train() method"
            )
