"""What a study adds to the work that it consists of: workers, time and memory per cell, and folders of many cells.

    python benchmarks/study.py [workers] [overhead] [cells] [memory]

A cell is one score of a model on a benchmark. All run on the digits of scikit-learn and on the simulated brain, so offline,
and one thread per process; each study runs in a process of its own. Where two ways do the same, results are compared before
times are. Times mean little where other processes compete for the machine; CPU seconds stand beside where that may be.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from data_loaders import load_benchmark, load_dataset
from neurocompare.cells import Cell
from neurocompare.hearing import trainable
from neurocompare.metrics import METRICS
from neurocompare.networks import build
from neurocompare.probe import probe
from neurocompare.rules import RULES
from neurocompare.score import score_layers
from neurocompare.spec import StudySpec
from neurocompare.study import Study
from neurocompare.study.rows import Rows
from neurocompare.study.study import ROWS_AT_RISK
from neurocompare.train import train

FOUR = ("backprop", "feedback_alignment", "direct_feedback_alignment", "node_perturbation")
NETWORK = {"architecture": "convnet", "channels": [16, 32, 64], "hidden": [128]}
SMALL = {"architecture": "convnet", "channels": [4], "hidden": [8]}
QUICK = {"epochs": 1, "batch_size": 32, "items": 64}
METRIC_OF = {"simulated.rdm": "rsa_spearman", "simulated.units": "ridge"}  # two cells for each model
EPOCHS = (10, 60, 180)  # of the digits: 15 s, a minute, three minutes of one worker; workers take seconds to start
TARGETS = {"workers": 1.7, "overhead": 0.050, "cells": 5.0, "memory": 64}
MANY, SIZES = 10_000, (50, 200, 800)


def spec_of(cells: int, network: dict[str, Any], training: dict[str, Any], rules: tuple[str, ...]) -> StudySpec:
    """A study of rules alone that has so many cells."""
    seeds = range(cells // len(rules) // len(METRIC_OF))
    return StudySpec(
        name=f"{cells} cells", dataset="digits", rules=rules, controls=(), regions=False, seeds=tuple(seeds),
        network=network, training=training, benchmarks={name: (metric,) for name, metric in METRIC_OF.items()},
    )  # fmt: skip


def measured(do: str, folder: Path, spec: StudySpec | None = None, workers: int = 1) -> dict[str, float]:
    """What ``--do`` measures of a study in a process of its own, with one thread."""
    if spec is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "spec.json").write_text(spec.model_dump_json(), encoding="utf-8")
    command = [sys.executable, __file__, "--do", do, "--folder", str(folder), "--workers", str(workers)]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, env=alone, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])


def run_here(do: str, folder: Path, workers: int) -> None:
    """In that process: a line of JSON with seconds, CPU seconds and the most memory in MiB."""
    torch.set_num_threads(1)
    spec = StudySpec.model_validate_json((folder / "spec.json").read_text(encoding="utf-8"))
    study = Study(spec, folder / "study")
    calls: dict[str, Callable[[], object]] = {
        "run": lambda: study.run(workers=workers),
        "status": lambda: (study.status(), study.seconds_left()),
        "directly": lambda: directly(spec),
    }
    start, cpu = time.perf_counter(), time.process_time()
    calls[do]()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"s": time.perf_counter() - start, "cpu": time.process_time() - cpu, "MiB": peak}))


def directly(spec: StudySpec) -> None:
    """The trainings, probes and scores of a study as a script would call them, with nothing kept."""
    data = trainable(load_dataset(spec.dataset))
    data = data if spec.training.items is None else data.first(spec.training.items)
    shape = {"input_shape": list(data.input_shape), "n_classes": data.n_outputs}
    benchmarks = {name: load_benchmark(name).in_memory() for name in spec.benchmarks}
    ceilings = {name: METRICS[METRIC_OF[name]].ceiling(benchmark.data) for name, benchmark in benchmarks.items()}
    for rule in spec.rules:
        for seed in spec.seeds:
            net = build({**spec.network, **shape, "seed": seed})
            credit = RULES[rule].for_net(net, seed=seed)
            training = {"epochs": spec.training.epochs, "batch_size": spec.training.batch_size, "seed": seed}
            model = train(net, credit, data, **training).model()
            layers = probe(model, next(iter(benchmarks.values())).stimuli)  # the two have the same
            for name, benchmark in benchmarks.items():
                score_layers(model.describe(), layers, benchmark, METRICS[METRIC_OF[name]], ceilings[name])


def line(what: str, found: str, figure: float, target: float, *, least: bool = False) -> None:
    """A row of the table; figures are to stay below their target, or with ``least`` above it."""
    met = figure >= target if least else figure <= target
    print(f"{what:56} {found:>34} {figure:9.3f} {target:8.3f} {'' if met else 'MISSED'}", flush=True)


def workers(folder: Path) -> None:
    """Two workers against one, and whether the two tables are the same."""
    for epochs in EPOCHS:
        spec = spec_of(40, NETWORK, {"epochs": epochs, "batch_size": 64}, FOUR)
        places = [folder / f"{epochs}_{n}" for n in (1, 2)]
        one, two = (measured("run", place, spec, n)["s"] for n, place in enumerate(places, 1))
        tables = [pd.read_parquet(place / "study" / "scores.parquet") for place in places]
        pd.testing.assert_frame_equal(*tables, check_exact=True)
        figures = f"{one:.1f} s, {two:.1f} s, ratio"
        line(f"2 workers against 1, 40 cells, {epochs} epochs, equal tables", figures, one / two, TARGETS["workers"],
             least=True)  # fmt: skip
        halves = [spec.model_copy(update={"rules": FOUR[k::2]}) for k in (0, 1)]
        with ThreadPoolExecutor(2) as pool:  # each waits for a process
            runs = [pool.submit(measured, "run", folder / f"{epochs}_{half.rules[0]}", half) for half in halves]
        floor = one / max(run.result()["s"] for run in runs)
        print(f"(two processes of one worker, half of the rules each, at once, imports not counted: {floor:.2f})")


def overhead(folder: Path) -> None:
    """What a study takes beyond what it consists of, per cell; the shortest of three."""
    cells = 80
    spec = spec_of(cells, SMALL, QUICK, FOUR)
    runs = [measured("run", folder / f"run{k}", spec) for k in range(3)]
    direct = [measured("directly", folder / f"direct{k}", spec) for k in range(3)]
    for kind, unit in (("s", "s"), ("cpu", "CPU s")):
        mine, theirs = (min(found[kind] for found in each) for each in (runs, direct))
        figures = f"{mine:.2f} {unit}, directly {theirs:.2f}"
        line(f"overhead per cell, {cells} cells, {unit}", figures, (mine - theirs) / cells, TARGETS["overhead"])


def cells(folder: Path) -> None:
    """A folder in which all cells but one are done: what it takes to list them, and to do the last one."""
    spec = spec_of(MANY, SMALL, QUICK, FOUR[:2])
    few = spec.model_copy(update={"seeds": spec.seeds[:1]})
    measured("run", folder / "few", few)
    one = Study(few, folder / "few" / "study")
    study = Study(spec, folder / "many" / "study")
    study.claim()
    for entry in study.entries[:-1]:
        for cell in study.cells_of(entry):
            _copy(one, study, cell, f"{entry.name}-seed0")
    for cell in study.cells_of(study.entries[-1])[:-1]:
        _copy(one, study, cell, f"{study.entries[-1].name}-seed0")
    done, failed = study.cells.present()
    assert (len(done), len(failed)) == (MANY - 1, 0)
    start, rows = time.perf_counter(), Rows(study.cells)
    rows.check(sorted(done, key=str)[ROWS_AT_RISK - 1 :])  # what a study that was killed has kept, at the least
    rows.store()
    read = time.perf_counter() - start
    print(f"(each score read for the first time, while the study goes on: {1000 * read / MANY:.1f} ms)")
    listing = measured("status", folder / "many", spec)
    line(f"status of {MANY} cells", f"{listing['cpu']:.2f} CPU s; s", listing["s"], TARGETS["cells"])
    resumed = measured("run", folder / "many", spec)
    line(
        f"run with {MANY - 1} done",
        f"{resumed['cpu']:.2f} CPU s, {resumed['MiB']:.0f} MiB; s",
        resumed["s"],
        TARGETS["cells"],
    )
    assert len(study.cells.present()[0]) == MANY
    assert len(study.table()) == MANY * len(one.table()) / len(one.all_cells)


def _copy(one: Study, many: Study, cell: Cell, label: str) -> None:
    """A score that is whole and verified, though it is that of another seed."""
    path = many.cells.score(cell)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(one.cells.score(Cell(cell.benchmark, cell.metric, label)).read_bytes())


def memory(folder: Path) -> None:
    """The most memory of a study's process by the number of its cells."""
    peaks = [measured("run", folder / str(n), spec_of(n, SMALL, QUICK, FOUR[:1]))["MiB"] for n in SIZES]
    figures = ", ".join(f"{peak:.0f}" for peak in peaks)
    line(f"MiB of {', '.join(map(str, SIZES))} cells; growth", figures, peaks[-1] - peaks[0], TARGETS["memory"])


PARTS = {"workers": workers, "overhead": overhead, "cells": cells, "memory": memory}


def main() -> None:
    """Print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []])
    for name in ("--do", "--folder", "--workers"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.do:
        run_here(arguments.do, Path(arguments.folder), int(arguments.workers))
        return
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, one thread per process")
    print(f"{'':56} {'':>34} {'figure':>9} {'target':>8}")
    for part in arguments.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            PARTS[part](Path(folder))


if __name__ == "__main__":
    main()
