"""A study's results for other tools: one tidy table, RDMs for rsatoolbox, recordings for xarray and Brain-Score, figures at
the widths that journals print.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from neurocompare import assembly, plot
from neurocompare.benchmark import Benchmark
from neurocompare.errors import InputError, unknown_name
from neurocompare.files import atomic
from neurocompare.metrics import METRICS, data_for
from neurocompare.metrics.rsa import neural_rdms
from neurocompare.report.geometry import layer_rdms, networks
from neurocompare.study import Study

WIDTHS = {"single": 89, "double": 183}  # mm, one and two columns of Nature; Science and Cell are within 5 % of these
FONT = 6.5  # pt, between the 5 and 7 that they ask for
PANEL = 58  # mm, height of a panel
LEGEND_ROW = 3.3  # mm
SMALLER = 0.65  # marks and lines, beside those on a screen
VERSIONS: dict[int, Literal["scipy", "h5netcdf"]] = {3: "scipy", 4: "h5netcdf"}


def export(study: Study, folder: Path, kinds: Sequence[str] = ()) -> list[Path]:
    """Write what a study has into ``folder``.

    Args:
        study: with at least one score.
        folder: made where it is not there.
        kinds: keys of ``KINDS``; all of them by default.
    Returns:
        The files written.
    Raises:
        InputError: an unknown kind; there is no score yet; rsatoolbox is not installed.
        DataUnavailable: recordings are asked for and cannot be had.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise unknown_name("kind of export", kind, KINDS)
    return [path for kind, write in KINDS.items() if kind in (kinds or KINDS) for path in write(study, folder)]


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table of scores as CSV or parquet, whichever the name of ``path`` ends in.

    Raises:
        InputError: it ends in something else.
    """
    writers: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda temporary: table.to_csv(temporary, index=False),
        ".parquet": lambda temporary: table.to_parquet(temporary, index=False),
    }
    if path.suffix not in writers:
        raise InputError(f"a table is written as {' or '.join(writers)}, but {path.name!r} ends in {path.suffix!r}")
    with atomic(path) as temporary:
        writers[path.suffix](temporary)
    return path


def write_assembly(benchmark: Benchmark, path: Path, version: int = 4) -> Path:
    """Write a benchmark's recordings as netCDF with one variable, ``data``, as Brain-Score packages them.

    Dims, coords and units are those of ``neurocompare.assembly``; ``xarray.open_dataarray`` reads the file, and so does the
    ``from_files`` of Brain-Score's assemblies. Where the data came from is in the attributes.

    Args:
        benchmark: responses or RDMs.
        path: of the file.
        version: 4 (HDF5, compressed) or 3 (which every netCDF library reads).
    Raises:
        InputError: another version.
    """
    if version not in VERSIONS:
        raise InputError(f"netCDF is written in version {' or '.join(map(str, VERSIONS))}, but {version} was asked for")
    data = benchmark.data.rename("data").assign_attrs(
        identifier=benchmark.name,
        stimulus_set_identifier=benchmark.stimuli.name,
        citation=benchmark.citation,
        licence=benchmark.licence,
        sha256=benchmark.fingerprint,
    )
    # As objects: pandas 3 has a string type of its own, which netCDF does not know.
    texts = {n: c.astype(object) for n, c in data.coords.items() if c.dtype.kind not in "biuf"}
    small = {"zlib": True, "complevel": 1} if version == 4 else {}
    with atomic(path) as temporary:
        data.assign_coords(texts).to_netcdf(temporary, engine=VERSIONS[version], encoding={"data": small})
    return path


def rdms(
    dissimilarities: np.ndarray, ids: Sequence[str], names: Mapping[str, Sequence[Any]], measure: str, **about: str
) -> Any:
    """RDMs as rsatoolbox has them.

    Args:
        dissimilarities: condensed, ``(rdms, pairs)`` in ``pdist`` order.
        ids: of the stimuli.
        names: of the RDMs: a value for each, by descriptor ("subject", or "model" and "layer").
        measure: of dissimilarity.
        about: descriptors of all of them.
    Returns:
        ``rsatoolbox.rdm.RDMs`` with the pattern descriptor ``stimulus_id``.
    Raises:
        InputError: rsatoolbox is not installed.
    """
    try:
        from rsatoolbox.rdm import RDMs
    except ImportError as error:
        raise InputError(f"RDMs for rsatoolbox need rsatoolbox ({error}); pip install rsatoolbox") from error
    return RDMs(
        np.asarray(dissimilarities, np.float64),
        dissimilarity_measure=measure,
        descriptors=dict(about),
        rdm_descriptors={name: list(values) for name, values in names.items()},
        pattern_descriptors={"stimulus_id": list(ids)},
    )


def brain_rdms(benchmark: Benchmark) -> Any:
    """A benchmark's RDMs for rsatoolbox, one per subject; of responses one, ``1 - Pearson r`` over all neuroids."""
    data = data_for(METRICS["rsa_spearman"], benchmark.data)
    found = neural_rdms(data)
    measure = str(benchmark.data.attrs["units"]) if assembly.is_rdms(data) else "1 - Pearson r"
    about = {"benchmark": benchmark.name, "citation": benchmark.citation, "licence": benchmark.licence}
    names = {"subject": [str(subject) for subject in found["subject"].values]}
    return rdms(found.values, assembly.stimulus_ids(data), names, measure, **about)


def network_rdms(study: Study, benchmark: Benchmark) -> Any | None:
    """RDMs (``1 - Pearson r``) of the trained networks of a study's first seed over a benchmark's stimuli, for rsatoolbox.

    Returns:
        An RDM for each model and layer in which one is defined; None where nothing has been trained.
    """
    ids = assembly.stimulus_ids(benchmark.data)
    found, _ = layer_rdms(networks(study), benchmark, ids)
    if not found:
        return None
    models, layers = zip(*found, strict=True)
    seed = str(study.spec.seeds[0])
    return rdms(np.stack(list(found.values())), ids, {"model": models, "layer": layers}, "1 - Pearson r", seed=seed)


def write_rdms(these: Any, path: Path) -> Path:
    """Write RDMs of rsatoolbox as HDF5, which ``rsatoolbox.rdm.rdms.load_rdm`` reads."""
    with atomic(path) as temporary:
        temporary.unlink()  # rsatoolbox adds to a file that is there
        these.save(str(temporary), file_type="hdf5")
    return path


def write_figures(table: pd.DataFrame, folder: Path, formats: Sequence[str] = ("pdf", "svg")) -> list[Path]:
    """Draw the figures of ``neurocompare.plot`` at the widths of ``WIDTHS``, type in 6.5 pt.

    One column holds one benchmark and metric; two columns hold up to three benchmarks with all their metrics.

    Args:
        table: as ``Score.table`` makes it.
        folder: for the files, ``<kind>_<what>_<width>mm.<format>``.
        formats: of ``plot.FORMATS``.
    """
    benchmarks = list(dict.fromkeys(table["benchmark"]))
    threes = [benchmarks[start : start + 3] for start in range(0, len(benchmarks), 3)]
    parts = {f"{b}_{m}": (part, "single") for (b, m), part in table.groupby(["benchmark", "metric"], sort=False)}
    parts |= {f"part{n}": (table[table["benchmark"].isin(some)], "double") for n, some in enumerate(threes, 1)}
    paths = []
    for kind, draw in (("by_layer", plot.by_layer), ("by_rule", plot.by_rule)):
        for name, (part, width) in parts.items():
            stem = folder / f"{kind}_{name}_{WIDTHS[width]}mm"
            paths += plot.save(at_width(draw(part), WIDTHS[width]), stem, formats)
    return paths


def at_width(figure: Figure, millimetres: float) -> Figure:
    """A figure of ``neurocompare.plot`` in print: its width, its type, and a legend that fits.

    Args:
        figure: is changed.
        millimetres: its width.
    """
    rows = len({axis.get_subplotspec().rowspan.start for axis in figure.axes if axis.get_visible()})  # type: ignore[union-attr]
    legend = figure.legends[0]
    handles, title = [handle for handle in legend.legend_handles if handle], legend.get_title().get_text()
    legend.remove()
    for axis in figure.axes:
        axis.tick_params(labelsize=FONT - 0.5, length=2, width=SMALLER)
        axis.spines[:].set_linewidth(SMALLER)
        for text in (axis.title, axis.xaxis.label, axis.yaxis.label):
            text.set_fontsize(FONT)
    for line in (*(line for axis in figure.axes for line in axis.lines), *handles):
        if isinstance(line, Line2D) and line.get_linewidth() < 5:  # the ceiling's handle is a broad line
            line.set(markersize=SMALLER * line.get_markersize(), linewidth=SMALLER * line.get_linewidth())
    columns = max(1, int(millimetres // 44))
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False,
        fontsize=FONT, title=title, title_fontsize=FONT, handlelength=2.2, columnspacing=1, labelspacing=0.3,
    )  # fmt: skip
    height = PANEL * rows + LEGEND_ROW * (math.ceil(len(handles) / columns) + 2)
    figure.set_size_inches(millimetres / 25.4, height / 25.4)
    return figure


def _tables(study: Study, folder: Path) -> list[Path]:
    table = study.table()
    return [write_table(table, folder / f"scores.{suffix}") for suffix in ("csv", "parquet")]


def _figures(study: Study, folder: Path) -> list[Path]:
    return write_figures(study.table(), folder / "figures")


def _assemblies(study: Study, folder: Path) -> list[Path]:
    return [
        write_assembly(benchmark, folder / "assemblies" / f"{name}.netcdf{version}.nc", version)
        for name, benchmark in study.models.benchmarks.items()
        for version in VERSIONS
    ]


def _rdms(study: Study, folder: Path) -> list[Path]:
    paths = []
    for name, benchmark in study.models.benchmarks.items():
        paths.append(write_rdms(brain_rdms(benchmark), folder / "rdms" / f"{name}.h5"))
        if (of_networks := network_rdms(study, benchmark)) is not None:
            paths.append(write_rdms(of_networks, folder / "rdms" / f"{name}.networks.h5"))
    return paths


KINDS: dict[str, Callable[[Study, Path], list[Path]]] = {
    "tables": _tables,
    "figures": _figures,
    "assemblies": _assemblies,
    "rdms": _rdms,
}
