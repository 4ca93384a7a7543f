"""The page of a kit in a real browser, answered by keyboard and by touch."""

import pandas as pd
import pytest
from kit_examples import CLASSES, made

from sonosynth.reader import answers
from test_browser import browser, pytestmark  # noqa: F401

BLOCKED = "Object.defineProperty(window, 'localStorage', {get() { throw new Error('refused') }})"


@pytest.fixture(scope="module")
def kit(tmp_path_factory):
    return made(tmp_path_factory.mktemp("kit"), each=1)


@pytest.fixture(params=["localStorage", "the tab's name"])
def page(browser, kit, request):  # noqa: F811
    """The opened page of a kit with four images. Whatever it asks for, or complains of, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    if request.param != "localStorage":
        context.add_init_script(BLOCKED)
    page = context.new_page()
    asked, messages = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: messages.append(message.text))
    page.on("pageerror", lambda error: messages.append(str(error)))
    page.goto(kit[1].as_uri())
    yield page
    assert {url for url in asked if not url.startswith(("data:", "blob:"))} == {kit[1].as_uri()}
    assert messages == []
    context.close()


def start(page, name="AB"):
    page.locator("#name").fill(name)
    page.keyboard.press("Enter")


def file(page, tmp_path):
    """The saved answers."""
    with page.expect_download() as saved:
        page.locator("#save").click()
    place = tmp_path / saved.value.suggested_filename
    saved.value.save_as(place)
    return place


def test_a_kit_is_answered_by_keyboard_and_survives_a_reload(page, kit, tmp_path):
    run, _, key = kit
    start(page)
    for text in ("r", "1", "5", "ArrowRight", "s", "2", "1"):  # class and quality share their keys
        page.keyboard.press(text)
    assert page.locator("#place").inner_text() == "Image 2 of 4"
    page.reload()
    assert page.locator("#place").inner_text() == "Image 2 of 4"
    pressed = page.locator("#read [aria-pressed=true]")
    assert pressed.evaluate_all("xs => xs.map(x => x.dataset.value)") == ["synthetic", sorted(CLASSES)[1], "1"]
    for text in ("Backspace", "4", "ArrowRight", "ArrowRight"):  # an unanswered image is not passed over
        page.keyboard.press(text)
    assert page.locator("#place").inner_text() == "Image 3 of 4"
    for text in ("s", "1", "2", "r", "ArrowRight", "ArrowLeft", "ArrowRight", "s", "2", "3", "ArrowRight"):
        page.keyboard.press(text)
    assert page.locator("#end").is_visible()
    place = file(page, tmp_path)
    assert place.name == f"answers-AB-{answers.kit_id(run / 'reader' / 'kit')[:6]}.csv"
    rows = pd.read_csv(place, dtype=str)
    first, second = sorted(CLASSES)
    assert rows[["origin", "class", "quality"]].to_numpy().tolist() == [
        ["real", first, "5"], ["synthetic", second, "4"], ["real", first, "2"], ["synthetic", second, "3"]
    ]  # fmt: skip
    answers.take(run, [place])
    (found,) = answers.readings(run)
    right = (key["origin"] == rows["origin"]).sum()
    assert (found.readers[0].accuracy.hits, found.readers[0].accuracy.of) == (right, 4)
    (run / "reader" / "kit" / "answers" / "AB.csv").unlink()


def test_another_reader_starts_anew_and_the_first_loses_nothing(page, tmp_path):
    start(page, "first")
    for text in ("r", "1", "5", "ArrowRight"):
        page.keyboard.press(text)
    page.locator("#other").click()
    start(page, "second")
    assert page.locator("#place").inner_text() == "Image 1 of 4"
    page.locator("#other").click()
    start(page, "first")
    assert page.locator("#place").inner_text() == "Image 2 of 4"
    assert len(pd.read_csv(file(page, tmp_path))) == 1


def test_what_is_kept_where_is_said(page, kit, request):
    start(page)
    lasting = "localStorage" in request.node.name
    assert ("only while this tab is open" in page.locator("#kept").inner_text()) != lasting
    other = page.context.new_page()
    other.goto(kit[1].as_uri())
    assert other.locator("#read").is_visible() == lasting


@pytest.mark.parametrize("width", [390, 820])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_tablet_and_a_finger(page, width, scheme):
    page.set_viewport_size({"width": width, "height": 1180})
    page.emulate_media(color_scheme=scheme)
    start(page)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    for button in page.locator("button:visible").all():
        box = button.bounding_box()
        assert box["width"] >= 44 and box["height"] >= 44
    for name in ("origin", "class", "quality"):
        page.locator(f"#{name} button").first.click()
    page.locator("#next").click()
    assert page.locator("#place").inner_text() == "Image 2 of 4"
    image = page.locator("#image")
    assert image.evaluate("x => x.complete && x.naturalWidth") == 24


def test_keys_are_shown(page):
    shown = page.locator("#start").inner_text()
    assert all(name in shown for name in ("R", "S", "→", "←", "Backspace"))
    start(page)
    assert page.locator("#class kbd").all_inner_texts() == ["1", "2"]
    assert page.locator("#origin kbd").all_inner_texts() == ["R", "S"]
