"""Neural data as plain ``xarray.DataArray``: how it is made, checked, averaged and aligned.

Two shapes exist. Responses have dims ``presentation x neuroid`` with the non-index coords ``stimulus_id`` and
``repetition`` on presentations and ``neuroid_id``, ``region``, ``subject`` on neuroids; where they were recorded over time
they have a third dim ``time_bin`` with the coords ``time_bin_start`` and ``time_bin_end``, in seconds from the stimulus's
onset. Data published only as
dissimilarities have dims ``subject x pair`` with the coords ``stimulus_1`` and ``stimulus_2`` on pairs, in the
order of ``scipy.spatial.distance.pdist``. What else is known of a stimulus (``label``, its class) is a coord on
presentations, or two on pairs (``label_1``, ``label_2``); see ``with_stimulus_coord``. Splits that come with responses are
the coords ``train_0``, ``train_1``, ... on presentations, true to fit on.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from neurocompare.errors import InputError

_DIMS = ("presentation", "neuroid")
_TIMED_DIMS = (*_DIMS, "time_bin")
_DIM_OF = {
    **dict.fromkeys(("stimulus_id", "repetition"), "presentation"),
    "neuroid_id": "neuroid",
    **dict.fromkeys(("time_bin_start", "time_bin_end"), "time_bin"),
    "subject": "subject",
    **dict.fromkeys(("stimulus_1", "stimulus_2"), "pair"),
}


def response_assembly(
    values: np.ndarray,
    stimulus_ids: Sequence[str],
    *,
    repetitions: Sequence[int] | None = None,
    neuroid_ids: Sequence[str],
    region: str,
    subjects: Sequence[str] | str,
    units: str,
    time_bins: np.ndarray | None = None,
) -> xr.DataArray:
    """Responses of neuroids to presentations.

    Args:
        values: ``(presentations, neuroids)``, or with time ``(presentations, neuroids, time bins)``, in ``units``.
        stimulus_ids: the stimulus of each presentation.
        repetitions: which repetition of its stimulus each presentation was; all 0 where there was one.
        neuroid_ids: one unique name per neuroid.
        region: the brain region, one for all neuroids.
        subjects: the subject of each neuroid, or one for all.
        units: of the values, e.g. ``"spikes per 100 ms"``.
        time_bins: start and end of each time bin, ``(time bins, 2)``, in seconds from the stimulus's onset.
    Raises:
        InputError: as ``check_responses``, or names or time bins that do not fit the values.
    """
    if values.ndim not in (2, 3):
        raise InputError(f"responses need two dims, or three with time, but got an array of shape {values.shape}")
    n_presentations, n_neuroids, *n_bins = values.shape
    if n_bins != ([] if time_bins is None else [len(time_bins)]):
        raise InputError(
            f"values of shape {values.shape} need {f'{n_bins[0]} time bins' if n_bins else 'no time bins'}, but got "
            f"{'none' if time_bins is None else len(time_bins)}"
        )
    if time_bins is not None and np.shape(time_bins) != (n_bins[0], 2):
        raise InputError(f"time bins need a start and an end each, but their shape is {np.shape(time_bins)}")
    subject_of = [subjects] * n_neuroids if isinstance(subjects, str) else subjects
    repetition_of = np.zeros(n_presentations, int) if repetitions is None else np.asarray(repetitions)
    if repetition_of.shape != (n_presentations,):
        raise InputError(f"{n_presentations} presentations need a repetition each, but got {repetition_of.shape}")
    assembly = xr.DataArray(
        _numbers(values),
        dims=_DIMS if time_bins is None else _TIMED_DIMS,
        coords={
            "stimulus_id": ("presentation", _names("presentations", stimulus_ids, n_presentations)),
            "repetition": ("presentation", repetition_of),
            "neuroid_id": ("neuroid", _names("neuroids", neuroid_ids, n_neuroids)),
            "region": ("neuroid", _names("neuroids", [region] * n_neuroids, n_neuroids)),
            "subject": ("neuroid", _names("neuroids", subject_of, n_neuroids)),
        },
        attrs={"units": units},
    )
    if time_bins is not None:
        start, end = np.asarray(time_bins, dtype=np.float64).T
        assembly = assembly.assign_coords(time_bin_start=("time_bin", start), time_bin_end=("time_bin", end))
    check_responses(assembly)
    return assembly


def rdm_assembly(
    rdms: np.ndarray, stimulus_ids: Sequence[str], *, subjects: Sequence[str], measure: str
) -> xr.DataArray:
    """Dissimilarities per subject.

    Args:
        rdms: ``(subjects, pairs)``, pairs in ``pdist`` order.
        stimulus_ids: the ``n`` stimuli, ``pairs = n (n - 1) / 2``.
        subjects: one name per row.
        measure: the dissimilarity, e.g. ``"1 - Pearson r"``.
    Raises:
        InputError: as ``check_rdms``, or the number of pairs does not fit the number of stimuli.
    """
    n = len(stimulus_ids)
    if rdms.ndim != 2:
        raise InputError(f"RDMs need dims subject and pair, but got an array of shape {rdms.shape}")
    if rdms.shape[1] != n * (n - 1) // 2:
        raise InputError(f"{n} stimuli have {n * (n - 1) // 2} pairs, but the RDMs have {rdms.shape[1]}")
    first, second = np.triu_indices(n, 1)
    ids = _names("stimuli", stimulus_ids, n)
    assembly = xr.DataArray(
        _numbers(rdms),
        dims=("subject", "pair"),
        coords={
            "subject": _names("RDMs", subjects, len(rdms)),
            "stimulus_1": ("pair", ids[first]),
            "stimulus_2": ("pair", ids[second]),
        },
        attrs={"units": measure},
    )
    check_rdms(assembly)
    return assembly


def _numbers(values: np.ndarray) -> np.ndarray:
    if values.dtype.kind not in "fiub":
        raise InputError(f"an assembly needs real numbers, but got {values.dtype}")
    return np.asarray(values, dtype=np.float64)


def _names(kind: str, names: Sequence[str], n: int) -> np.ndarray:
    if len(names) != n:
        raise InputError(f"{n} {kind} need a name each, but got {len(names)}")
    if any("\0" in str(name) for name in names):
        raise InputError(f"names of {kind} must not have a zero character, as numpy drops it at the end")
    return np.asarray(names, dtype=str)


def is_rdms(assembly: xr.DataArray) -> bool:
    """Whether the data are dissimilarities (``subject x pair``) rather than responses."""
    return "pair" in assembly.dims


def has_time(assembly: xr.DataArray) -> bool:
    """Whether the data are responses over time (``presentation x neuroid x time_bin``)."""
    return "time_bin" in assembly.dims


def average_time(assembly: xr.DataArray) -> xr.DataArray:
    """The mean over time bins, ``presentation x neuroid``; data without time as they are."""
    return assembly.mean("time_bin", keep_attrs=True) if has_time(assembly) else assembly


def stimulus_ids(assembly: xr.DataArray) -> list[str]:
    """The distinct stimuli of an assembly, in order of first appearance."""
    if is_rdms(assembly):
        n = (1 + math.isqrt(1 + 8 * assembly.sizes["pair"])) // 2
        return [str(assembly["stimulus_1"].values[0]), *map(str, assembly["stimulus_2"].values[: n - 1])]
    return list(dict.fromkeys(map(str, assembly["stimulus_id"].values)))


def with_stimulus_coord(assembly: xr.DataArray, name: str, values: Mapping[str, str]) -> xr.DataArray:
    """The assembly with something known of each stimulus, such as its ``label``, as a coord.

    Args:
        name: of the coord.
        values: by stimulus id.
    Raises:
        InputError: a stimulus has no value.
    """
    missing = [stimulus for stimulus in stimulus_ids(assembly) if stimulus not in values]
    if missing:
        raise InputError(
            f"{name} needs a value for each stimulus, but {len(missing)} have none (first: {missing[0]!r})"
        )
    places = {"stimulus_1": f"{name}_1", "stimulus_2": f"{name}_2"} if is_rdms(assembly) else {"stimulus_id": name}
    coords = {
        coord: (assembly[stimulus].dims, [values[str(s)] for s in assembly[stimulus].values])
        for stimulus, coord in places.items()
    }
    return assembly.assign_coords(coords)


def contents(assembly: xr.DataArray) -> list[str]:
    """Equal for stimuli of equal content, in the order of ``stimulus_ids``: the coord ``content``, or else the ids."""
    return stimulus_coord(assembly, "content") or stimulus_ids(assembly)


def stimulus_coord(assembly: xr.DataArray, name: str) -> list[str] | None:
    """What ``with_stimulus_coord`` put in, in the order of ``stimulus_ids``; None where nothing was."""
    if is_rdms(assembly):
        if f"{name}_1" not in assembly.coords:
            return None
        n = len(stimulus_ids(assembly))
        return [str(assembly[f"{name}_1"].values[0]), *map(str, assembly[f"{name}_2"].values[: n - 1])]
    if name not in assembly.coords:
        return None
    return list(
        dict(zip(map(str, assembly["stimulus_id"].values), map(str, assembly[name].values), strict=True)).values()
    )


def check(assembly: xr.DataArray) -> None:
    """Check an assembly of either shape; see ``check_responses`` and ``check_rdms``."""
    (check_rdms if is_rdms(assembly) else check_responses)(assembly)


def check_responses(assembly: xr.DataArray) -> None:
    """Check a ``presentation x neuroid`` or ``presentation x neuroid x time_bin`` assembly.

    Raises:
        InputError: wrong dims or dtype, a missing coord, repeated neuroid ids, time bins out of order, a value that is not
            finite, or a neuroid that responds to every presentation alike.
    """
    coords = ("stimulus_id", "repetition", "neuroid_id")
    if has_time(assembly):
        _check_shape(assembly, _TIMED_DIMS, (*coords, "time_bin_start", "time_bin_end"))
        start, end = (_numbers(assembly[name].values) for name in ("time_bin_start", "time_bin_end"))
        if not ((start < end).all() and (np.diff(start) > 0).all()):
            raise InputError("time bins must be in order, and each must end after it starts, in seconds from onset")
    else:
        _check_shape(assembly, _DIMS, coords)
    names = list(map(str, assembly["neuroid_id"].values))  # numpy's strings would show as np.str_('...')
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(f"neuroid ids must be unique, but {name!r} occurs {count} times")
    bad = ~np.isfinite(assembly.values)
    if bad.any():
        row, column = np.argwhere(bad)[0][:2]
        raise InputError(
            f"responses must be finite, but {bad.sum()} are not (first: stimulus "
            f"{str(assembly['stimulus_id'].values[row])!r}, neuroid {names[column]!r}); drop those presentations or neuroids"
        )
    others = tuple(axis for axis in range(assembly.ndim) if axis != 1)
    flat = np.flatnonzero(assembly.values.max(others) == assembly.values.min(others))
    if flat.size:
        raise InputError(
            f"{flat.size} of {len(names)} neuroids respond to every presentation alike (first: {names[flat[0]]!r}), "
            f"so no score is defined for them; drop them"
        )


def check_rdms(assembly: xr.DataArray) -> None:
    """Check a ``subject x pair`` assembly.

    Raises:
        InputError: wrong dims or dtype, a missing coord, a repeated stimulus, pairs out of order, a value that is not
            finite, or a constant RDM.
    """
    _check_shape(assembly, ("subject", "pair"), ("subject", "stimulus_1", "stimulus_2"))
    ids = stimulus_ids(assembly)
    pairs = zip(assembly["stimulus_1"].values, assembly["stimulus_2"].values, strict=True)
    if [(str(a), str(b)) for a, b in pairs] != list(itertools.combinations(ids, 2)):
        raise InputError("pairs must be all pairs of the stimuli in pdist order; make the data with rdm_assembly")
    if len(set(ids)) != len(ids):
        raise InputError(f"stimulus ids must be unique, but {len(ids) - len(set(ids))} of {len(ids)} occur again")
    for subject, row in zip(map(str, assembly["subject"].values), assembly.values, strict=True):
        if not np.isfinite(row).all():
            raise InputError(
                f"dissimilarities must be finite, but {(~np.isfinite(row)).sum()} of subject {subject!r} are not"
            )
        if np.ptp(row) == 0:
            raise InputError(f"the RDM of subject {subject!r} is constant, so no comparison is defined; drop it")


def _check_shape(assembly: xr.DataArray, dims: tuple[str, ...], coords: tuple[str, ...]) -> None:
    if assembly.dims != dims:
        raise InputError(f"an assembly needs dims {dims}, but got {assembly.dims}")
    missing = [name for name in coords if name not in assembly.coords]
    if missing:
        raise InputError(f"an assembly needs the coords {coords}, but {missing} are missing")
    for name in coords:
        if assembly[name].dims != (_DIM_OF[name],):
            raise InputError(f"the coord {name} needs the dim {_DIM_OF[name]!r} alone, but has {assembly[name].dims}")
    if assembly.size == 0:
        raise InputError(f"an assembly needs data, but its shape is {assembly.shape}")
    if assembly.dtype.kind not in "fiu":
        raise InputError(f"an assembly needs real numbers, but got {assembly.dtype}")


def group_means(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The mean of the values that share a group.

    Args:
        values: ``(presentations, ...)``.
        rows: the group of each presentation, from 0 with none left out.
    Returns:
        ``(groups, ...)``.
    """
    flat = values.reshape(len(values), -1)
    sums = np.zeros((rows.max() + 1, flat.shape[1]))
    np.add.at(sums, rows, flat)
    return (sums / np.bincount(rows)[:, None]).reshape(-1, *values.shape[1:])


def average_repetitions(assembly: xr.DataArray) -> xr.DataArray:
    """The mean response to each stimulus, ``(stimuli, neuroids)`` or with time, stimuli in order of first appearance.

    Coords of presentations stay where they are the same for all of a stimulus.
    """
    ids = stimulus_ids(assembly)
    index = {stimulus: row for row, stimulus in enumerate(ids)}
    rows = np.asarray([index[str(s)] for s in assembly["stimulus_id"].values])
    first = np.unique(rows, return_index=True)[1]
    kept = {name: coord for name, coord in assembly.coords.items() if coord.dims in (("neuroid",), ("time_bin",))}
    of_stimuli = {
        name: coord.values[first]
        for name, coord in assembly.coords.items()
        if coord.dims == ("presentation",)
        and name not in ("stimulus_id", "repetition")
        and (coord.values == coord.values[first][rows]).all()
    }
    return xr.DataArray(
        group_means(assembly.values, rows),
        dims=assembly.dims,
        coords={
            **kept,
            "stimulus_id": ("presentation", ids),
            "repetition": ("presentation", np.zeros(len(ids), int)),
            **{name: ("presentation", values) for name, values in of_stimuli.items()},
        },
        attrs=assembly.attrs,
    )


def check_stimuli_match(assembly: xr.DataArray, ids: Sequence[str]) -> None:
    """Check that the stimuli at hand are those the brain saw.

    Raises:
        InputError: a stimulus of the assembly is not among ``ids``, or one of ``ids`` has no response.
    """
    recorded, given = set(stimulus_ids(assembly)), set(ids)
    if len(given) != len(ids):
        raise InputError(f"stimulus ids must be unique, but {len(ids) - len(given)} of {len(ids)} occur again")
    for missing, text in (
        (recorded - given, "has responses but no stimulus"),
        (given - recorded, "has no responses"),
    ):
        if missing:
            raise InputError(
                f"the stimuli do not match the assembly: {len(missing)} of {len(recorded | given)} ids differ; "
                f"{min(missing)!r} {text}; pass the stimulus set that was shown"
            )
