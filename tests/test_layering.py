"""Imports run one way, and dangerous calls occur nowhere; read from the sources with ``ast``."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("neurocompare", "data_loaders", "analyses")

# Lowest first. A module may import from lower groups and, without cycles, from its own.
RANKS = [
    {"errors", "files", "progress"},
    {"assembly", "sounds", "stimuli", "dataset", "benchmark"},
    {"representation", "spectra"},
    {"losses", "networks", "rules", "metrics", "parallel"},
    {"model"},
    {
        "baselines",
        "filter_banks",
        "hmax",
        "controls",
        "cochleagram",
        "modulation",
        "hearing",
        "accuracy",
        "checkpoints",
        "train",
        "probe",
        "zoo",
    },
    {"inference", "score", "recovery"},
    {"study", "spec", "execute", "cells", "lock"},
    {"plot", "report", "export"},
    {"terminal", "cli", "__main__"},
]
RANK = {name: rank for rank, group in enumerate(RANKS) for name in group}
FOR_LOADERS = {"errors", "files", "progress", "assembly", "sounds", "stimuli", "dataset", "benchmark"}
WITHOUT_TORCH = FOR_LOADERS
# Who may import what, besides a package its own modules: patterns of module names.
ONLY_IN = {
    "data_loaders": r"data_loaders\b.*|analyses\b.*|neurocompare\.(study\b.*|cli)",
    "analyses": r"analyses\b.*|neurocompare\.cli",
    "torchvision": r"neurocompare\.zoo",
    "timm": r"neurocompare\.zoo",
    "distributed": r"neurocompare\.execute",
}


def sources() -> dict[str, str]:
    """Source of every module of the packages, by dotted name; a package by its own name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


SOURCES = sources()


def imports(source: str) -> set[str]:
    """Every module that a source imports anywhere, as dotted names; ``from a import b`` gives ``a.b``."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                found.add("a relative import")
            else:
                found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def unit(name: str) -> str:
    """The part of the library that a dotted name lies in: ``neurocompare.rules.base`` is ``rules``."""
    return name.split(".")[1]


def layering_faults(module: str, source: str) -> list[str]:
    """The imports of one module that go against the project's layers."""
    found = imports(source)
    wrong = found & {"a relative import"}
    wrong |= {name for name in found if not re.fullmatch(ONLY_IN.get(name.split(".")[0], ".*"), module)}
    inside = {name for name in found if name.startswith("neurocompare.") and name != "neurocompare.__version__"}
    if module.startswith("data_loaders"):
        wrong |= {name for name in inside if unit(name) not in FOR_LOADERS} | (found & {"neurocompare"})
    elif module.startswith("neurocompare."):
        own = RANK.get(unit(module), -1)
        wrong |= {name for name in inside if RANK.get(unit(name), len(RANKS)) > own} | (found & {"neurocompare"})
        if unit(module) in WITHOUT_TORCH:
            wrong |= {name for name in found if name.split(".")[0] == "torch"}
    return [f"{module} imports {name}" for name in sorted(wrong)]


def danger_faults(source: str) -> list[str]:
    """Uses of pickles: the module, numpy's switch, and ``torch.load`` without ``weights_only=True``."""
    faults = [name for name in imports(source) if name.split(".")[0] in {"pickle", "cPickle", "dill", "joblib"}]
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        true = {k.arg for k in node.keywords if isinstance(k.value, ast.Constant) and k.value.value is True}
        named = {k.arg for k in node.keywords}
        called = ast.unparse(node.func)
        if "allow_pickle" in named and not all(
            isinstance(k.value, ast.Constant) and k.value.value is False
            for k in node.keywords
            if k.arg == "allow_pickle"
        ):
            faults.append("allow_pickle")
        if called in {"torch.load", "load_state_dict_from_url"} and "weights_only" not in true:
            faults.append(f"{called} without weights_only=True")
        if called.split(".")[-1] == "read_pickle":
            faults.append(called)
    return faults


def test_there_is_something_to_read():
    assert {"neurocompare", "neurocompare.rules.base", "data_loaders"} <= set(SOURCES)


@pytest.mark.parametrize("module", [name for name in SOURCES if name.startswith("neurocompare.")])
def test_every_module_has_a_place(module):
    assert unit(module) in RANK, f"give {module} a place in RANKS"


@pytest.mark.parametrize("module", SOURCES)
def test_imports_run_one_way(module):
    assert layering_faults(module, SOURCES[module]) == []


@pytest.mark.parametrize("module", SOURCES)
def test_nothing_is_unpickled(module):
    assert danger_faults(SOURCES[module]) == []


def graph(modules: dict[str, str]) -> dict[str, set[str]]:
    """Which of the modules each one imports; a name from a module counts as that module."""
    edges = {}
    for module, source in modules.items():
        names = imports(source)
        within = {n if n in modules else n.rpartition(".")[0] for n in names}
        edges[module] = {name for name in within if name in modules and name != module}
    return edges


def without_cycle(modules: dict[str, str]) -> bool:
    try:
        TopologicalSorter(graph(modules)).prepare()
    except CycleError:
        return False
    return True


def test_there_is_no_circle():
    # study.py asks the package for its version: that is no import of what __init__ gathers.
    modules = {name: source for name, source in SOURCES.items() if name != "neurocompare"}
    assert without_cycle(modules)


def test_importing_the_library_imports_no_loader_and_no_analysis():
    """Also through other modules: data are looked for at the edge, where a user names them."""
    code = "import sys, neurocompare; print(sorted({'data_loaders', 'analyses', 'torchvision', 'dask'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


BAD = [
    ("neurocompare.errors", "from neurocompare.score import score"),
    ("neurocompare.metrics.rsa", "from neurocompare.train import train"),
    ("neurocompare.metrics.rsa", "import neurocompare.train"),
    ("neurocompare.metrics.rsa", "from neurocompare import train"),
    ("neurocompare.probe", "def f():\n    import neurocompare.study"),
    ("neurocompare.assembly", "import torch.nn"),
    ("neurocompare.assembly", "from torch import nn"),
    ("neurocompare.model", "import torchvision.models"),
    ("neurocompare.score", "import data_loaders"),
    ("neurocompare.score", "from data_loaders.images import condensed"),
    ("neurocompare.study", "from analyses import learning_speed"),
    ("neurocompare", "from data_loaders import load_benchmark"),
    ("neurocompare", "import analyses.first_light"),
    ("data_loaders.cichy2014", "from neurocompare.metrics import METRICS"),
    ("data_loaders.cichy2014", "from neurocompare import networks"),
    ("data_loaders.cichy2014", "import analyses"),
    ("data_loaders.cichy2014", "import neurocompare"),
    ("neurocompare.score", "import neurocompare as nc"),
    ("analyses.learning_speed", "import torchvision"),
    ("neurocompare.rules.base", "from . import vector_feedback"),
]
GOOD = [
    ("neurocompare.score", "from neurocompare import assembly\nfrom neurocompare.metrics.base import Metric"),
    ("neurocompare.rules.base", "from neurocompare.networks.layers import Layer"),
    ("neurocompare.study", "from data_loaders import LOADERS\nfrom neurocompare import __version__"),
    ("neurocompare.cli", "import analyses, data_loaders"),
    ("neurocompare.zoo", "import torchvision, torch"),
    ("data_loaders.cichy2014", "from data_loaders.images import condensed\nfrom neurocompare import assembly"),
    (
        "analyses.learning_speed",
        "import neurocompare as nc\nimport data_loaders as dl\nfrom neurocompare.rules import RULES",
    ),
]


@pytest.mark.parametrize(("module", "source"), BAD)
def test_the_check_sees_a_wrong_import(module, source):
    assert layering_faults(module, source)


@pytest.mark.parametrize(("module", "source"), GOOD)
def test_the_check_lets_a_right_import_pass(module, source):
    assert layering_faults(module, source) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import load",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "np.load('x', allow_pickle=flag)",
        "torch.load('x')",
        "torch.load('x', weights_only=False)",
        "pd.read_pickle('x')",
    ],
)
def test_the_check_sees_a_pickle(source):
    assert danger_faults(source)


def test_the_check_lets_safe_reading_pass():
    assert danger_faults("torch.load('x', weights_only=True)\nnp.load('x', allow_pickle=False)\nnp.load('x')") == []


def test_the_check_sees_a_circle():
    assert not without_cycle({"p.a": "from p.b import x", "p.b": "import p.a"})
    assert without_cycle({"p.a": "from p.b import x", "p.b": "import os"})
