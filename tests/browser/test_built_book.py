"""The built book: search, buttons, links, the page for what is absent, PDF and zip."""

import contextlib
import os
import re
import shutil
import zipfile

import pytest
from in_browser import (
    FORMULAS,
    HTML,
    MARKS,
    OFFLINE,
    PHONE,
    SITE,
    WIDE,
    Tab,
    faults_of_colours,
    load_axe,
    on_a_site,
    turn,
)

pytestmark = MARKS
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


@pytest.fixture(scope="module", params=["light", "dark"])
def faultless(request, chrome):
    """A page in one theme, without a fault in its colours; what is added to it is taken away again."""
    with chrome.new_context(color_scheme="light", reduced_motion="reduce") as context:
        tab = Tab(context)
        page = tab.open("intro")
        load_axe(page)
        turn(page, request.param)
        assert faults_of_colours(tab) == []
        yield tab, request.param


@contextlib.contextmanager
def added(page, html):
    """Add to the first paragraph of the text."""
    page.evaluate(
        "(html) => document.querySelector('#the-paper-in-four-lines p').insertAdjacentHTML('beforeend', html)",
        f"<span id=added> {html}</span>",
    )
    yield
    page.evaluate("document.querySelector('#added').remove()")


@pytest.mark.parametrize(
    "style", ["color: #999", "opacity: 0.4", "background: #777", "color: #999; font-size: 9px"]
)
def test_one_text_that_can_hardly_be_read_is_noticed(faultless, style):
    tab, theme = faultless
    if theme == "dark":
        style = style.replace("#999", "#666")
    with added(tab.page, f'<i id=faint style="{style}">text</i>'):
        assert faults_of_colours(tab) == ["color-contrast: #faint"]
    assert faults_of_colours(tab) == []


def test_one_link_that_looks_like_the_text_around_it_is_noticed(faultless):
    tab, _ = faultless
    style = "color: color-mix(in srgb, currentColor 90%, gray); text-decoration: none"
    with added(tab.page, f'<a id=link href="intro.html" style="{style}">text</a>'):
        assert faults_of_colours(tab) == ["link-in-text-block: #link"]
    assert faults_of_colours(tab) == []


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


def test_mathjax_comes_to_a_page_without_formulas_with_the_first_tip_that_has_one(tab):
    page = tab.open("how_to_cite")
    assert not page.evaluate("'MathJax' in window")
    equations = HTML / "_static" / "tips" / "02_background.js"
    name = re.search(r'"(equation-[\w-]+)"', equations.read_text(encoding="utf-8"))[1]
    page.evaluate(f"""() => {{
      const link = document.createElement('a');
      link.href = '02_background.html#{name}';
      link.textContent = 'an equation';
      document.querySelector('.bd-article p').append(link);
    }}""")
    page.locator(".bd-article a:has-text('an equation')").hover()
    page.locator("#link-tip mjx-container").wait_for(state="attached")
    assert page.locator(".bd-article mjx-container").count() == 0
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
    # the first page has no formula, the second one has
    assert "tex-mml" not in (HTML / "intro.html").read_text(encoding="utf-8")
    assert book.count("mathjax/tex-mml") == 1
    (tmp_path / "book.html").write_text(book, encoding="utf-8")
    page = chrome.new_page()
    page.goto((tmp_path / "book.html").as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("document.scrollingElement.scrollWidth - innerWidth") <= 0
    assert page.evaluate(FORMULAS) == 0
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
