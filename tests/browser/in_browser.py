"""The built book in Chromium: where both are, a page that notes what it says and loads, and what
is wrong with a page.
"""

import importlib.util
import re
import runpy
import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
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

# bytes that a page may load, of which MathJax takes 1.2 million
LARGEST = 4e6
LARGEST_FIRST = 6e5
# what follows a change of the page's size has happened then
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
# What axe looks at, and by which rules. Comparing colours takes most of its time, so it looks at one text
# of each kind: of the same colours, size, weight, underline and tags. Kinds that a tab has shown before, on
# whatever page, are left out.
FAULTS_ONLY = "preload: false, resultTypes: ['violations']"
OF_COLOURS = ["color-contrast", "link-in-text-block"]
COLOURS = f"{{{FAULTS_ONLY}, runOnly: {OF_COLOURS}}}"
NOT_OF_COLOURS = ", ".join(f"'{rule}': {{enabled: false}}" for rule in OF_COLOURS)
STRUCTURE = f"{{{FAULTS_ONLY}, rules: {{{NOT_OF_COLOURS}}}}}"
NEW_KINDS = """(known) => {
  const kinds = new Map(known.map((kind) => [kind, null]));
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    const text = getComputedStyle(element);
    const kind = [text.color, text.fontSize, text.fontWeight, text.textShadow, text.textDecorationLine];
    let level = 0;
    let covered = false;
    for (let outer = element; outer && !covered; outer = outer.parentElement) {
      const { backgroundColor, backgroundImage, opacity, position } = getComputedStyle(outer);
      if (level < 3) kind.push(outer.tagName);
      if (level === 1) kind.push(getComputedStyle(outer).color);
      kind.push(backgroundColor, backgroundImage, opacity, position);
      covered = backgroundColor.startsWith('rgb(');
      level += 1;
    }
    if (!kinds.has(kind.join())) kinds.set(kind.join(), element);
  }
  const shown = [...kinds].filter(([, element]) => element);
  window.ofNewKinds = {include: shown.map(([, element]) => element)};
  return shown.map(([kind]) => kind);
}"""
# What stands around the text is the same on all pages: axe looks at one of them on each screen.
ON_EACH_SCREEN = "intro"
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
# Letters of figures are no smaller than this on a phone, in pixels of the page.
READABLE = 9
# Of each figure with a receipt: its link to the SVG, and the widths of picture and place.
FIGURES = """() => [...document.querySelectorAll('.receipt')].map((receipt) => {
  const svg = receipt.querySelector('a[href$=".svg"]')?.getAttribute('href');
  const links = [...document.querySelectorAll('a.figure-light')];
  const before = (link) => link.compareDocumentPosition(receipt) & Node.DOCUMENT_POSITION_FOLLOWING;
  const link = links.filter(before).pop();
  return { svg, picture: link?.querySelector('img').clientWidth, place: link?.clientWidth };
}).filter((figure) => figure.svg && figure.picture)"""
ANCHORS = """() => [...document.querySelectorAll('.bd-article a[href^="#"]')]
  .map((link) => decodeURIComponent(link.hash.slice(1)))
  .filter((id) => id && !id.includes('=') && !document.getElementById(id))"""


class Tab:
    """A page of the browser, and all that it says and loads."""

    def __init__(self, context):
        self.page = context.new_page()
        self.page.set_default_timeout(90_000)
        self.said, self.outside, self.loaded = [], [], set()
        self.kinds = set()
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
        self.page.set_viewport_size(size)
        # a change of the address alone loads nothing
        self.page.goto("about:blank")
        # after it, since it cuts off what the page before was loading
        for list_ in (self.said, self.outside, self.loaded):
            list_.clear()
        self.page.goto((HTML / f"{name}.html").as_uri() + settings)
        return self.page


def on_a_site(page):
    """Serve the book to a page as if from a site."""

    def answer(route):
        path = HTML / urlsplit(route.request.url).path.removeprefix("/vaedis/")
        found = path.is_file()
        route.fulfill(path=path if found else HTML / "404.html", status=200 if found else 404)

    page.route(f"{SITE}**", answer)


def turn(page, theme):
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")


def load_axe(page):
    package = importlib.util.find_spec("axe_playwright_python").submodule_search_locations[0]
    page.evaluate(Path(package, "axe.min.js").read_text(encoding="utf-8"))


def violations(page, part, options):
    """What axe finds in a part of the page, a line for each element."""
    found = page.evaluate(f"axe.run({part}, {options}).then((found) => found.violations)")
    return [
        f"{rule['id']}: {' '.join(map(str, node['target']))}"
        for rule in found
        for node in rule["nodes"]
    ]


def faults_of_colours(tab):
    """What axe finds in the colours of texts and links of kinds that the tab did not show before."""
    new = tab.page.evaluate(NEW_KINDS, sorted(tab.kinds))
    tab.kinds.update(new)
    return violations(tab.page, "ofNewKinds", COLOURS) if new else []


def faults(tab, name, theme, size):
    """What axe finds on a screen of a page.

    Colours of a text do not depend on the width, and its structure hardly on either: colours are
    looked at once light and once dark, structure on the phone.
    """
    every = name == ON_EACH_SCREEN
    found = []
    if every or (theme, size) == ("dark", PHONE):
        found += violations(tab.page, "document", STRUCTURE)
    if every or (theme, size) in [("light", WIDE), ("dark", PHONE)]:
        found += faults_of_colours(tab)
    return found


def letters_that_are_small(page):
    """The figures of a page whose letters are too small to read, or that reach beyond the screen."""
    problems = []
    for figure in page.evaluate(FIGURES):
        svg = (HTML / figure["svg"]).read_text(encoding="utf-8")
        points = float(re.search(r'<svg [^>]*width="([\d.]+)pt"', svg)[1])
        # a glyph is drawn a hundred times as large and scaled down
        letters = [100 * float(size) for size in re.findall(r"scale\((0\.\d+) -0\.\d+\)", svg)]
        shown = min(letters, default=READABLE) * figure["picture"] / points
        if letters and shown < READABLE - 0.05:
            problems.append(f"{figure['svg']} has letters of {shown:.1f} px")
        if figure["place"] > page.viewport_size["width"]:
            problems.append(f"{figure['svg']} is wider than the screen")
    return problems


def problems_of(tab, name):
    """What is wrong with a page, light and dark, wide and narrow: a line for each fault."""
    page = tab.open(name)
    problems = [f"{n} formulas are not shown" for n in [page.evaluate(FORMULAS)] if n]
    problems += [f"{id} leads nowhere" for id in page.evaluate(ANCHORS)]
    load_axe(page)
    for theme in ("light", "dark"):
        turn(page, theme)
        problems += [f"{image} is not shown, {theme}" for image in page.evaluate(IMAGES)]
        for size in (WIDE, PHONE):
            page.set_viewport_size(size)
            page.evaluate(TWO_FRAMES)
            screen = f"{theme}, {size['width']} px"
            over = page.evaluate("document.scrollingElement.scrollWidth - innerWidth")
            problems += [f"{over} px wider than the screen, {screen}"] if over > 0 else []
            problems += [f"{line}, {screen}" for line in faults(tab, name, theme, size)]
            if (theme, size) == ("light", PHONE):
                problems += letters_that_are_small(page)
        if theme == "light":
            weight = sum(Path(path).stat().st_size for path in tab.loaded if Path(path).is_file())
    # from disk the browser first looks for the parts of 404.html where the site has them
    early = re.compile("///vaedis/|Failed to load resource" if name == "404" else "$^")
    problems += [f"says {line}" for line in tab.said if not early.search(line)]
    problems += [f"asks for {address}" for address in tab.outside]
    limit = LARGEST_FIRST if name == "intro" else LARGEST
    problems += [f"loads {weight} bytes"] if weight > limit else []
    return problems
