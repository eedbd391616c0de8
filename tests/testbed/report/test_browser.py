"""The page in a browser: it can be explored, on a phone and in the dark, by pointer and keys, and asks no network."""

from __future__ import annotations

import re
import shutil
from contextlib import contextmanager

import pytest

from testbed.report.gallery import write_gallery

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="the page is tried in a browser with pip install '.[page]'"
)
pytestmark = pytest.mark.slow  # `make test-slow` installs what it needs
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    """A headless Chromium: the machine's own, or else Playwright's."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    with sync_api.sync_playwright() as playwright:
        try:
            found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        except sync_api.Error as error:
            pytest.skip(f"there is no Chromium to try the page in: {str(error).splitlines()[0]}")
        yield found
        found.close()


@pytest.fixture
def opened(browser, runs):
    """The page of a run, open; at the end no script has failed and nothing but the page has been asked for."""

    @contextmanager
    def open_page(name, viewport=WIDE, **settings):
        with browser.new_context(viewport=viewport, **settings) as context:
            page = context.new_page()
            failed, asked = [], []
            page.on("console", lambda message: failed.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: failed.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto((runs(name) / "report.html").as_uri())
            yield page
            assert not failed
            assert [url for url in asked if not url.startswith("data:")] == [(runs(name) / "report.html").as_uri()]

    return open_page


@pytest.mark.parametrize("name", ["widths", "splits", "components", "alone"])
def test_it_loads_and_fits_a_phone(opened, name):
    for viewport in (WIDE, PHONE):
        with opened(name, viewport) as page:
            assert page.locator(".verdict").first.is_visible()
            assert page.locator("#explorer svg").count() == 2
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            figures = [figure for figure in page.locator("img.plot").all() if figure.is_visible()]
            for figure in figures:  # as large as drawn: what is wider than a phone scrolls, and can be read
                assert viewport == WIDE or figure.bounding_box()["width"] == float(figure.get_attribute("width"))


def test_a_point_says_its_value_its_interval_and_n_under_the_pointer(opened):
    with opened("splits") as page:
        point = page.locator(".panel svg .pt .m").first
        point.scroll_into_view_if_needed()
        point.hover()
        said = page.locator("#tip").inner_text()
        assert re.search(
            r"hidden width 3.*: [\d.e-]+, 95 % from [\d.e-]+ to [\d.e-]+, \d+ pairs; test loss at the ends", said
        )
        page.mouse.move(2, 2)
        assert page.locator("#tip").inner_text() == ""


def test_points_are_reached_by_keys(opened):
    with opened("splits") as page:
        page.locator(".panel svg").first.focus()
        said = []
        for _ in range(2):
            page.keyboard.press("ArrowRight")
            said.append(page.locator("#tip").inner_text())
        assert all("pairs" in text for text in said) and said[0] != said[1]


def test_pair_cell_alignment_and_measure_are_chosen(opened):
    with opened("widths") as page:
        text, curve = page.locator("#pair-text"), page.locator("#explorer svg").nth(1)
        before = text.inner_text()
        for name, option in (("architecture", "3-3"), ("measure", "test loss"), ("alignment", "after weight matching")):
            box = page.get_by_role("combobox", name="hidden width" if name == "architecture" else name)
            box.select_option(label=option)
            assert text.inner_text() != before
            before = text.inner_text()
        assert "test loss barrier (linear) after weight matching" in before and curve.locator(".before").count() == 1
        page.get_by_role("combobox", name="pair").select_option(index=3)
        assert text.inner_text() != before
        point = curve.locator(".pt").nth(2)
        point.scroll_into_view_if_needed()
        point.hover()
        assert re.match(r"α = 0\.5: measured [\d.e-]+", page.locator("#tip").inner_text())


def test_the_curve_is_that_of_the_pair_under_the_pointer(opened, loaded):
    """What the page says of a square's pair is what the table of pairs has."""
    pairs = loaded("widths").measured
    with opened("widths") as page:
        square = page.locator("#explorer svg").first
        square.scroll_into_view_if_needed()
        box = square.bounding_box()
        seen = set()
        for k in range(6):
            page.mouse.move(box["x"] + (k + 0.5) * box["width"] / 6, box["y"] + 0.5 * box["height"] / 6)
            said = page.locator("#pair-text").inner_text()
            found = re.match(r"Pair (\d+), networks (\d+) and (\d+); train error barrier \(linear\) ([\d.e-]+)", said)
            assert found or said == "No pair of these two families was measured."
            if found:
                (row,) = pairs.filter(pair=int(found[1])).to_dicts()
                assert (row["network_a"], row["network_b"]) == (int(found[2]), int(found[3]))
                assert float(found[4]) == pytest.approx(row["train_error_barrier_linear"], rel=6e-3, abs=1e-9)
                seen.add(row["pair"])
        assert len(seen) >= 4
        square.focus()
        page.keyboard.press("ArrowDown")
        assert page.locator("#pair-text").inner_text() != said


@pytest.mark.parametrize(
    ("measure", "predicted"), [("test loss", "population_loss"), ("train loss", "exact_training_loss")]
)
def test_points_of_a_curve_are_those_of_the_table(opened, loaded, measure, predicted):
    results = loaded("splits")
    with opened("splits") as page:
        page.get_by_role("combobox", name="measure").select_option(label=measure)
        page.get_by_role("combobox", name="pair").select_option(index=2)
        number = int(re.match(r"Pair (\d+)", page.locator("#pair-text").inner_text())[1])
        point = page.locator("#explorer svg").nth(1).locator(".pt").nth(1)
        point.scroll_into_view_if_needed()
        point.hover()
        said = re.match(r"α = 0\.25: measured ([\d.e-]+), predicted ([\d.e-]+), ", page.locator("#tip").inner_text())
        (row,) = results.curves.filter(pair=number, alpha=0.25).to_dicts()
        assert [float(text) for text in said.groups()] == pytest.approx(
            [row[measure.replace(" ", "_")], row[predicted]], rel=6e-3
        )


def test_measured_and_predicted_are_shown_and_hidden_with_their_difference(opened):
    with opened("splits") as page:
        curve = page.locator("#explorer svg").nth(1)
        assert curve.locator(".pt").count() == 5 and curve.locator(".second").count() == 1
        height = curve.get_attribute("viewBox")
        page.get_by_role("checkbox", name="difference").check()
        assert curve.get_attribute("viewBox") != height and "measured less predicted" in curve.inner_html()
        page.get_by_role("checkbox", name="measured").uncheck()
        page.get_by_role("checkbox", name="predicted").uncheck()
        assert curve.locator(".pt").count() == curve.locator(".second").count() == 0


def test_tables_are_sorted(opened):
    with opened("components") as page:
        table = page.locator("table.ranking").first
        head = table.locator("thead th", has_text="train error barrier (linear)")
        rows = table.locator("tbody tr")
        for order in ("ascending", "descending"):
            head.get_by_role("button").click()
            assert head.get_attribute("aria-sort") == order
            column = [float(text.split()[0]) for text in table.locator("tbody td:nth-child(4)").all_inner_texts()]
            assert column == sorted(column, reverse=order == "descending") and len(column) == rows.count() == 3
        table.locator("thead th").first.get_by_role("button").press("Enter")
        names = table.locator("tbody th").all_inner_texts()
        assert names == sorted(names)


def test_it_is_dark_where_the_reader_wants_it(opened):
    brightness = {}
    for scheme in ("light", "dark"):
        with opened("alone", color_scheme=scheme) as page:
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            brightness[scheme] = sum(map(int, re.findall(r"\d+", paper)[:3]))
    assert brightness["light"] > 700 and brightness["dark"] < 120


def test_it_is_readable_without_scripts(opened):
    with opened("splits", java_script_enabled=False) as page:
        assert page.locator(".verdict").first.is_visible() and page.locator(".panel svg").first.is_visible()
        assert page.locator(".panel svg .pt title").count() > 0
        assert page.get_by_text("Choosing pairs needs scripts.").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["widths", "components"])
def test_axe_finds_nothing(opened, name, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe comes with pip install '.[page]'")
    with opened(name, color_scheme=scheme) as page:
        page.evaluate("document.querySelectorAll('details').forEach((one) => (one.open = true))")
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


@pytest.fixture(scope="module")
def gallery(runs, tmp_path_factory):
    """The page of several runs, one that did not learn and one that was cut off among them."""
    folder = tmp_path_factory.mktemp("gallery")
    for name in ("widths", "splits", "components", "alone"):
        shutil.copytree(runs(name), folder / name)
    shutil.copytree(folder / "alone", folder / "cut")
    (folder / "cut" / "manifest.json").write_text("{}")
    page = folder / "index.html"
    write_gallery(folder, page)
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_the_gallery(browser, gallery, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe comes with pip install '.[page]'")
    for viewport in (WIDE, PHONE):
        with browser.new_context(viewport=viewport, color_scheme=scheme) as context:
            page = context.new_page()
            page.goto(gallery.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
            found = axe.Axe().run(page)
            assert found.violations_count == 0, found.generate_report()
