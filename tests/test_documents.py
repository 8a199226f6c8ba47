"""What the documents show runs: the README's script, and every notebook from top to bottom."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
needs_data = pytest.mark.skipif(
    not os.environ.get("NEUROCOMPARE_MIRROR"), reason="NEUROCOMPARE_MIRROR names no mirror, so there are no recordings"
)


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


@needs_data
@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom_and_defines_nothing(path):
    names: dict = {}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            source = "".join(cell["source"])
            assert not re.search(r"^\s*(def|class) ", source, re.MULTILINE)
            exec(source, names)
    assert "figure" in names


def test_every_registered_name_is_in_the_readme():
    from data_loaders import BENCHMARKS
    from neurocompare import CONTROLS, METRICS, RULES

    text = (ROOT / "README.md").read_text()
    missing = [name for names in (RULES, CONTROLS, METRICS, BENCHMARKS) for name in names if f"`{name}`" not in text]
    assert missing == []
