"""The built book on a phone with a touch screen: figures that can be read, and what scrolls."""

import re

import pytest
from in_browser import HTML, MARKS, PHONE, ROOT

from vaedis_companion.book import executions

pytestmark = MARKS
# letters no smaller than this, in pixels of the page
READABLE = 9
# of each figure with a receipt: its link to the SVG, and the widths of picture and place
FIGURES = """() => [...document.querySelectorAll('.receipt')].map((receipt) => {
  const svg = receipt.querySelector('a[href$=".svg"]')?.getAttribute('href');
  const links = [...document.querySelectorAll('a.figure-light')];
  const before = (link) => link.compareDocumentPosition(receipt) & Node.DOCUMENT_POSITION_FOLLOWING;
  const link = links.filter(before).pop();
  return { svg, picture: link?.querySelector('img').clientWidth, place: link?.clientWidth };
}).filter((figure) => figure.svg && figure.picture)"""


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


@pytest.mark.parametrize("name", executions.notebooks(ROOT))
def test_letters_of_figures_are_large_enough_on_a_phone(page, name):
    show(page, name)
    small = []
    for figure in page.evaluate(FIGURES):
        svg = (HTML / figure["svg"]).read_text(encoding="utf-8")
        points = float(re.search(r'<svg [^>]*width="([\d.]+)pt"', svg)[1])
        # a glyph is drawn a hundred times as large and scaled down
        letters = [100 * float(size) for size in re.findall(r"scale\((0\.\d+) -0\.\d+\)", svg)]
        shown = min(letters, default=READABLE) * figure["picture"] / points
        if letters and shown < READABLE - 0.05:
            small.append(f"{figure['svg']}: {shown:.1f} px")
        assert figure["place"] <= page.viewport_size["width"]
    assert small == []


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
