"""The built book in Chromium: where both are, and a page that notes what it says and loads."""

import importlib.util
import runpy
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
HTML = ROOT / "_build" / "html"
OFFLINE = runpy.run_path(str(ROOT / "tools" / "offline.py"))
CHROMIUM = next(filter(None, map(shutil.which, OFFLINE["BROWSERS"])), None)
ABSENT = [
    name
    for name in ("playwright", "axe_playwright_python")
    if importlib.util.find_spec(name) is None
]
MARKS = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}"),
]

SITE = "https://book.example/vaedis/"
WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


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


def on_a_site(page):
    """Serve the book to a page as if from a site."""

    def answer(route):
        path = HTML / urlsplit(route.request.url).path.removeprefix("/vaedis/")
        found = path.is_file()
        route.fulfill(path=path if found else HTML / "404.html", status=200 if found else 404)

    page.route(f"{SITE}**", answer)
