"""The report in a browser: it loads nothing, complains of nothing, sorts by click and key, tells numbers, fits a phone.

Needs Chromium and playwright. Pictures of the page are kept in the folder that ``NEUROCOMPARE_ARTIFACTS`` names, else beside
the other files of the test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from written_study import SPEC, finished, written

from neurocompare import report
from neurocompare.report.style import number

playwright = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed, so no browser can be driven"
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to show the page in")

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 375, "height": 812}


@pytest.fixture(scope="module")
def study():
    study = finished()
    report.write(study, study.folder / "report.html")
    return study


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    named = os.environ.get("NEUROCOMPARE_ARTIFACTS")
    folder = Path(named) if named else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Seen:
    """A page that is open, with all that it asked for and complained of."""

    def __init__(self, browser, path: Path, size: dict[str, int], **settings) -> None:
        self.context = browser.new_context(viewport=size, **settings)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        self.page.goto(path.as_uri())

    def draw_all(self) -> None:
        """Every chart, also those that are far down or folded away."""
        self.page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
        self.page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        self.page.wait_for_function(
            "document.querySelectorAll('.chart').length === document.querySelectorAll('.chart .main-svg:first-child').length"
        )

    def column(self, place: int) -> list[str]:
        """The cells of a column of the table of scores that are shown, from top to bottom."""
        return self.page.eval_on_selector_all(
            "#scores tbody tr:not([hidden])", f"(rows) => rows.map((row) => row.cells[{place}].textContent.trim())"
        )


@pytest.fixture
def seen(browser, study) -> Iterator[Seen]:
    seen = Seen(browser, study.folder / "report.html", DESKTOP)
    yield seen
    seen.context.close()


def test_it_loads_without_a_request_or_a_complaint_and_draws_every_chart(seen, study, pictures):
    seen.draw_all()
    assert seen.requests == [(study.folder / "report.html").as_uri()]
    assert seen.complaints == []
    assert seen.page.locator(".chart").count() == 2 + 2 + 2 + 5  # layers, contrasts, accuracy; RDMs, planes and map
    seen.page.screenshot(path=pictures / "report_desktop.png", full_page=True)


def test_the_policy_of_the_page_forbids_requests_and_scripts_that_are_not_its_own(seen):
    answer = {"status": 200, "headers": {"Access-Control-Allow-Origin": "*"}, "body": "x"}
    seen.page.route("https://example.org/**", lambda route: route.fulfill(**answer))  # as if there were a network
    blocked = "() => fetch('https://example.org').then(() => 'fetched', () => 'blocked')"
    assert seen.page.evaluate(blocked) == "blocked"
    seen.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.harm = 1\">')")
    seen.page.evaluate(
        "const s = document.createElement('script'); s.textContent = 'window.harm = 2'; document.body.append(s)"
    )
    seen.page.wait_for_timeout(200)
    assert seen.page.evaluate("window.harm") is None


@pytest.mark.parametrize("way", ["click", "Enter", "Space"])
def test_the_table_sorts_up_and_down_with_what_is_undefined_last(seen, way):
    head = seen.page.locator("#scores").get_by_role("columnheader", name="Score", exact=True)
    press = head.get_by_role("button").click if way == "click" else lambda: head.get_by_role("button").press(way)
    assert head.get_attribute("aria-sort") == "none"
    numbers = []
    for order in ("ascending", "descending"):
        press()
        assert head.get_attribute("aria-sort") == order
        cells = seen.column(4)
        assert cells[-2:] == ["–", "–"]  # category, on both benchmarks
        numbers.append([float(cell.replace("−", "-")) for cell in cells[:-2]])
    assert numbers[0] == sorted(numbers[0]) and numbers[1] == sorted(numbers[1], reverse=True)
    assert len(numbers[0]) > 10
    other = seen.page.locator("#scores").get_by_role("columnheader", name="Model")
    other.get_by_role("button").click()
    assert (head.get_attribute("aria-sort"), other.get_attribute("aria-sort")) == ("none", "ascending")
    assert seen.column(0) == sorted(seen.column(0))


def test_layers_sort_from_input_to_output_not_by_letters(seen):
    seen.page.get_by_label("Model contains").fill("backprop")
    seen.page.locator("#scores").get_by_role("columnheader", name="Layer").get_by_role("button").click()
    assert list(dict.fromkeys(seen.column(1))) == ["conv1", "fc1", "readout"]


def test_rows_can_be_chosen_and_a_chart_leads_to_its_numbers(seen):
    count = len(seen.column(0))
    seen.page.get_by_label("Model contains").fill("Untrained")
    assert set(seen.column(0)) == {"untrained"}
    assert seen.page.get_by_role("status").text_content() == f"{len(seen.column(0))} rows shown"
    seen.page.get_by_label("Model contains").fill("")
    assert len(seen.column(0)) == count
    seen.page.locator("#layers figcaption a").nth(1).click()
    assert set(seen.column(2)) == {"simulated.units"} and set(seen.column(3)) == {"ridge"}


def test_a_mark_tells_its_numbers_where_the_pointer_is(seen, study):
    chart = seen.page.locator("#layers-0")
    chart.scroll_into_view_if_needed()
    chart.locator(".scatterlayer .trace .points path").first.wait_for()
    chart.locator(".scatterlayer .trace .points path").first.hover(force=True)
    label = chart.locator(".hoverlayer .hovertext")
    label.wait_for()
    text = label.text_content()
    model = text.partition(", conv1")[0].replace(" ", "_")  # marks of the first layer lie on each other
    table = study.table().query("layer == 'conv1' and benchmark == 'simulated.rdm'")
    own = table[table["model"] == model]["raw"]
    assert len(own) == 3
    assert number(own.mean()) in text and f"seed 0: {number(own.iloc[0])}" in text


def test_a_model_can_be_hidden_in_every_chart_by_key(seen):
    seen.draw_all()
    shown = (
        "(model) => ['layers-0', 'contrasts-1', 'accuracy-0'].map((id) => document.getElementById(id).data"
        ".filter((trace) => trace.meta === model && trace.visible !== false).length)"
    )
    assert min(seen.page.evaluate(shown, "feedback_alignment")) > 0
    button = seen.page.locator("#layers").get_by_role("button", name="feedback alignment (FA)")
    button.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    assert (
        seen.page.locator("#accuracy").get_by_role("button", name="feedback").get_attribute("aria-pressed") == "false"
    )
    assert seen.page.evaluate(shown, "feedback_alignment") == [0, 0, 0]
    assert min(seen.page.evaluate(shown, "backprop")[::2]) > 0
    button.press("Enter")
    assert min(seen.page.evaluate(shown, "feedback_alignment")) > 0


def test_another_rdm_can_be_chosen(seen):
    seen.draw_all()
    z = "() => JSON.stringify(document.getElementById('stimuli-0-rdm-right').data[0].z)"
    x = "() => JSON.stringify(document.getElementById('stimuli-0-plane-right').data[0].x)"
    before = seen.page.evaluate(z), seen.page.evaluate(x)
    seen.page.locator("#stimuli-0-choose-right").select_option(label="untrained, readout")
    assert seen.page.evaluate(z) != before[0] and seen.page.evaluate(x) != before[1]
    seen.page.locator("#stimuli-0-choose-right").select_option(label="simulated.rdm")
    assert seen.page.evaluate(z) == seen.page.evaluate(z.replace("right", "left"))
    square = seen.page.evaluate("document.getElementById('stimuli-0-rdm-right').data[0].z")
    assert all(square[i][j] == square[j][i] for i in range(96) for j in range(i)) and square[4][4] is None


def test_the_keyboard_reaches_the_content_and_shows_where_it_is(seen):
    seen.page.keyboard.press("Tab")
    focused = "() => [document.activeElement.textContent.trim(), getComputedStyle(document.activeElement).outlineStyle]"
    text, outline = seen.page.evaluate(focused)
    assert text == "Skip to the content" and outline == "solid"
    assert seen.page.evaluate("document.activeElement.getBoundingClientRect().left") >= 0
    seen.page.keyboard.press("Enter")
    assert seen.page.evaluate("document.activeElement.id") == "main"
    seen.page.keyboard.press("Tab")
    assert seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_everything_that_can_be_operated_has_a_name(seen):
    unnamed = seen.page.evaluate(
        "Array.from(document.querySelectorAll('main button, main select, main input, main a[href]'))"
        ".filter((one) => !(one.textContent.trim() || one.ariaLabel || one.labels?.length)).map((one) => one.outerHTML)"
    )
    assert unnamed == []
    assert seen.page.evaluate("new Set(Array.from(document.querySelectorAll('[id]'), (one) => one.id)).size") == (
        seen.page.evaluate("document.querySelectorAll('[id]').length")
    )


def test_a_phone_needs_no_scrolling_sideways(browser, study, pictures):
    seen = Seen(browser, study.folder / "report.html", PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    seen.draw_all()
    wide = seen.page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide == [375, 375]
    charts = seen.page.eval_on_selector_all(".chart", "(all) => all.map((one) => one.querySelector('svg').clientWidth)")
    assert max(charts) <= 375 and min(charts) > 250
    assert seen.page.evaluate("document.getElementById('layers-0').layout.dragmode") is False  # a finger scrolls past
    assert seen.complaints == []
    seen.page.screenshot(path=pictures / "report_phone.png", full_page=True)
    seen.context.close()


def test_without_scripts_tables_and_methods_are_there(browser, study):
    seen = Seen(browser, study.folder / "report.html", DESKTOP, java_script_enabled=False)
    assert seen.page.get_by_text("Charts, sorting and filters need JavaScript").is_visible()
    assert seen.page.locator("#scores tbody tr").count() > 10
    assert seen.page.get_by_text("A seed sets the initial weights").is_visible()
    assert not seen.page.get_by_label("Model contains").is_visible()
    seen.context.close()


def test_hostile_names_do_nothing_in_a_browser(browser, tmp_path):
    from test_report import HOSTILE, hostile

    record, geometry = hostile()
    path = tmp_path / "hostile.html"
    path.write_text(report.page(record, [geometry], [HOSTILE[1]]), encoding="utf-8")
    seen = Seen(browser, path, DESKTOP)
    seen.draw_all()
    chart = seen.page.locator("#layers-0")
    chart.locator(".scatterlayer .trace .points path").first.hover(force=True)
    chart.locator(".hoverlayer .hovertext").wait_for()
    assert HOSTILE[0] in chart.locator(".hoverlayer .hovertext").text_content()
    assert seen.complaints == [] and seen.requests == [path.as_uri()]
    assert seen.page.locator("main img").count() == 0
    assert seen.page.locator("main a[href^=javascript]").count() == 0
    labels = seen.page.locator("#contrasts-0 .yaxislayer-above, #contrasts-0 .ytick").all_text_contents()
    assert any("alert(1)" in label for label in labels)
    seen.context.close()


@pytest.mark.slow
def test_a_partly_finished_study_is_shown_too(browser, tmp_path, pictures):
    spec = SPEC.model_copy(update={"benchmarks": {"simulated.rdm": ("rsa_pearson",)}})
    study = written(tmp_path, spec)
    for cell in study.all_cells:
        if cell.label.startswith("feedback"):
            study.cells.score(cell).unlink()
    seen = Seen(browser, report.write(study, tmp_path / "report.html"), DESKTOP)
    seen.draw_all()
    assert seen.page.get_by_text("Not finished.").is_visible()
    assert seen.page.get_by_text("feedback alignment, seed 2: 1").is_visible()
    assert seen.complaints == []
    seen.page.screenshot(path=pictures / "report_partly_finished.png")
    seen.context.close()
