"""The built book in Chromium, opened from disk: every page, light and dark, wide and narrow."""

import importlib.util
import os
import re
import runpy
import shutil
import zipfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from vaedis_companion.book import executions

ROOT = Path(__file__).parents[2]
HTML = ROOT / "_build" / "html"
OFFLINE = runpy.run_path(str(ROOT / "tools" / "offline.py"))
CHROMIUM = next(filter(None, map(shutil.which, OFFLINE["BROWSERS"])), None)
ABSENT = [
    name
    for name in ("playwright", "axe_playwright_python")
    if importlib.util.find_spec(name) is None
]
pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}"),
]

PAGES = [*executions.pages(ROOT), "search", "genindex", "404"]
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
LARGEST = 4e6
# what follows a change of the page's size has happened then
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""Bytes that a page may load, of which MathJax takes 1.2 million."""
# words of the text on different pages
WORDS = (
    "disentanglement",
    "reconstruction",
    "posterior",
    "overlap",
    "spacing",
    "XYSquares",
    "Ada-GVAE",
    "blur",
    "checkpoint",
    "diagnose",
)
SITE = "https://book.example/vaedis/"
COLOURS_ONLY = "{preload: false, runOnly: ['color-contrast', 'link-in-text-block']}"
ALL_RULES = "{preload: false}"
FORMULAS = """async () => {
  if (!window.MathJax?.startup) return document.querySelectorAll('.bd-article .math').length;
  await MathJax.startup.promise;
  const shown = [...document.querySelectorAll('.bd-article .math')];
  return shown.filter((math) => !math.querySelector('mjx-container') || math.querySelector('mjx-merror')).length;
}"""
IMAGES = """async () => {
  const shown = [...document.querySelectorAll('.bd-article img')].filter((image) => image.checkVisibility());
  for (const image of shown) image.loading = 'eager';
  await Promise.all(shown.map((image) => image.decode().catch(() => 0)));
  return shown.filter((image) => !image.naturalWidth).map((image) => image.src);
}"""
ANCHORS = """() => [...document.querySelectorAll('.bd-article a[href^="#"]')]
  .map((link) => decodeURIComponent(link.hash.slice(1)))
  .filter((id) => id && !id.includes('=') && !document.getElementById(id))"""


@pytest.fixture(scope="module")
def chrome():
    if not (HTML / "index.html").exists():
        if os.environ.get("VAEDIS_BUILT_BOOK") == "required":
            pytest.fail("VAEDIS_BUILT_BOOK is set, but there is no _build/html; run make book.")
        pytest.skip("no _build/html; run make book first")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        options = ["--no-sandbox"] if os.getuid() == 0 else []
        with play.chromium.launch(executable_path=CHROMIUM, args=options) as browser:
            yield browser


class Tab:
    """A page of the browser, and all that it says and loads."""

    def __init__(self, context):
        self.page = context.new_page()
        self.page.set_default_timeout(90_000)
        self.said, self.outside, self.loaded = [], [], set()
        self.page.on("console", self.hear)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("requestfailed", lambda request: self.said.append(f"no {request.url}"))
        self.page.on("request", self.note)

    def hear(self, message):
        # the theme logs what it does
        if message.type != "log":
            self.said.append(message.text)

    def note(self, request):
        if request.url.startswith("file:"):
            self.loaded.add(unquote(urlsplit(request.url).path))
        elif not request.url.startswith(("data:", "blob:")):
            self.outside.append(request.url)

    def open(self, name, settings="", size=WIDE):
        for list_ in (self.said, self.outside, self.loaded):
            list_.clear()
        self.page.set_viewport_size(size)
        # a change of the address alone loads nothing
        self.page.goto("about:blank")
        self.page.goto((HTML / f"{name}.html").as_uri() + settings)
        return self.page


@pytest.fixture(scope="module")
def context(chrome):
    with chrome.new_context(color_scheme="light", reduced_motion="reduce") as context:
        yield context


@pytest.fixture(scope="module")
def tab(context):
    return Tab(context)


@pytest.fixture(scope="module")
def axe():
    package = importlib.util.find_spec("axe_playwright_python").submodule_search_locations[0]
    return Path(package, "axe.min.js").read_text(encoding="utf-8")


def on_a_site(page):
    """Serve the book to a page as if from a site."""

    def answer(route):
        path = HTML / urlsplit(route.request.url).path.removeprefix("/vaedis/")
        found = path.is_file()
        route.fulfill(path=path if found else HTML / "404.html", status=200 if found else 404)

    page.route(f"{SITE}**", answer)


def violations(page, options):
    """What axe finds, a line for each element."""
    found = page.evaluate(f"axe.run(document, {options}).then((found) => found.violations)")
    return [
        f"{rule['id']}: {' '.join(map(str, node['target']))}"
        for rule in found
        for node in rule["nodes"]
    ]


def turn(page, theme):
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_on_every_screen(tab, axe, name):
    page = tab.open(name)
    problems = [f"{n} formulas are not shown" for n in [page.evaluate(FORMULAS)] if n]
    problems += [f"{id} leads nowhere" for id in page.evaluate(ANCHORS)]
    page.evaluate(axe)
    for theme in ("light", "dark"):
        turn(page, theme)
        problems += [f"{image} is not shown, {theme}" for image in page.evaluate(IMAGES)]
        for size in (WIDE, PHONE):
            page.set_viewport_size(size)
            page.evaluate(TWO_FRAMES)
            screen = f"{theme}, {size['width']} px"
            over = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            problems += [f"{over} px wider than the screen, {screen}"] if over > 0 else []
            options = ALL_RULES if theme == "light" else COLOURS_ONLY
            problems += [f"{line}, {screen}" for line in violations(page, options)]
        if theme == "light":
            weight = sum(Path(path).stat().st_size for path in tab.loaded if Path(path).is_file())
    # from disk the browser first looks for the parts of 404.html where the site has them
    early = re.compile("///vaedis/|Failed to load resource" if name == "404" else "$^")
    problems += [f"says {line}" for line in tab.said if not early.search(line)]
    problems += [f"asks for {address}" for address in tab.outside]
    problems += [f"loads {weight} bytes"] if weight > LARGEST else []
    assert problems == []


@pytest.mark.parametrize("word", WORDS)
def test_the_search_finds_words_from_disk(tab, word):
    page = tab.open("search", f"?q={word}")
    page.locator("#search-results li").first.wait_for()
    page.locator(".search-summary:has-text('finished')").wait_for()
    assert tab.said == []


def test_the_buttons_above_a_page_do_what_they_say(context):
    page = Tab(context).page
    page.set_viewport_size(WIDE)
    on_a_site(page)
    page.goto(f"{SITE}03_perceived_distance.html")
    themes = set()
    for _ in range(3):
        page.locator("button.theme-switch-button:visible").click()
        themes.add(page.evaluate("document.documentElement.dataset.mode"))
    assert themes == {"light", "dark", "auto"}
    page.locator("button.search-button__button:visible").first.click()
    page.locator("input[type=search]:visible").wait_for()
    page.keyboard.press("Escape")
    page.evaluate("window.print = () => { window.printed = true; }")
    menu = page.locator(".dropdown-download-buttons > button")
    menu.click()
    page.locator(".btn-download-pdf-button").click()
    assert page.evaluate("window.printed")
    for kind in (".md", ".ipynb"):
        link = page.locator(f".dropdown-download-buttons a[href$='{kind}']")
        if menu.get_attribute("aria-expanded") != "true":
            menu.click()
        with page.expect_download() as download:
            link.click()
        assert download.value.suggested_filename == f"03_perceived_distance{kind}"
    page.close()


def test_the_contents_open_on_a_phone(tab):
    page = tab.open("04_benchmarks", size=PHONE)
    contents = page.locator(".bd-sidebar-primary a:has-text('5 Adversarial data')").first
    assert not contents.is_visible()
    page.locator("button.primary-toggle:visible").click()
    contents.click()
    page.wait_for_url("**/05_adversarial_data.html")


def test_a_figure_opens_large_by_keyboard_in_the_colours_of_the_page(tab):
    page = tab.open("03_perceived_distance", size=PHONE)
    for theme, ending in (("light", r"[0-9a-f]{64}\.png"), ("dark", r"[0-9a-f]{64}-dark\.png")):
        turn(page, theme)
        figure = page.locator(".bd-article a.figure-large:visible").first
        box = figure.bounding_box()
        assert box["width"] <= PHONE["width"]
        assert box["x"] >= 0
        figure.focus()
        assert re.search(ending, figure.evaluate("link => link.href"))
    page.keyboard.press("Enter")
    page.wait_for_url("**/*-dark.png")


# Live figures.

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


# What a link leads to.


@pytest.mark.parametrize(
    ("name", "link", "words"),
    [
        ("03_perceived_distance", "a[href*='#equation-eq-']", None),
        ("02_background", "a[href*='references.html#']", r"\(?(19|20)\d\d"),
        ("05_adversarial_data", "a[href*='api_'][href*='#vaedis.']", r"vaedis\.|\("),
    ],
)
def test_a_link_shows_what_it_leads_to(tab, name, link, words):
    page = tab.open(name)
    target = page.locator(f".bd-article {link}:visible").first
    tip = page.locator("#link-tip")
    target.hover()
    tip.wait_for(state="visible")
    if words is None:
        tip.locator("mjx-container").wait_for(state="attached")
    else:
        assert re.search(words, tip.inner_text())
    assert target.get_attribute("aria-describedby") == "link-tip"
    page.keyboard.press("Escape")
    assert not tip.is_visible()
    page.mouse.move(0, 0)
    # by the keyboard: from the element before it
    target.focus()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Tab")
    tip.wait_for(state="visible")
    assert tab.said == []


# The page for what is absent, and the book on paper and in a zip.


def test_the_page_for_what_is_absent_is_whole_on_the_site_and_on_a_disk(context):
    page = Tab(context).page
    failed = []
    page.on("response", lambda response: failed.append(response.url) if not response.ok else 0)
    on_a_site(page)
    absent = f"{SITE}no/such/page.html"
    page.goto(absent)
    assert failed == [absent]
    page.locator("a:has-text('1 Introduction')").first.click()
    page.wait_for_url(f"{SITE}01_introduction.html")
    page.close()


def test_the_book_prints_as_one_pdf_with_bookmarks_and_links(chrome, tmp_path):
    for folder in ("_static", "_images"):
        (tmp_path / folder).symlink_to(HTML / folder)
    names = ["intro", "notation", "how_to_cite"]
    for name in names:
        shutil.copy(HTML / f"{name}.html", tmp_path)
    book = OFFLINE["whole_book"](tmp_path, names)
    ids = re.findall(r' id="([^"]*)"', book)
    assert len(set(ids)) == len(ids)
    assert {*names} <= set(ids)
    (tmp_path / "book.html").write_text(book, encoding="utf-8")
    page = chrome.new_page()
    page.goto((tmp_path / "book.html").as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0
    pdf = page.pdf(format="A4", outline=True, tagged=True)
    page.close()
    assert pdf.startswith(b"%PDF")
    assert b"/Outlines" in pdf
    assert b"/Dest" in pdf


def test_without_chromium_the_pdf_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="Chromium prints the PDF, and there is none; install it"):
        OFFLINE["browser"]()


def test_the_zip_of_the_book_is_the_same_each_time_and_has_its_checksum(tmp_path):
    import hashlib

    html = tmp_path / "html"
    (html / "_static").mkdir(parents=True)
    (html / "index.html").write_text("<p>book")
    (html / "_static" / "a.css").write_text("p {}")
    path = OFFLINE["write_zip"](html)
    first = path.read_bytes()
    os.utime(html / "index.html", (0, 0))
    assert OFFLINE["write_zip"](html).read_bytes() == first
    digest, name = path.with_name("vaedis-book.zip.sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256(first).hexdigest(), path.name)
    assert zipfile.ZipFile(path).namelist() == [
        "vaedis-book/_static/a.css",
        "vaedis-book/index.html",
    ]
