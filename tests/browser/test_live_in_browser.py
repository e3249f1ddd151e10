"""The live figures in Chromium: by keyboard, by touch, by address, without scripts, in a frame."""

import pytest
from in_browser import MARKS, PHONE, SITE, Tab, on_a_site

pytestmark = MARKS
LIVE = {"01_introduction": "train", "03_perceived_distance": "board"}


@pytest.mark.parametrize("name", LIVE)
def test_a_live_figure_answers_to_the_keyboard(tab, name):
    page = tab.open(name)
    figure = page.locator(".live")
    figure.scroll_into_view_if_needed()
    said = figure.locator("[aria-live]").all_inner_texts()
    slider = figure.locator("input[type=range]").first
    slider.focus()
    before = slider.input_value()
    page.keyboard.press("ArrowLeft" if before != slider.get_attribute("min") else "ArrowRight")
    assert slider.input_value() != before
    assert figure.locator("[aria-live]").all_inner_texts() != said
    assert f"spacing={slider.input_value()}" in page.url
    assert tab.said == []


@pytest.mark.parametrize("name", LIVE)
def test_an_address_of_nonsense_gives_the_usual_figure_and_one_line(tab, name):
    page = tab.open(name)
    usual = page.locator(".live input[type=range]").first.input_value()
    page = tab.open(name, "#spacing=99&loss=none&q=1")
    note = page.locator(".live .live-note:visible")
    assert note.inner_text().startswith("The address sets spacing, loss, q to something")
    assert page.locator(".live input[type=range]").first.input_value() == usual
    assert tab.said == []


@pytest.mark.parametrize("name", LIVE)
def test_without_scripts_a_sentence_and_the_still_figure_remain(chrome, name):
    with chrome.new_context(java_script_enabled=False, viewport=PHONE) as context:
        page = Tab(context).open(name, size=PHONE)
        assert "needs scripts" in page.locator(".live").inner_text()
        assert page.locator(".bd-article a.figure-light:visible").count() > 0
        assert page.locator(".bd-article a.figure-dark:visible").count() == 0


@pytest.mark.parametrize("sandbox", ["allow-scripts allow-same-origin", "allow-scripts"])
@pytest.mark.parametrize("name", LIVE)
def test_a_page_in_a_frame_works_also_where_storage_is_blocked(context, name, sandbox):
    frame = f'<iframe sandbox="{sandbox}" src="{SITE}{name}.html" width="900" height="700">'
    page = Tab(context).page
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    on_a_site(page)
    page.route(f"{SITE}frame", lambda route: route.fulfill(body=frame, content_type="text/html"))
    page.goto(f"{SITE}frame")
    frame = page.frame_locator("iframe")
    frame.locator("html[data-theme=light]").wait_for()
    figure = frame.locator(".live")
    slider = figure.locator("input[type=range]").first
    slider.focus()
    before = slider.input_value()
    slider.press("ArrowLeft" if before != slider.get_attribute("min") else "ArrowRight")
    assert slider.input_value() != before
    assert figure.locator("canvas").count() > 1
    assert errors == []
    page.close()


# By touch, on a phone.

TOUCHED = {**LIVE, "05_adversarial_data": "latents"}
SMALL = """() => [...document.querySelectorAll('.live :is(input, select, button, summary, [tabindex])')]
  .filter((part) => part.checkVisibility() && !part.disabled)
  .map((part) => [part.outerHTML.slice(0, 60), part.getBoundingClientRect()])
  .filter(([, box]) => Math.min(box.width, box.height) < 24)
  .map(([words]) => words)"""


class Finger:
    """A finger on the screen of a phone that shows a page of the book."""

    def __init__(self, context):
        self.tab = Tab(context)
        self.page = self.tab.page
        self.session = context.new_cdp_session(self.page)

    def touch(self, kind, *points):
        places = [{"x": x, "y": y} for x, y in points]
        self.session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    def drag(self, start, end, steps=12):
        """Move from one point of the screen to another, and lift."""
        self.touch("touchStart", start)
        for k in range(1, steps + 1):
            self.touch(
                "touchMove", [a + (b - a) * k / steps for a, b in zip(start, end, strict=True)]
            )
        self.touch("touchEnd")

    def place(self, element, across, down):
        """Return a point of an element, by shares of its width and height, once it is in sight."""
        element.evaluate("part => part.scrollIntoView({block: 'center', behavior: 'instant'})")
        box = element.bounding_box()
        return box["x"] + across * box["width"], box["y"] + down * box["height"]


@pytest.fixture(scope="module")
def finger(chrome):
    options = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}
    with chrome.new_context(viewport=PHONE, reduced_motion="reduce", **options) as context:
        yield Finger(context)


@pytest.mark.parametrize("name", TOUCHED)
def test_what_is_touched_in_a_live_figure_is_large_enough(finger, name):
    page = finger.tab.open(name, size=PHONE)
    page.locator(f".live[data-live={TOUCHED[name]}] input").first.wait_for()
    assert page.evaluate(SMALL) == []


@pytest.mark.parametrize("name", TOUCHED)
def test_a_slider_follows_a_finger(finger, name):
    page = finger.tab.open(name, size=PHONE)
    slider = page.locator(".live input[type=range]").first
    first, last = slider.get_attribute("min"), slider.get_attribute("max")
    page.touchscreen.tap(*finger.place(slider, 0.02, 0.5))
    assert slider.input_value() == first
    finger.drag(finger.place(slider, 0.05, 0.5), finger.place(slider, 0.99, 0.5))
    assert slider.input_value() == last
    assert finger.tab.said == []


def test_a_network_trains_and_pauses_by_touch(finger):
    page = finger.tab.open("01_introduction", size=PHONE)
    train = page.locator(".live-buttons button").first
    train.tap()
    assert train.inner_text() == "Pause"
    page.wait_for_function("document.querySelector('.live').figure.network.steps > 0")
    train.tap()
    assert train.inner_text() == "Train"
    steps = page.evaluate("document.querySelector('.live').figure.network.steps")
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    assert page.evaluate("document.querySelector('.live').figure.network.steps") == steps
    page.locator(".live-buttons button", has_text="slowly").tap()
    assert page.locator(".live-caption").inner_text().startswith("Encode")
    assert finger.tab.said == []


@pytest.mark.parametrize("name", TOUCHED)
def test_a_finger_drags_across_a_board_and_the_page_stays(finger, name):
    page = finger.tab.open(name, size=PHONE)
    boards = page.locator(".live canvas[tabindex]")
    for board in boards.all():
        start, end = finger.place(board, 0.05, 0.05), finger.place(board, 0.95, 0.95)
        page.touchscreen.tap(*start)
        assert "1" in board.get_attribute("aria-label")
        before = board.get_attribute("aria-label")
        top = page.evaluate("scrollY")
        finger.drag(start, end)
        assert page.evaluate("scrollY") == top
        ends = ("column 8, row 8", "step {0} down and {0} across")
        size = page.locator(".live input").first.get_attribute("max")
        assert any(words.format(size) in board.get_attribute("aria-label") for words in ends)
        assert board.get_attribute("aria-label") != before
    assert finger.tab.said == []


def test_a_second_finger_changes_nothing(finger):
    page = finger.tab.open("03_perceived_distance", size=PHONE)
    board = page.locator(".live canvas[tabindex]").nth(1)
    first, second = finger.place(board, 0.05, 0.05), finger.place(board, 0.95, 0.95)
    finger.touch("touchStart", first)
    finger.touch("touchStart", first, second)
    finger.touch("touchEnd", first)
    finger.touch("touchEnd")
    assert "column 1, row 1" in board.get_attribute("aria-label")


@pytest.mark.parametrize("name", TOUCHED)
def test_a_finger_beside_a_board_scrolls_the_page(finger, name):
    page = finger.tab.open(name, size=PHONE)
    caption = page.locator(".live-panel figcaption").first
    x, y = finger.place(caption, 0.5, 0.5)
    top = page.evaluate("scrollY")
    finger.drag((x, y), (x, y - 200))
    page.wait_for_function(f"scrollY > {top} + 100")
    assert finger.tab.said == []
