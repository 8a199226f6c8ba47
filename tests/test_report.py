"""The report: every number on the page is one of the study's, every name is text, and the page needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import socket
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr, t
from written_study import ACCURACY, LAYERS, REASON, SPEC, finished, layers, save_runs, written
from written_study import training as training_of

from data_loaders import LOADERS, load_benchmark
from neurocompare import plot, report
from neurocompare.controls import CONTROLS
from neurocompare.errors import DataUnavailable, InputError
from neurocompare.report import charts, document, geometry, maps, methods, references, tables
from neurocompare.report.geometry import Geometry
from neurocompare.report.record import Missing, Record, read
from neurocompare.report.style import colour_of, number
from neurocompare.rules import RULES
from neurocompare.score import Score
from neurocompare.study import Entry, Study
from neurocompare.study import models as study_models

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "</script><script>alert(3)</script>",
    "<!--<script>",
    "<a href='javascript:alert(4)'>x</a>",
    "{{ 7 * 7 }} & %{x}",
)


SMALL = {"controls": (), "benchmarks": {"simulated.rdm": ("rsa_spearman", "rsa_pearson")}}


class Page(HTMLParser):
    """What a browser would make of a page: tags with attributes, scripts by id, and text."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag in ("script", "style"):
            self._inside = tag
            self.scripts.append((attributes, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag == self._inside:
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        else:
            self.text.append(data)

    def json(self, id_: str) -> dict:
        (found,) = [text for attributes, text in self.scripts if attributes.get("id") == id_]
        return json.loads(found)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def study():
    return finished()


@pytest.fixture(scope="module")
def path(study) -> Path:
    return report.write(study, study.folder / "report.html")


@pytest.fixture(scope="module")
def source(path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(source) -> Page:
    return Page(source)


@pytest.fixture(scope="module")
def record(study) -> Record:
    return read(study, study.folder)


def trace_of(figure: dict, model: str) -> dict:
    return next(trace for trace in figure["data"] if trace.get("meta") == model and "marker" in trace)


def interval(values: np.ndarray) -> tuple[float, float]:
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return values.mean() - half, values.mean() + half


def test_the_page_refers_to_nothing_that_a_browser_would_fetch(page, source):
    fetching = {"src", "srcset", "poster", "background"}
    assert [a for _, a in page.tags if fetching & set(a)] == []
    assert {tag for tag, _ in page.tags} & {"link", "img", "iframe", "object", "embed", "base", "form"} == set()
    style = next(text for attributes, text in page.scripts if not attributes and "--ink" in text)
    assert "url(" not in style and "@import" not in style
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")


def test_the_policy_names_exactly_the_scripts_of_the_page(page):
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    run = [text for attributes, text in page.scripts if not attributes and "--ink" not in text]
    sums = ["sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in run]
    assert re.findall(r"'(sha256-[^']+)'", policy) == sums
    assert len(sums) == 3
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]


def test_lines_are_means_over_seeds_bands_their_t_intervals_and_the_shape_the_ceiling(page, record):
    figure = page.json("layers-0-data")
    own = record.table.query("benchmark == 'simulated.rdm' and model == 'feedback_alignment'")
    each = [own[own["layer"] == layer]["raw"].to_numpy() for layer in LAYERS]
    line = trace_of(figure, "feedback_alignment")
    np.testing.assert_allclose(line["y"], [values.mean() for values in each], rtol=1e-12)
    shade = next(x for x in figure["data"] if x.get("meta") == "feedback_alignment" and x.get("fill") == "toself")
    low, high = zip(*map(interval, each), strict=True)
    np.testing.assert_allclose(shade["y"], [*high, *low[::-1]], rtol=1e-9)
    (band,) = figure["layout"]["shapes"]
    assert (band["y0"], band["y1"]) == tuple(record.table.iloc[0][["ceiling_lower", "ceiling_upper"]])
    assert all(f"seed {seed}: {number(value)}" in line["text"][0] for seed, value in enumerate(each[0]))


def test_what_has_other_layers_stands_beside_the_networks(page):
    figure = page.json("layers-0-data")
    assert trace_of(figure, "backprop")["x"] == [0, 1, 2]
    assert trace_of(figure, "pixels")["x"][0] > 2
    assert figure["layout"]["xaxis"]["ticktext"] == [*LAYERS, "pixels", "units"]
    assert "category" not in {trace.get("meta") for trace in figure["data"]}


@pytest.mark.parametrize("model", [*RULES, *CONTROLS, "cichy2014.IT", "any other"])
def test_a_model_has_its_colour_and_marker_of_the_figures(model):
    colour, marker, _ = plot.style_of(model)
    assert colour_of(model).lower() == {"k": "#000000"}.get(colour, colour).lower()
    drawn = charts.marker_of(model)
    assert drawn["color"] == colour_of(model)
    assert sum(charts.marker_of(name)["symbol"] == drawn["symbol"] for name in ("pixels", "gabor_v1", "hmax_c2")) <= 1
    assert marker


def test_contrasts_are_paired_within_seeds_at_the_layer_that_is_best_for_the_other_seeds():
    rng = np.random.default_rng(0)
    scores = {model: rng.normal(0.3, 0.1, (4, 3)) for model in ("backprop", "hebbian")}
    table = synthetic({(m, s, layer): v[s, layer] for m, v in scores.items() for s in range(4) for layer in range(3)})
    best = {m: [np.delete(v, s, 0).mean(0).argmax() for s in range(4)] for m, v in scores.items()}
    assert len({*best["backprop"], *best["hebbian"]}) > 1  # else the choice would not be tested
    chosen = {m: scores[m][np.arange(4), best[m]] for m in scores}
    differences = chosen["hebbian"] - chosen["backprop"]
    figure = Page(report.page(Record("x", table))).json("contrasts-0-data")
    (mark,) = figure["data"]
    low, high = interval(differences)
    np.testing.assert_allclose(mark["x"], differences.mean(), rtol=1e-9)
    np.testing.assert_allclose(mark["error_x"]["array"], high - differences.mean(), rtol=1e-9)
    np.testing.assert_allclose(mark["error_x"]["arrayminus"], differences.mean() - low, rtol=1e-9)
    assert "n = 4 seeds" in mark["text"][0]


def test_accuracy_is_drawn_against_the_score_of_each_network_and_of_their_mean(page, record):
    figure = page.json("accuracy-0-data")
    few, mean = (trace for trace in figure["data"] if trace["meta"] == "backprop")
    np.testing.assert_allclose(few["x"], [ACCURACY["backprop"] + 0.01 * seed for seed in range(3)])
    chosen = tables.chosen_layers(record.table).query("model == 'backprop' and benchmark == 'simulated.rdm'")
    np.testing.assert_allclose(few["y"], chosen["raw"])
    np.testing.assert_allclose(mean["y"], [chosen["raw"].mean()])
    low, high = interval(np.array(few["x"]))
    np.testing.assert_allclose(mean["error_x"]["array"], [(high - low) / 2])


def test_scores_along_training_are_means_over_seeds_at_each_step(tmp_path):
    training = SPEC.training.model_copy(update={"snapshots": (2, 20)})
    study = written(tmp_path, SPEC.model_copy(update={"training": training}))
    page = Page(report.write(study, tmp_path / "report.html", representations=False).read_text())
    last = training_of("backprop", 0)["epochs"] * (1437 // 64)
    table = study.learning_table().query("model == 'backprop' and benchmark == 'simulated.rdm'")
    trace = trace_of(page.json("along-0-data"), "backprop")
    assert trace["x"] == [2, 20, last]
    for step, y, half, text in zip(trace["x"], trace["y"], trace["error_y"]["array"], trace["text"], strict=True):
        chosen = tables.chosen_layers(table[table["step"] == step])
        assert y == pytest.approx(chosen["raw"].mean())
        low, high = interval(chosen["raw"].to_numpy())
        assert half == pytest.approx((high - low) / 2)
        assert f"after {step} steps, accuracy {chosen['task_accuracy'].mean():.1%}" in text
    assert "Along training" in page.words and "n = 3 seeds per model." in page.words


def test_without_snapshots_there_is_nothing_along_training(page):
    assert "Along training" not in page.words


def test_of_one_seed_each_layer_has_a_line_along_training(tmp_path):
    training = SPEC.training.model_copy(update={"snapshots": (2,)})
    study = written(tmp_path, SPEC.model_copy(update={"seeds": (5,), "training": training, **SMALL}))
    page = Page(report.write(study, tmp_path / "report.html", representations=False).read_text())
    lines = [trace for trace in page.json("along-0-data")["data"] if trace["meta"] == "backprop"]
    assert [trace["text"][0].partition(", ")[2].partition("<br>")[0] for trace in lines] == list(LAYERS)
    assert all(trace.get("error_y") is None for trace in lines)


def test_every_number_of_the_table_leads_to_the_netcdf_that_holds_it(source, study):
    body = source.split('id="scores"')[1].split("</table>")[0]
    seen = 0
    for row in re.findall(r"<tr data-panel.*?</tr>", body, re.DOTALL):
        layer = re.search(r'<td data-value="\d+">(.*?)</td>', row)[1]
        for link, text in re.findall(r'<a href="([^"#]+)"[^>]*>([^<]+)</a>', row):
            score = Score.load(study.folder / unquote(html.unescape(link)))
            value = float(score.data["value"].sel(layer=layer))
            assert text == ("undefined" if np.isnan(value) else number(value))
            seen += 1
    assert seen == len(study.table())


def test_links_start_at_the_folder_of_the_report(study, tmp_path):
    elsewhere = report.write(study, tmp_path / "deep" / "report.html", representations=False).read_text()
    link = re.search(r'<td class="each"><a href="([^"]+)"', elsewhere)[1]
    assert (tmp_path / "deep" / unquote(link)).resolve().is_file()
    assert not Path(unquote(link)).is_absolute()


def test_an_undefined_score_is_shown_with_its_reason(page, source):
    assert f"[1] {REASON}" not in page.words
    assert REASON in page.words
    row = next(r for r in re.findall(r"<tr data-panel.*?</tr>", source, re.DOTALL) if ">category</th>" in r)
    assert ">undefined</a>" in row and 'href="#note-1"' in row
    assert re.search(rf'<li id="note-1">{re.escape(REASON)}</li>', source)


def test_numbers_of_seeds_are_stated(page, record):
    rows, _ = tables.score_rows(record)
    assert {row.model: row.defined for row in rows} == {
        "backprop": 3, "feedback_alignment": 3, "untrained": 3, "pixels": 1, "category": 0,
        "simulated.rdm": 1, "simulated.units": 1,
    }  # fmt: skip
    assert "n = 3 seeds per model; no p can be below 0.250." in page.words


def test_a_study_finished_in_part_says_what_is_missing_and_why(tmp_path):
    study = written(tmp_path, SPEC.model_copy(update={"seeds": (0, 1), **SMALL}))
    lost, failed = (next(c for c in study.all_cells if c.label == f"{name}-seed1") for name in SPEC.rules)
    study.cells.score(lost).unlink()
    study.cells.score(failed).unlink()
    study.cells.fail(failed, ValueError("no <b>luck</b>"))
    page = Page(report.write(study, tmp_path / "report.html", representations=False).read_text())
    total = len(study.all_cells)
    assert f"Not finished. 2 of {total} scores are still to come or failed." in page.words
    assert "backprop, seed 1: 1 feedback alignment, seed 1: 1, failed for ValueError: no <b>luck</b>" in page.words
    assert "n = 1 seed per model." in page.words and "n = 2 seeds per model." in page.words
    assert page.json("contrasts-0-data")["data"][0].get("error_x") is None  # two seeds give no interval


def test_a_study_without_scores_says_what_to_do(tmp_path):
    with pytest.raises(InputError, match="holds no scores yet; run the study first"):
        report.write(Study(SPEC, tmp_path), tmp_path / "report.html")


def test_one_seed_gives_no_contrasts_but_every_layer_and_says_why(tmp_path):
    study = written(tmp_path, SPEC.model_copy(update={"seeds": (5,), "rules": ("backprop",), **SMALL}))
    words = Page(report.write(study, tmp_path / "r.html", representations=False).read_text()).words
    assert "There are no contrasts: they need models with two seeds or more" in words
    assert all(f"backprop {layer}" in words for layer in LAYERS)


def test_the_same_study_gives_the_same_page_and_names_no_machine(study, path, source, tmp_path):
    again = report.write(study, path.with_name("again.html"))
    assert again.read_bytes() == path.read_bytes()
    own = source.replace(document.get_plotlyjs(), "")
    for word in (str(study.folder), str(Path.home()), socket.gethostname()):
        assert word == "/" or word not in own


def test_simulated_data_are_called_so(page, record):
    assert "These scores are of a simulated brain and say nothing about brains." in page.words
    real = synthetic({("backprop", 0, 0): 0.5})
    assert "simulated brain" not in Page(report.page(Record("x", real))).words


def synthetic(scores: dict[tuple[str, int, int], float], **changed) -> pd.DataFrame:
    """A table of scores by model, seed and layer."""
    rows = [
        {
            "model": model, "seed": seed, "layer": f"layer{layer}", "depth": layer + 1, "benchmark": "some.IT",
            "metric": "rsa_spearman", "raw": value, "error": 0.01, "ceiling": 0.8, "ceiling_lower": 0.7,
            "ceiling_upper": 0.8, "normalized": value / 0.8, "formula": "r_over_ceiling", "effective_dimensionality": 3.0,
            "n_features": 10, "n_stimuli": 20, "n_units": 4, "task_accuracy": 0.5, "note": "", "file": "a.nc", **changed,
        }
        for (model, seed, layer), value in scores.items()
    ]  # fmt: skip
    return pd.DataFrame(rows).astype({"seed": "Int64"})


def hostile() -> tuple[Record, Geometry]:
    """A record in which every name is an attack."""
    names = HOSTILE[:3]
    table = synthetic({(name, seed, 0): 0.1 * seed for name in names for seed in range(3)})
    undefined = synthetic({(HOSTILE[3], seed, 0): np.nan for seed in range(3)}, note=HOSTILE[1])
    table = pd.concat([table, undefined, synthetic({("backprop", s, 0): 0.2 for s in range(3)})], ignore_index=True)
    table["layer"], table["benchmark"], table["metric"] = HOSTILE[2], HOSTILE[1], HOSTILE[0]
    table["formula"], table["file"] = HOSTILE[2], HOSTILE[1]
    attack = {
        "benchmark": HOSTILE[1], "metric": HOSTILE[0], "label": HOSTILE[2], "formula": HOSTILE[3], "ceiling_lower": 0.1,
        "ceiling_upper": 0.2, "ceiling_method": HOSTILE[4], "n_stimuli": 3, "n_units": 2, "units": HOSTILE[5],
        "provenance": {
            "model": {"model": "backprop", "seed": 0, "training": {
                "rule": "backprop", "rule_settings": {HOSTILE[0]: HOSTILE[1]}, "dataset": HOSTILE[2], "train_items": 5,
                "epochs": 1, "batch_size": 2, "optimizer": HOSTILE[3], "loss": HOSTILE[4], "learning_rate": 0.1,
                "test_accuracy": 0.5}},
            "metric": {"name": HOSTILE[0], "distance": HOSTILE[1], "comparison": HOSTILE[2], "kind": HOSTILE[3]},
            "benchmark": {"name": HOSTILE[1], "citation": f"Evil {HOSTILE[0]} 2020, {HOSTILE[4]}", "licence": HOSTILE[2],
                          "sha256": HOSTILE[3], "stimuli": HOSTILE[4]},
            "versions": {HOSTILE[0]: HOSTILE[1]},
        },
    }  # fmt: skip
    rng = np.random.default_rng(0)
    rdms = [pdist(rng.standard_normal((6, 4))) for _ in range(3)]
    shown = Geometry(HOSTILE[0], HOSTILE, HOSTILE, 6, {HOSTILE[1]: rdms[0]}, {(HOSTILE[2], HOSTILE[3]): rdms[1]})
    missing = [Missing(HOSTILE[0], 1, HOSTILE[1], 2)]
    return Record(HOSTILE[2], table, [attack], None, missing), shown


def test_no_name_that_comes_from_data_becomes_code():
    record, shown = hostile()
    source = report.page(record, [shown], [HOSTILE[4]])
    page, plain = Page(source), Page(report.page(Record("x", synthetic({("backprop", s, 0): 0.1 for s in range(3)}))))
    run, same = ([text for a, text in p.scripts if not a] for p in (page, plain))  # style and scripts
    assert run == same
    template = (Path(report.__file__).parent / "templates" / "page.html").read_text()
    assert {tag for tag, _ in page.tags} <= {*re.findall(r"<([a-z][a-z0-9]*)", template), "svg", "path"}
    assert [a for _, a in page.tags if any(name.startswith("on") for name in a)] == []
    hrefs = [a["href"] for _, a in page.tags if "href" in a]
    assert [h for h in hrefs if h.lower().startswith("javascript")] == []
    assert all(name in page.words for name in HOSTILE)  # as text, word for word


def test_no_name_ends_or_formats_the_data_of_a_chart():
    record, shown = hostile()
    page = Page(report.page(record, [shown]))
    data = [(a["id"], text) for a, text in page.scripts if a.get("type") == "application/json"]
    assert len(data) == 1 + 1 + 1 + 4 + 1 + 1  # layers, contrasts, accuracy; two sides; map; payload
    for _, text in data:
        assert not set("<>&") & set(text)
        json.loads(text)
    trace = trace_of(page.json("layers-0-data"), HOSTILE[0])
    assert trace["text"][0].startswith("<b>&lt;script&gt;alert(1)&lt;/script&gt;</b>, &lt;/script&gt;")
    assert page.json("stimuli-0-rdm-left-data")["data"][0]["meta"][4].startswith("&lt;a href='javascript")


def test_embedded_json_is_the_same_json_and_cannot_end_its_element():
    content = {"<!--": "</script>\u2028&amp;", "é": [1.5, None]}
    text = str(document.embedded(json.dumps(content, ensure_ascii=False)))
    assert json.loads(text) == content
    assert not set("<>&\u2028") & set(text)


def test_text_on_the_coloured_cells_can_be_read(record):
    def light(colour: str) -> float:
        channels = np.array([int(c) / 255 for c in re.findall(r"\d+", colour)])
        return float(np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4) @ WEIGHTS)

    for share in np.linspace(0, 1, 101):
        style = tables._cell({"mean": share, "low": np.nan, "high": np.nan}, 1.0).style
        paint, ink = re.match(r"background:(rgb\([\d,]+\));color:(#\w+)", style).groups()
        inked = 1.0 if ink == "#fff" else 0.0
        bright, dark = sorted((light(paint), inked), reverse=True)
        assert (bright + 0.05) / (dark + 0.05) >= 4.5


WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def test_colours_at_a_glance_go_from_zero_to_the_ceiling_or_to_the_best(record):
    chosen = tables.chosen_layers(record.table)
    glance = tables.glance(record, chosen)
    assert [column[:2] for column in glance.columns] == [
        ("simulated.rdm", "rsa_spearman"),
        ("simulated.units", "ridge"),
    ]
    at = {row[0]: row[2] for group in glance.groups for row in group}
    own = chosen.query("model == 'backprop' and benchmark == 'simulated.units'")["raw"]
    assert at["backprop"][1].text == number(own.mean())
    share = own.mean() / record.table.query("benchmark == 'simulated.units'")["ceiling_upper"].iloc[0]
    colour = [round(255 * float(c)) for c in tables.COLOURS(float(share))[:3]]
    assert at["backprop"][1].style.startswith(f"background:rgb({','.join(map(str, colour))})")
    assert at["simulated.units"][1] is None and "category" not in at


def test_methods_are_what_the_provenance_says(page, record):
    for sentence in (
        "trained on digits (Alpaydin & Kaynak 1998) under 2 learning rules: backprop (BP) (Rumelhart et al. 1986) and",
        "Each saw 1,437 training items for 7 epochs in batches of 64; Adam (Kingma & Ba 2015) minimised cross entropy at",
        "learning rates of 0.001 (backprop) and 0.0003 (feedback alignment)",
        "There were 3 seeds (0, 1, 2).",
        "10 shuffled splits, 10 % of stimuli held out, seed 1",
        "has 200 stimuli and 5 RDMs.",
        "has 200 stimuli and 50 neuroids.",
        "classical scaling (Torgerson 1952)",
    ):
        assert sentence in page.words.replace(" )", ")").replace("( ", "(").replace(" ;", ";"), sentence
    for score in record.scores:
        score["provenance"]["versions"]["torch"] = "0.0.1"
    text = " ".join(t for _, texts in methods.Methods(record).paragraphs for t in texts)
    assert "torch 0.0.1" in text


def test_mixed_versions_are_named():
    record, _ = hostile()
    (score,) = record.scores
    other = {**score, "provenance": {**score["provenance"], "versions": {HOSTILE[0]: "9"}}}
    made = methods.Methods(Record("x", record.table, [score, other]))
    software = dict(made.paragraphs)["Software"][0]
    assert f"{HOSTILE[0]} {HOSTILE[1]} and 9" in software and "several versions" in software


@pytest.mark.parametrize("name", LOADERS)
def test_what_networks_learn_is_cited(name):
    (score,) = hostile()[0].scores
    trained = {"model": "backprop", "seed": 0, "training": {**training_of("backprop", 0), "dataset": name}}
    provenance = {**score["provenance"], "model": trained}
    table = hostile()[0].table.assign(model="backprop")
    made = methods.Methods(Record("x", table, [{**score, "provenance": provenance}]))
    (text,) = [text for _, texts in made.paragraphs for text in texts if "were trained on" in text]
    assert f"were trained on {name.replace('_', ' ')} [@" in text


def test_works_of_the_same_authors_and_year_are_told_apart_by_letters():
    score = hostile()[0].scores[0]
    entry = references.entries()["kriegeskorte2008"]
    told = {
        "citation": f"Kriegeskorte et al. 2008, Neuron 60:1126, doi:{entry.fields['doi']}",
        "licence": "",
        "sha256": "",
    }
    provenance = {**score["provenance"], "benchmark": told}
    made = methods.Methods(
        Record("x", hostile()[0].table, [{**score, "metric": "rsa_tau_a", "provenance": provenance}])
    )
    assert {work.key: made.letter(work) for work in made.references if work.year == 2008} == {
        "kriegeskorte2008": "a", "kriegeskorte2008rsa": "b",
    }  # fmt: skip
    texts = [text for _, texts in made.paragraphs for text in texts]
    labels = {part for text in texts for part, work in made.segments(text) if work}
    assert {"Kriegeskorte et al. 2008a", "Kriegeskorte et al. 2008b"} <= labels
    assert entry.text("a").endswith("in inferior temporal cortex of man and monkey. Neuron 60:1126–1141.")
    assert "(2008a)" in entry.text("a") and "(2008)" in entry.text()


def test_every_citation_of_the_text_is_in_the_list_and_in_the_bibtex(page, source):
    ids = {a["id"] for _, a in page.tags if a.get("id", "").startswith("ref-")}
    links = {a["href"][1:] for tag, a in page.tags if a.get("href", "").startswith("#ref-")}
    assert links == ids
    assert "[@" not in page.words
    href = next(a["href"] for _, a in page.tags if a.get("download") == "references.bib")
    text = unquote(href.partition(",")[2])
    assert {f"ref-{key}" for key in re.findall(r"^@\w+\{(\S+),$", text, re.MULTILINE)} == ids
    assert text.count("{") == text.count("}")
    assert text.split() == html.unescape(re.search(r"<pre[^>]*>(.*?)</pre>", source, re.DOTALL)[1]).split()


@pytest.mark.parametrize("rule", RULES)
def test_the_entry_of_a_rule_is_the_work_that_the_rule_names(rule):
    works = references.cited(RULES[rule].reference)
    assert works
    for work in works:
        assert str(work.year) in RULES[rule].reference
        assert work.authors and work.bibtex.startswith(f"@{work.kind}{{{work.key},")
    for identifier in re.findall(r"arXiv:([\d.]+\d)|(\d+):(e?\d+)", RULES[rule].reference):
        assert any(set(filter(None, identifier)) <= _numbers(work) for work in works), identifier


def test_a_key_is_the_first_author_and_the_year():
    for key, entry in references.entries().items():
        assert key.startswith(references._key(entry.authors[0].split(",")[0]) + str(entry.year))
        assert entry.fields.keys() & {"journal", "booktitle", "publisher", "institution", "eprint"}


def _numbers(work: references.Reference) -> set[str]:
    return {work.fields.get("eprint", ""), work.fields.get("volume", ""), work.fields.get("pages", "").split("-")[0],
            *re.findall(r"\d+", work.title + work.fields.get("booktitle", ""))}  # fmt: skip


def test_a_citation_without_an_entry_becomes_one_of_its_own_words():
    (work,) = references.cited("Nobody, Knows & Others 1999, J. Imag. Sci. 1:2 {50 % off}_#1")
    assert (work.key, work.label) == ("nobody1999", "Nobody et al. 1999")
    assert r"\{50 \% off\}\_\#1" in work.bibtex
    assert references.cited("photographs of flowers") == []


def test_an_entry_is_not_taken_for_another_work_of_the_same_author_and_year():
    (right,) = references.cited("Lillicrap, Cownden, Tweed & Akerman 2016, Nat. Commun. 7:13276")
    (wrong,) = references.cited("Lillicrap 2016, Nat. Commun. 7:99999")
    assert right.key == "lillicrap2016" and right.title.startswith("Random synaptic")
    assert wrong.key != right.key and "99999" in wrong.title
    assert [w.key for w in references.cited("Liao et al. 2016, AAAI; arXiv:1510.05067")] == ["liao2016"]
    assert [w.key for w in references.cited("Kolen & Pollack 1994; Akrout et al. 2019")] == ["kolen1994", "akrout2019"]


def test_points_of_the_plane_are_found_again_from_their_distances():
    rng = np.random.default_rng(1)
    points = rng.standard_normal((9, 2))
    found, share = geometry.classical_scaling(pdist(points, "sqeuclidean"))
    np.testing.assert_allclose(pdist(found), pdist(points), atol=1e-12)
    assert share == pytest.approx(1)
    _, less = geometry.classical_scaling(pdist(rng.standard_normal((9, 5)), "sqeuclidean"))
    assert less < 0.95


def test_rank_correlations_are_spearmans():
    rdms = np.random.default_rng(2).standard_normal((4, 30)).round(1)
    np.testing.assert_allclose(geometry.rank_correlations(rdms), spearmanr(rdms, axis=1)[0], atol=1e-12)


def test_rdms_of_the_brain_are_those_of_the_data_over_the_stimuli_shown():
    benchmark = load_benchmark("simulated.units")
    ids, labels = geometry.shown_stimuli(benchmark)
    assert len(set(ids)) == geometry.MOST_STIMULI and set(ids) <= set(benchmark.stimuli.ids) and not any(labels)
    values = {i: benchmark.data.values[benchmark.data["stimulus_id"].values == i].mean(0) for i in ids}
    expected = pdist(np.stack([values[i] for i in ids]), "correlation")
    np.testing.assert_allclose(geometry.brain_rdm(benchmark, ids), expected, atol=1e-12)
    rdms = load_benchmark("simulated.rdm")
    square = squareform(rdms.data.values.mean(0))
    rows = [list(rdms.stimuli.ids).index(i) for i in ids]
    np.testing.assert_allclose(squareform(geometry.brain_rdm(rdms, ids)), square[np.ix_(rows, rows)], atol=1e-15)


def test_the_networks_of_the_first_seed_and_the_untrained_one_are_shown(page, study):
    assert list(geometry.networks(study)) == ["backprop", "feedback_alignment", "untrained"]
    groups = {trace["meta"] for trace in page.json("stimuli-0-map-data")["data"]}
    assert groups == {"brain", "backprop", "feedback_alignment", "untrained"}
    payload = page.json("stimuli-0-payload")
    assert len(payload["rdms"]) == len(payload["planes"]) == 2 + 3 * len(LAYERS)


def test_the_payload_holds_percentiles_of_the_dissimilarities_and_points_as_far_apart(study):
    benchmark = load_benchmark("simulated.units")
    (found,) = geometry.geometries(study, [benchmark])
    payload = json.loads(maps.atlas(found, 0).payload)
    ranks = np.frombuffer(base64.b64decode(payload["rdms"][0]), np.uint8)
    rdm = found.brain["simulated.units"]
    assert (ranks.min(), ranks.max()) == (0, 100)
    assert (np.diff(ranks[np.argsort(rdm, kind="stable")].astype(int)) >= 0).all()
    points, _ = geometry.classical_scaling(2 * rdm)
    shown = np.array(payload["planes"][0]["points"])
    np.testing.assert_allclose(pdist(shown), pdist(points) / np.linalg.norm(points), atol=3e-4)


def test_data_that_cannot_be_had_are_named_and_the_rest_is_there(study, tmp_path, monkeypatch):
    original = study_models.load_benchmark

    def only_rdms(name):
        if name == "simulated.units":
            raise DataUnavailable("units.nc is in no place that was looked at")
        return original(name)

    monkeypatch.setattr(study_models, "load_benchmark", only_rdms)
    page = Page(report.write(study, tmp_path / "report.html").read_text())
    assert "simulated.units: units.nc is in no place that was looked at" in page.words
    assert "Every score" in page.words
    assert {name for a, _ in page.scripts if (name := a.get("id", "")).endswith("payload")} == {"stimuli-0-payload"}


def test_a_damaged_run_costs_the_representations_only(tmp_path):
    study = written(tmp_path, SPEC.model_copy(update={"rules": ("backprop",), "seeds": (0,), **SMALL}))
    save_runs(study)
    weights = tmp_path / "runs" / "backprop-seed0" / "weights.pt"
    weights.write_bytes(weights.read_bytes()[:-1])
    words = Page(report.write(study, tmp_path / "report.html").read_text()).words
    assert "There are no representations to show" in words and "weights.pt is not what was written" in words


def test_layers_made_up_for_these_tests_are_reproducible():
    benchmark = load_benchmark("simulated.rdm")
    first, second = (layers(Entry("backprop", 1), benchmark)["fc1"].gram for _ in range(2))
    np.testing.assert_array_equal(first, second)
