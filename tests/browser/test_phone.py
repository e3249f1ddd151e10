"""The built book on a phone with a touch screen: figures that can be read, and what scrolls."""

import re

import pytest
from in_browser import HTML, MARKS, PHONE, ROOT, letters_that_are_small

from vaedis_companion.book import executions

pytestmark = MARKS


@pytest.fixture(scope="module")
def page(chrome):
    with chrome.new_context(viewport=PHONE, is_mobile=True, has_touch=True) as context:
        page = context.new_page()
        page.set_default_timeout(90_000)
        yield page


def show(page, name):
    page.goto((HTML / f"{name}.html").as_uri())


def swipe(page, part, distance):
    """Move a finger to the left over an element."""
    part.scroll_into_view_if_needed()
    box = part.bounding_box()
    x, y = box["x"] + box["width"] - 40, box["y"] + min(box["height"], 200) / 2
    touch = page.context.new_cdp_session(page)
    touch.send("Input.synthesizeScrollGesture", {"x": x, "y": y, "xDistance": -distance})
    touch.detach()


def test_letters_that_are_too_small_are_noticed(page):
    show(page, "03_perceived_distance")
    assert letters_that_are_small(page) == []
    page.add_style_tag(content="a.figure-wide img { min-width: 0 !important; width: 200px; }")
    assert letters_that_are_small(page)


def test_a_wide_figure_is_swiped_and_fades_until_its_end(page):
    show(page, "03_perceived_distance")
    figure = page.locator("a.figure-wide:visible").first
    assert "swipe" in figure.evaluate("link => getComputedStyle(link, '::after').content")
    page.wait_for_function("link => link.matches('.goes-on')", arg=figure.element_handle())
    swipe(page, figure, 2_000)
    page.wait_for_function(
        "link => link.scrollLeft > 0 && !link.matches('.goes-on')", arg=figure.element_handle()
    )
    assert page.url.endswith("03_perceived_distance.html")


@pytest.mark.parametrize("width", [1200, 1440])
def test_every_figure_fits_a_laptop(tab, width):
    widest = {}
    for name in executions.notebooks(ROOT):
        text = (HTML / f"{name}.html").read_text(encoding="utf-8")
        widest[name] = max(map(int, re.findall(r"--readable: (\d+)px", text)), default=0)
    name = max(widest, key=widest.get)
    page = tab.open(name, size={"width": width, "height": 800})
    figures = page.locator("a.figure-wide:visible").all()
    assert figures
    for figure in figures:
        assert figure.evaluate("link => link.scrollWidth <= link.clientWidth")


def test_a_tap_on_a_figure_opens_all_of_it(page):
    show(page, "03_perceived_distance")
    link = page.locator("a.figure-wide:visible").first
    picture = link.get_attribute("href")
    link.locator("img").tap()
    page.wait_for_url("**/_images/*.png")
    assert page.url.endswith(picture)


@pytest.mark.parametrize("name", ["02_background", "06_changing_the_loss"])
def test_formulas_and_code_that_are_cut_say_so(page, name):
    show(page, name)
    page.evaluate("() => window.MathJax?.startup?.promise.then(() => true)")
    page.wait_for_selector("mjx-container.goes-on")
    page.wait_for_selector(".cell_input pre.goes-on")
    numbers = page.locator("div.math .eqno").all()
    for number in numbers:
        formula = number.locator("xpath=following-sibling::mjx-container")
        assert number.bounding_box()["y"] > formula.bounding_box()["y"]
    assert numbers


def test_wide_tables_of_the_text_are_cards(page):
    show(page, "errata")
    table = page.locator("table.cards").first
    assert table.evaluate("table => table.scrollWidth <= table.clientWidth")
    cell = table.locator("td[data-head]").first
    assert cell.evaluate("cell => getComputedStyle(cell, '::before').content").strip('"')
