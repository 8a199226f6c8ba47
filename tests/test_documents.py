"""What the documents show runs: the README's script, and every notebook; what notebooks keep is in order."""

from __future__ import annotations

import ast
import json
import os
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_BYTES = 500_000
ELSEWHERE = re.compile(
    r"/(work|tmp|root|home|Users|opt|usr)/|site-packages|\.venv|localhost|[A-Z]:\\Users", re.IGNORECASE
)
Notebook = dict[str, Any]

needs_data = pytest.mark.skipif(
    not os.environ.get("NEUROCOMPARE_MIRROR"), reason="NEUROCOMPARE_MIRROR names no mirror, so there are no recordings"
)
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.mark.slow
@needs_data
def test_the_ten_lines_of_the_readme_run_as_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (script,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(script, names)
    table = names["scores"].table()
    assert list(table["layer"]) == ["conv1", "conv2", "conv3", "fc1", "readout"]
    assert table["raw"].between(0, 1).all()
    assert table["ceiling"].iloc[0] == pytest.approx(0.76, abs=0.01)
    assert (tmp_path / "layers.svg").read_text().startswith("<?xml")


@pytest.mark.slow
@needs_data
@every_notebook
def test_a_notebook_runs_from_top_to_bottom_and_leaves_nothing_behind(path, tmp_path, monkeypatch):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = nbformat.read(path, as_version=4)
    kept = kinds_of_outputs(notebook)
    nbclient.NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    assert kinds_of_outputs(notebook) == kept  # what is committed was made by this code
    assert list(folder.iterdir()) == []


@every_notebook
def test_what_a_notebook_keeps_is_in_order(path):
    assert faults(read(path)) == []
    assert path.stat().st_size < MOST_BYTES


def test_notebooks_are_numbered_in_reading_order():
    assert [int(path.stem.partition("_")[0]) for path in NOTEBOOKS] == list(range(1, 8))


@pytest.mark.parametrize(
    ("fault", "source", "output"),
    [
        ("defines", "%matplotlib inline\nfor _ in range(2):\n    def f(): ...", None),
        ("defines", "class Model: ...", None),
        ("defines", "f = lambda x: x", None),
        ("counts", None, "no count"),
        ("no picture", None, "no picture"),
        ("error", None, {"output_type": "error", "ename": "E", "evalue": "", "traceback": []}),
        ("stderr", None, {"output_type": "stream", "name": "stderr", "text": ["a warning\n"]}),
        ("machine", "open('/home/me/data.npy')", None),
        ("machine", None, {"output_type": "stream", "name": "stdout", "text": ["in /tmp/", "abc\n"]}),
        ("machine", None, {"output_type": "display_data", "data": {"text/html": ["<a href='http://localhost:8888'>"]}}),
    ],
)
def test_a_fault_of_a_notebook_is_found(fault, source, output):
    notebook = deepcopy(read(NOTEBOOKS[0]))
    first = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    if source is not None:
        first["source"] = [source]
    if output == "no count":
        first["execution_count"] = None
    elif output == "no picture":
        for cell in notebook["cells"]:
            cell["outputs"] = []
    elif output is not None:
        first["outputs"] = [output]
    (found,) = faults(notebook)
    assert fault in found


def faults(notebook: Notebook) -> list[str]:
    """What should not be in a committed notebook, in words."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    outputs = [output for cell in code for output in cell["outputs"]]
    found = [f"a cell defines {name}" for cell in code for name in definitions("".join(cell["source"]))]
    counts = [cell["execution_count"] for cell in code]
    if counts != list(range(1, len(code) + 1)):
        found.append(f"execution counts are {counts}: run it from top to bottom")
    if not any("image/png" in output.get("data", {}) for output in outputs):
        found.append("there is no picture among the outputs")
    found += [f"an output is an error: {o['ename']}" for o in outputs if o["output_type"] == "error"]
    found += [f"stderr is kept: {text_of(o)}" for o in outputs if o.get("name") == "stderr"]
    texts = ["".join(cell["source"]) for cell in notebook["cells"]] + list(map(text_of, outputs))
    return found + [f"{hit.group()!r} is of one machine" for text in texts if (hit := ELSEWHERE.search(text))]


def definitions(source: str) -> list[str]:
    """Names of functions and classes that a cell defines; lines for IPython are left out."""
    python = "\n".join("" if line.startswith(("%", "!")) else line for line in source.split("\n"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    return [getattr(node, "name", "a lambda") for node in ast.walk(ast.parse(python)) if isinstance(node, kinds)]


def text_of(output: dict[str, Any]) -> str:
    """What there is to read of an output; pictures are not text."""
    readable = [value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")]
    return "\n".join("".join(value) for value in [output.get("text", ""), output.get("traceback", ""), *readable])


def kinds_of_outputs(notebook: Notebook) -> list[list[str]]:
    """Of each code cell, the kinds of what it shows, sorted."""
    return [
        sorted(name for output in cell["outputs"] for name in output.get("data", {output.get("name", "error"): ""}))
        for cell in notebook["cells"]
        if cell["cell_type"] == "code"
    ]


def read(path: Path) -> Notebook:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_registered_name_is_in_the_readme():
    from data_loaders import BENCHMARKS
    from neurocompare import CONTROLS, METRICS, RULES

    text = (ROOT / "README.md").read_text()
    missing = [name for names in (RULES, CONTROLS, METRICS, BENCHMARKS) for name in names if f"`{name}`" not in text]
    assert missing == []
