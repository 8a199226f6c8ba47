"""Score every layer of a model on a benchmark: raw, ceiling, normalized, and the name of the formula."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurocompare import assembly
from neurocompare.benchmark import Benchmark
from neurocompare.errors import InputError, unknown_name
from neurocompare.files import atomic
from neurocompare.metrics import METRICS, Ceiling, Joint, Metric, OverTime, data_for
from neurocompare.model import Given, Model
from neurocompare.probe import MEMORY, probe
from neurocompare.progress import Track, silent
from neurocompare.representation import Representation, side_by_side

ALL_LAYERS = "all layers"
_PACKAGES = ("neurocompare", "torch", "numpy", "scipy", "scikit-learn", "xarray")


@dataclass(frozen=True)
class Score:
    """The scores of a model's layers on one benchmark under one metric.

    Attributes:
        data: over ``layer``: ``raw`` (with ``subject``, or ``split`` and ``neuroid``), ``value`` (its aggregate),
            ``error`` (standard error), ``normalized``, ``effective_dimensionality``, ``n_features`` and ``note`` (why a
            layer has no score); ceiling, formula, names and ``provenance`` (JSON) in ``attrs``.
    """

    data: xr.Dataset

    def table(self) -> pd.DataFrame:
        """One row per layer, tidy."""
        attrs, data = self.data.attrs, self.data
        provenance = json.loads(attrs["provenance"])
        n_layers = data.sizes["layer"]
        return pd.DataFrame({
            "model": attrs["model"],
            "seed": pd.array([None if attrs["seed"] < 0 else attrs["seed"]] * n_layers, dtype="Int64"),
            "layer": data["layer"].values.astype(str),
            "depth": np.arange(1, n_layers + 1),
            "benchmark": attrs["benchmark"],
            "metric": attrs["metric"],
            "raw": data["value"].values,
            "error": data["error"].values,
            "ceiling": attrs["ceiling"],
            "ceiling_lower": attrs["ceiling_lower"],
            "ceiling_upper": attrs["ceiling_upper"],
            "normalized": data["normalized"].values,
            "formula": attrs["formula"],
            "effective_dimensionality": data["effective_dimensionality"].values,
            "n_features": data["n_features"].values,
            "n_stimuli": attrs["n_stimuli"],
            "n_units": attrs["n_units"],
            "task_accuracy": provenance["model"].get("training", {}).get("test_accuracy", np.nan),
            "note": data["note"].values.astype(str),
        })  # fmt: skip

    @property
    def steps(self) -> int | None:
        """After how many steps of training the model was scored; None where it is none that was trained here."""
        training = json.loads(self.data.attrs["provenance"])["model"].get("training")
        if training is None:
            return None
        return training.get("step", training["epochs"] * (training["train_items"] // training["batch_size"]))

    def save(self, path: Path) -> None:
        """Write netCDF, whole or not at all.

        It is netCDF 3, which every netCDF library reads and scipy reads ten times faster than HDF5-based netCDF 4; a study
        has many small files. A checksum of the content is an attribute of it.
        """
        with atomic(path) as temporary:
            self.data.assign_attrs(sha256=_content_sha256(self.data)).to_netcdf(temporary, engine="scipy")

    @classmethod
    def load(cls, path: Path) -> Score:
        """Read what ``save`` wrote.

        Raises:
            DamagedScore: the file is not a readable netCDF score, or not what was written.
        """
        try:
            with xr.open_dataset(path, engine="scipy") as stored:
                data = _native(stored.load())
            written = data.attrs.pop("sha256", "none")
            reason = (
                "" if _content_sha256(data) == written else f"its content is not what was written (sha256 {written})"
            )
        except Exception as error:  # noqa: BLE001 (a damaged header can make scipy and xarray raise anything)
            reason = str(error).partition("\n")[0] or type(error).__name__
        if reason:
            raise DamagedScore(f"{path} is not a readable score: {reason}; delete it, and it is computed again")
        return cls(data)


class DamagedScore(InputError):
    """A score's file is not what was written."""


def _content_sha256(data: xr.Dataset) -> str:
    """Of values, dims, coordinates and attributes, whatever the types that a file format stores them in."""
    digest = hashlib.sha256()
    for name in sorted(map(str, data.variables)):
        values = data[name].values
        content = (
            values.astype(np.float64).tobytes()
            if values.dtype.kind in "fiu"
            else "\0".join(map(str, values.flat)).encode()
        )
        digest.update(f"{name}\0{data[name].dims}\0{values.shape}\0".encode() + content)
    attrs = {name: value.item() if isinstance(value, np.generic) else value for name, value in data.attrs.items()}
    digest.update(
        "".join(f"{k}\0{float(v) if isinstance(v, int | float) else v}\0" for k, v in sorted(attrs.items())).encode()
    )
    return digest.hexdigest()


def _native(data: xr.Dataset) -> xr.Dataset:
    """netCDF 3 stores numbers big-endian and integers short; hand out what was put in."""
    kinds = {"f": np.float64, "i": np.int64}
    # Not ``data.map``: to make arrays with their coords takes six times as long.
    variables = {name: data.variables[name] for name in data.data_vars}
    native = {name: v.astype(kinds[v.dtype.kind]) for name, v in variables.items() if v.dtype.kind in kinds}
    attrs = {key: value.item() if isinstance(value, np.generic) else value for key, value in data.attrs.items()}
    return data.assign(native).assign_attrs(attrs)


def resolve_metric(metric: str | Metric) -> Metric:
    """The metric of a name; a metric object is returned as it is.

    Raises:
        InputError: no such name.
    """
    if not isinstance(metric, str):
        return metric
    if metric not in METRICS:
        raise unknown_name("metric", metric, METRICS)
    return METRICS[metric]


def score(
    model: Model | Given,
    benchmark: Benchmark,
    metric: str | Metric | None = None,
    *,
    layers: Sequence[str] | None = None,
    memory: int = MEMORY,
    track: Track = silent,
) -> Score:
    """Probe a model with a benchmark's stimuli and score each layer.

    Args:
        model: what to score.
        benchmark: what to compare it with.
        metric: a key of ``METRICS`` or a metric; the benchmark's own by default.
        layers: names or globs; all of the model's layers by default.
        memory: bytes that probing may take; see ``probe.plan``.
        track: shows progress.
    Raises:
        InputError: no such metric or layer, or the metric is not defined for these data.
    """
    chosen = resolve_metric(benchmark.metric if metric is None else metric)
    representations = probe(
        model, benchmark.stimuli, layers, memory=memory, keep_features=chosen.needs_features,
        average_time=not isinstance(chosen, OverTime), track=track,
    )  # fmt: skip
    return score_layers(model.describe(), representations, benchmark, chosen)


def score_layers(
    description: Mapping[str, Any],
    representations: Mapping[str, Representation],
    benchmark: Benchmark,
    metric: Metric,
    ceiling: Ceiling | None = None,
) -> Score:
    """Score representations at hand.

    A layer for which the metric is undefined (a dead layer, say) gets NaN and the reason in ``note``; if that is so for
    all layers, the reason is raised. A joint metric scores all layers together, in one row.

    Args:
        description: of the model: ``model`` (its name), ``seed``, and what else identifies it.
        representations: by layer, over the benchmark's stimuli.
        ceiling: of this metric on these data, where it was computed before.
    """
    notes: dict[str, str] = {}
    if not representations:
        raise InputError(f"{description['model']!r} needs a layer to be scored, but has none")
    if isinstance(metric, Joint):
        raws = _joint_score(representations, benchmark, metric)
        representations = {ALL_LAYERS: side_by_side(ALL_LAYERS, list(representations.values()))}
    else:
        raws, notes = _raw_scores(representations, benchmark, metric)
    return _assembled(description, representations, raws, notes, benchmark, metric, ceiling)


def undefined(
    description: Mapping[str, Any], benchmark: Benchmark, metric: Metric, reason: str, ceiling: Ceiling | None = None
) -> Score:
    """The score of a model that has nothing to say of a benchmark's stimuli: NaN, with the reason.

    Args:
        description: of the model, as for ``score_layers``.
        reason: for the note.
        ceiling: where it was computed before.
    """
    name, n = str(description["model"]), len(benchmark.stimuli)
    nothing = Representation(name, benchmark.stimuli.ids, np.zeros((n, n)), np.zeros(n), 0)
    return _assembled(description, {name: nothing}, {}, {name: reason}, benchmark, metric, ceiling)


def _assembled(
    description: Mapping[str, Any],
    representations: Mapping[str, Representation],
    raws: Mapping[str, xr.DataArray],
    notes: Mapping[str, str],
    benchmark: Benchmark,
    metric: Metric,
    ceiling: Ceiling | None,
) -> Score:
    if not -1 < (seed := description["seed"] or 0) < 2**31:
        raise InputError(f"a score's file has room for seeds from 0 to {2**31 - 1}, but this one is {seed}")
    ceiling = metric.ceiling(data_for(metric, benchmark.data)) if ceiling is None else ceiling
    # As objects: pandas 3 would make its own string type of them, which numpy cannot convert.
    names = pd.Index(list(raws) or list(representations), name="layer", dtype=object)
    raw = xr.concat(list(raws.values()) or [xr.DataArray(float("nan"))] * len(names), names)
    raw = raw.reindex(layer=list(representations))
    nothing = (float("nan"),) * 2
    values, errors = zip(*(metric.aggregate(raws[k]) if k in raws else nothing for k in representations), strict=True)
    normalized = [metric.normalize(raws[k], ceiling) if k in raws else float("nan") for k in representations]
    layers = list(representations.values())
    data = xr.Dataset(
        {
            "raw": raw,
            "value": ("layer", np.asarray(values)),
            "error": ("layer", np.asarray(errors)),
            "normalized": ("layer", np.asarray(normalized)),
            "effective_dimensionality": ("layer", np.asarray([r.effective_dimensionality for r in layers])),
            "n_features": ("layer", np.asarray([r.n_features for r in layers])),
            "note": ("layer", np.asarray([notes.get(layer, "") for layer in representations])),
        },
        attrs={
            "model": description["model"],
            "seed": -1 if description["seed"] is None else description["seed"],  # netCDF has no missing integer
            "benchmark": benchmark.name,
            "metric": metric.name,
            "label": metric.label,
            "formula": metric.formula,
            "ceiling": ceiling.value,
            "ceiling_lower": ceiling.lower,
            "ceiling_upper": ceiling.upper,
            "ceiling_method": ceiling.method,
            "n_stimuli": len(benchmark.stimuli),
            "n_units": benchmark.data.sizes["subject" if assembly.is_rdms(benchmark.data) else "neuroid"],
            "provenance": json.dumps(_provenance(description, benchmark, metric)),
        },
    )
    return Score(data)


def _raw_scores(
    representations: Mapping[str, Representation], benchmark: Benchmark, metric: Metric
) -> tuple[dict[str, xr.DataArray], dict[str, str]]:
    raws, notes = {}, {}
    data = data_for(metric, benchmark.grouped_data)
    for layer, representation in representations.items():
        try:
            raws[layer] = metric.score(representation, data)
        except InputError as error:
            notes[layer] = str(error)
    if not raws:
        raise InputError(f"no layer can be scored on {benchmark.name}: {next(iter(notes.values()))}")
    return raws, notes


def _joint_score(
    representations: Mapping[str, Representation], benchmark: Benchmark, metric: Joint
) -> dict[str, xr.DataArray]:
    try:
        return {ALL_LAYERS: metric.score_together(representations, data_for(metric, benchmark.grouped_data))}
    except InputError as error:
        raise InputError(f"no layer can be scored on {benchmark.name}: {error}") from error


def describe_metric(metric: Metric) -> dict[str, Any]:
    """A metric's settings as plain values: parts with their kind, functions by name."""
    return {"name": metric.name, **_plain(metric)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__, **{f.name: _plain(getattr(value, f.name)) for f in fields(value)}}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return getattr(value, "__name__", value)


def _provenance(description: Mapping[str, Any], benchmark: Benchmark, metric: Metric) -> dict[str, Any]:
    return {
        "model": dict(description),
        "metric": describe_metric(metric),
        "benchmark": {
            "name": benchmark.name,
            "citation": benchmark.citation,
            "licence": benchmark.licence,
            "sha256": benchmark.fingerprint,
            "stimuli": benchmark.stimuli.name,
        },
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }
