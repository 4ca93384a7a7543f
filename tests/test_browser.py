"""The report of a finished run in a real browser.

`SONOSYNTH_REPORT=sonosynth-demo/run/report.html python -m pytest tests/test_browser.py` looks at that report instead,
and takes the screenshots in docs/images from it.
"""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH (Debian: apt install chromium)")
GIVEN = os.environ.get("SONOSYNTH_REPORT")
WIDTHS = (390, 800, 1280, 1600)
A4 = 718  # pixels between the margins of a printed page
SECTIONS = ("ablation", "pictures", "classifier", "fidelity", "copies", "training", "provenance", "paper")
FIGURES = (
    "grid",
    "refinement",
    "balance",
    "confusion",
    "roc",
    "calibration",
    "fidelity",
    "speckle",
    "closest",
    "losses",
)


@pytest.fixture(scope="session")
def report(request) -> Path:
    return Path(GIVEN).resolve() if GIVEN else request.getfixturevalue("finished") / "report.html"


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> Path:
    return Path(__file__).parents[1] / "docs" / "images" if GIVEN else tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        # A browser of root, as in a container, has no sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"] * (os.geteuid() == 0))
        yield browser
        browser.close()


@pytest.fixture
def page(browser, report):
    """The opened report. Whatever it asks for beside itself, or complains of, fails the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    asked, messages = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(report.as_uri())
    yield page
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
    assert messages == []
    page.close()


def test_it_can_be_mailed(report):
    assert report.stat().st_size <= 5_000_000


def test_every_section_is_reached_by_its_link(page):
    links = page.locator("nav a")
    every = ("answer", *SECTIONS)
    assert [link.get_attribute("href") for link in links.all()] == [f"#{name}" for name in every]
    for name, link in zip(every, links.all(), strict=True):
        link.click()
        heading = page.locator(f"section#{name} h2")
        assert heading.count() == 1
        assert heading.bounding_box()["y"] < 900, name


def test_the_first_screen_has_verdict_warnings_and_the_answer_as_a_picture(page, pictures):
    assert page.locator("h1").inner_text() == "Do synthetic images help?"
    assert page.locator(".headline").bounding_box()["y"] < 200
    assert page.locator(".warning").count() >= 1
    rows = page.locator("#answer .arm-row:not(.axis-row)")
    strip, mark = rows.first.locator("svg.strip").first, rows.first.locator("svg.strip path").first
    assert strip.bounding_box()["y"] < 900
    assert abs(mark.bounding_box()["x"] - strip.bounding_box()["x"]) < strip.bounding_box()["width"]
    for row in rows.all():
        assert row.locator(".what small").inner_text() and row.locator(".finding-of").inner_text()
    page.screenshot(path=pictures / "report.png")


def test_the_answer_the_table_and_the_sentences_are_of_the_same_arms(page):
    assert page.locator("#ablation .wide").first.evaluate("x => x.scrollWidth <= x.clientWidth")
    reference, *arms = page.locator("#ablation .scores tbody tr td:first-child").all_inner_texts()
    sentences = page.locator("#ablation li").all_inner_texts()
    assert reference == "real" and arms
    assert [sentence.split(":")[0] for sentence in sentences[: len(arms)]] == arms
    answered = [
        row.locator(".what strong").inner_text() for row in page.locator("#answer .arm-row:not(.axis-row)").all()
    ]
    assert sorted(answered) == sorted(arms)


def test_on_a_narrow_screen_the_index_is_folded_on_top(page):
    page.set_viewport_size({"width": 390, "height": 900})
    assert not page.locator("nav").is_visible()
    page.locator("#fold").focus()
    page.keyboard.press("Space")
    page.locator("nav a").last.click()
    assert page.locator("section#paper h2").bounding_box()["y"] < 900


def test_every_figure_is_there_and_says_what_it_shows(page):
    for name in FIGURES:
        image = page.locator(f"#figure-{name} img")
        assert image.evaluate("x => x.complete && x.naturalWidth") > 300, name
        assert len(image.get_attribute("alt")) > 20, name


def test_a_picture_is_enlarged_by_a_click_and_by_the_keyboard(page, pictures):
    image, box = page.locator("#figure-grid img"), page.locator("#figure-grid input")
    small = image.bounding_box()
    image.click()
    assert image.bounding_box() == {"x": 0, "y": 0, "width": 1280, "height": 900}
    page.screenshot(path=pictures / "grid.jpg", type="jpeg", quality=60)
    image.click()
    assert image.bounding_box()["width"] == small["width"]
    box.focus()
    page.keyboard.press("Space")
    assert image.bounding_box()["width"] == 1280
    page.keyboard.press("Space")
    reached = set()
    for _ in range(9):  # past the links to the files, and the list of pictures
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.closest('figure')?.id"))
    assert "figure-refinement" in reached


def test_tables_can_be_saved_as_they_are(page, report):
    with page.expect_download() as saved:
        page.locator("a[download='table.csv']").click()
    assert Path(saved.value.path()).read_bytes() == (report.parent / "evaluation" / "table.csv").read_bytes()


@pytest.mark.parametrize(("scheme", "ink"), [("light", "rgb(0, 0, 0)"), ("dark", "rgb(255, 255, 255)")])
def test_it_fits_every_screen_and_a_dark_room(page, scheme, ink):
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("getComputedStyle(document.body).color") == ink
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width
        shown = [image.bounding_box()["width"] for image in page.locator("figure img").all()]
        assert max(shown) - min(shown) < 1  # all figures are equally wide
    loose = "document.querySelectorAll('table:not(.wide table), img:not(.wide img)').length"
    assert page.evaluate(loose) == 0  # what is too wide scrolls by itself


def test_it_can_be_printed(page):
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert page.locator("h1").is_visible()
    page.set_viewport_size({"width": A4, "height": 1000})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= A4
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_it_needs_no_script(browser, report):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("script").count() == 0
    assert page.locator("#ablation tbody tr").count() >= 2
    context.close()
