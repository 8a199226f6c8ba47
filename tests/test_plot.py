"""Figures: what they show is what the table says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from neurocompare import plot
from neurocompare.controls import CONTROLS
from neurocompare.inference import over_seeds
from neurocompare.rules import RULES


@pytest.fixture
def table() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    rows = []
    for model, seeds, layers in (("backprop", 3, 3), ("untrained", 3, 3), ("pixels", 1, 1)):
        for seed in range(seeds):
            for depth in range(layers):
                for benchmark, low in (("a.IT", 0.3), ("b.IT", np.nan)):
                    rows.append({
                        "model": model, "seed": seed, "layer": f"conv{depth}", "depth": depth + 1,
                        "benchmark": benchmark, "metric": "rsa_tau_a", "raw": generator.normal(0.2, 0.01),
                        "ceiling_lower": low, "ceiling_upper": low + 0.1, "n_stimuli": 92, "n_units": 4,
                    })  # fmt: skip
    return pd.DataFrame(rows)


def test_lines_are_the_means_over_seeds_and_the_band_is_the_ceiling(table):
    axis, other = plot.by_layer(table).axes
    mean = over_seeds(table).query("model == 'backprop' and benchmark == 'a.IT'")["mean"]
    line = axis.lines[0]
    np.testing.assert_allclose(line.get_ydata(), mean)
    np.testing.assert_allclose(axis.patches[0].get_bbox().extents[[1, 3]], [0.3, 0.4])
    assert [label.get_text() for label in axis.get_xticklabels()] == ["conv0", "conv1", "conv2", "pixels"]
    assert "tau-a" in axis.get_ylabel()
    assert axis.get_title() == "a.IT\n92 stimuli, 4 RDMs"
    assert not other.patches
    assert other.get_title().endswith("no ceiling estimable")


def test_intervals_are_drawn_from_three_seeds_on(table):
    few = table[table["seed"] < 2]
    assert "95 % t interval" in plot.by_rule(table).legends[0].get_title().get_text()
    assert "too few" in plot.by_rule(few).legends[0].get_title().get_text()
    summary = over_seeds(table).query("model == 'backprop' and benchmark == 'a.IT'")
    bars = plot.by_rule(table).axes[0].containers[0].lines[2][0].get_segments()
    np.testing.assert_allclose([bar[:, 1] for bar in bars], summary[["low", "high"]])


def test_a_rule_looks_the_same_in_every_figure_and_unlike_the_others():
    names = [*RULES, *CONTROLS]
    styles = [plot.style_of(name) for name in names]
    assert len(set(styles)) == len(names)
    assert styles == [plot.style_of(name) for name in names]


def test_figures_are_written_in_three_formats_with_editable_text(table, tmp_path):
    paths = plot.save(plot.by_layer(table), tmp_path / "figure")
    assert [path.name for path in paths] == ["figure.svg", "figure.pdf", "figure.png"]
    assert ">layer, input to output</text>" in paths[0].read_text().replace("\n", "")
    assert paths[1].read_bytes().startswith(b"%PDF")
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_the_same_table_gives_the_same_svg(table, tmp_path):
    first, second = (plot.save(plot.by_layer(table), tmp_path / name, ["svg"])[0] for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
