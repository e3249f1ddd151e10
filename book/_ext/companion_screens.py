"""Pages for every screen: figures in light and dark, tables and lists that are read out right.

What a link leads to, for the tips of `assets/screens.js`, and a page for what is absent that also
opens from disk.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import struct
from pathlib import Path

from bs4 import BeautifulSoup
from docutils import nodes
from jupyter_cache import get_cache
from sphinx import addnodes

from vaedis_companion.book import notebooks
from vaedis_companion.book.display import DARK, MIME

PICTURE = re.compile(r'<img [^>]*src="_images/([0-9a-f]{64})\.png"[^>]*>')
TABLE = re.compile(r'<table [^>]*class="dataframe.*?</table>', re.DOTALL)
WRITTEN_TABLE = re.compile(r'<table class="table">.*?</table>', re.DOTALL)
EMPTY_HEAD = re.compile(r"<th([^>]*)>(?:<p></p>)?</th>")
NO_SCRIPT = re.compile(r"<noscript>(.*?)</noscript>", re.DOTALL)
CODE = re.compile(r"(?<=<code class=).*?(?=</code>)", re.DOTALL)
LONG_NAME = re.compile(r'(?<=<span class="pre">)[^<]{11,}(?=</span>)')
OUTPUT = re.compile(r'(?<=notranslate"><div class="highlight"><pre>).*?(?=</pre>)', re.DOTALL)
# lines in columns, with a wide gap within or, where one goes on, before
ROW = re.compile(r"\S {2,}\S|^ {12,}\S")
LONGEST_TIP = 400
# the least height of letters in a figure, in pixels of a page
READABLE = 9
# a vector picture says how wide it is, in points, and of each line of text how large, in hundreds
SVG_WIDTH = re.compile(r'<svg [^>]*width="([\d.]+)pt"')
SVG_TEXT = re.compile(r"scale\((0\.\d+) -\1\)")
# of figures whose vector picture is not kept: points in a pixel, and in the smallest letters drawn
POINT = 72 / 110
SMALLEST = 7
# what a cell of numbers, or of a word or two, has fewer characters than
WORDS = 12
# the text of a page on a small phone
NARROWEST = 320
# the theme stores light or dark, and stops where a browser blocks that
STORAGE = """<script>
  for (const name of ["localStorage", "sessionStorage"]) {
    try { window[name].length; } catch {
      const value = { getItem: () => null, setItem: () => {}, removeItem: () => {} };
      Object.defineProperty(window, name, { value });
    }
  }
</script>
"""


def read_pictures(app):
    """Collect of all current runs, by the SHA-256 of the light pictures, the dark ones.

    And the least width of each at which its text can be read.
    """
    app.vaedis_dark = {}
    app.vaedis_widths = {}
    path = notebooks.cache_path(app.vaedis_build)
    if path.exists():
        cache = get_cache(str(path))
        for record in cache.list_cache_records():
            for cell in cache.get_cache_bundle(record.pk).nb.cells:
                for output in cell.get("outputs", ()):
                    data = output.get("data", {})
                    if DARK in data and "image/png" in data:
                        light = base64.b64decode(data["image/png"])
                        name = hashlib.sha256(light).hexdigest()
                        app.vaedis_dark[name] = data[DARK]
                        app.vaedis_widths[name] = readable_width(light, data.get(MIME, {}))


def readable_width(png, drawn):
    """Return the least width of a figure, in pixels, at which its smallest letters are readable."""
    svg = drawn.get("svg")
    sizes = [100 * float(size) for size in SVG_TEXT.findall(svg or "")]
    if sizes:
        return round(float(SVG_WIDTH.search(svg)[1]) * READABLE / min(sizes))
    return 0 if svg else round(size_of(png)[0] * POINT * READABLE / SMALLEST)


def size_of(png):
    """Return the width and the height of a picture, in pixels."""
    return struct.unpack(">II", png[16:24])


def finish_page(app, pagename, templatename, context, doctree):
    """Adapt the HTML of a page."""
    context["metatags"] = STORAGE + context.get("metatags", "")
    body = context.get("body")
    if body:
        body = PICTURE.sub(lambda match: both_pictures(app, match), body)
        body = TABLE.sub(lambda match: plain_head(match[0]), body)
        body = WRITTEN_TABLE.sub(lambda match: cards(match[0]), body)
        body = EMPTY_HEAD.sub(r"<td\1></td>", body)
        body = CODE.sub(lambda match: breakable(match[0]), body)
        body = OUTPUT.sub(lambda match: columns_kept(match[0]), body)
        # read also where scripts may run but are not found
        body = NO_SCRIPT.sub(r'<p class="live-absent">\1</p>', body)
        # the entries of the bibliography have a role that lists do not take, and that is out of use
        context["body"] = body.replace(' role="doc-biblioentry"', ' role="listitem"')


def both_pictures(app, match):
    """Return a figure's picture for light and for dark pages, each a link to itself."""
    name = match[1]
    images = Path(app.outdir, "_images")
    if name not in app.vaedis_dark:
        return linked(match[0], images / f"{name}.png", "figure-card", app)
    images.mkdir(exist_ok=True)
    dark = images / f"{name}-dark.png"
    dark.write_bytes(base64.b64decode(app.vaedis_dark[name]))
    readable = app.vaedis_widths[name]
    return linked(match[0], images / f"{name}.png", "figure-light", app, readable) + linked(
        match[0].replace(name, dark.stem), dark, "figure-dark", app, readable
    )


def linked(image, path, kind, app, readable=0):
    """Return an image as a link to its file, with its size, so that no text moves as it loads.

    On a phone narrower than what is readable, the image scrolls.
    """
    source = path if path.exists() else Path(app.doctreedir).parent / "jupyter_execute" / path.name
    size = ""
    if source.exists():
        width, height = size_of(source.read_bytes())
        size = f' width="{width}" height="{height}"'
    if readable > NARROWEST:
        kind += " figure-wide"
        size += f' style="--readable: {readable}px"'
    image = image.replace("<img ", f'<img loading="lazy"{size} ', 1)
    return f'<a class="figure-large {kind}" href="_images/{path.name}">{image}</a>'


def breakable(code):
    """Return code within a text with places where a narrow screen may break a long name."""
    return LONG_NAME.sub(lambda name: re.sub(r"(?<=[\w.=(][._=(])(?=\w)", "<wbr>", name[0]), code)


def columns_kept(text):
    """Return what a cell printed with its tables marked, whose lines a phone must not break."""
    parts = []
    lines = text.splitlines(keepends=True)
    for is_row, rows in itertools.groupby(lines, lambda line: bool(ROW.search(line))):
        block = list(rows)
        marked = is_row and len(block) > 1
        parts += ['<span class="columns">', *block, "</span>"] if marked else block
    return "".join(parts)


def plain_head(table):
    """Return a table of pandas with one line of heads, and without heads that are empty.

    Pandas writes the name of the index into a second, otherwise empty line.
    """
    soup = BeautifulSoup(table, "html.parser")
    head = soup.thead
    rows = head.find_all("tr") if head else []
    if len(rows) == 2 and not head.find(colspan=True):
        first, second = (row.find_all("th") for row in rows)
        named = [k for k, cell in enumerate(second) if cell.get_text(strip=True)]
        if named and not any(first[k].get_text(strip=True) for k in named):
            for k in named:
                first[k].string = second[k].get_text(strip=True)
            rows[1].decompose()
    for cell in soup.find_all("th"):
        if not cell.get_text(strip=True):
            cell.name = "td"
    return str(soup)


def cards(table):
    """Return a table of the text, with its heads in each cell if a phone shows its rows as cards.

    That is for tables of words in four columns and more: in fewer, each column has room for them.
    """
    soup = BeautifulSoup(table, "html.parser")
    heads = [cell.get_text() for cell in soup.thead.find_all("th")] if soup.thead else []
    texts = [cell.get_text(strip=True) for cell in soup.select("tbody td + td")]
    if len(heads) < 4 or not texts or sum(map(len, texts)) < WORDS * len(texts):
        return table
    soup.table["class"].append("cards")
    for row in soup.tbody.find_all("tr"):
        for head, cell in zip(heads, row.find_all("td"), strict=False):
            if cell.get_text(strip=True):
                cell["data-head"] = head
    return str(soup)


def write_tips(app, doctree, docname):
    """Write what the links to a page's equations, terms, entries and figures lead to."""
    if app.builder.format != "html":
        return
    tips = {}
    for node in doctree.findall():
        if isinstance(node, nodes.math_block) and node.get("label"):
            tips[nodes.make_id(f"equation-{node['label']}")] = f"\\[{node.astext()}\\]"
        elif isinstance(node, nodes.term):
            tips |= dict.fromkeys(node["ids"], words(node.parent.children[-1]))
        elif isinstance(node, nodes.citation):
            tips |= dict.fromkeys(node["ids"], words(node.children[-1]))
        elif isinstance(node, addnodes.desc_signature):
            summary = next(iter(node.parent[-1].findall(nodes.paragraph)), nodes.paragraph())
            tips |= dict.fromkeys(node["ids"], f"{node.astext()}\n{words(summary)}")
        elif isinstance(node, nodes.figure):
            captions = [words(caption) for caption in node.findall(nodes.caption)]
            tips |= dict.fromkeys(node["ids"], "\n".join(captions))
    path = Path(app.outdir, "_static", "tips", f"{docname}.js")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({key: value for key, value in tips.items() if value}, ensure_ascii=False)
    path.write_text(f"vaedisTips[{json.dumps(docname)}] = {text};\n", encoding="utf-8")


def words(node):
    """Return a node's text, with formulas as MathJax reads them, cut after a sentence if long."""
    parts = []
    for child in node.findall():
        if isinstance(child, nodes.math):
            parts.append(f"\\({child.astext()}\\)")
        elif isinstance(child, nodes.math_block):
            parts.append(f"\\[{child.astext()}\\]")
        elif isinstance(child, nodes.Text) and not isinstance(
            child.parent, nodes.math | nodes.math_block
        ):
            parts.append(child.astext())
    text = " ".join("".join(parts).split())
    if len(text) <= LONGEST_TIP:
        return text
    end = text.find(". ", LONGEST_TIP // 2)
    return text[: end + 1] if 0 < end < 2 * LONGEST_TIP else text


def be_light_without_scripts(app, exception):
    """Give each page the light colours from the start: only a script knows which a reader has."""
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).glob("*.html"):
            page = path.read_text(encoding="utf-8")
            light = page.replace(' data-theme="auto">', ' data-theme="light">', 1)
            if light != page:
                path.write_text(light, encoding="utf-8")


def open_the_absent_page_from_disk(app, exception):
    """Let the page for what is absent find its files both on the site and on a disk."""
    path = Path(app.outdir, f"{app.config.notfound_pagename}.html")
    if exception is not None or app.builder.format != "html" or not path.exists():
        return
    prefix = app.config.notfound_urls_prefix
    page = path.read_text(encoding="utf-8").replace(f'="{prefix}', '="')
    script = 'if (location.protocol === "file:") document.querySelector("base").href = "./";'
    base = f'<base href="{prefix}"><script>{script}</script>'
    path.write_text(page.replace("<head>", f"<head>{base}", 1), encoding="utf-8")


def leave_icons_to_the_fonts(app, exception):
    """Empty the theme's script of icons: its style sheet draws the same from fonts.

    The script weighs more than all other parts of a page together.
    """
    path = Path(app.outdir, "_static", "scripts", "fontawesome.js")
    if exception is None and app.builder.format == "html" and path.exists():
        path.write_text("// Icons are drawn from fonts.\n", encoding="utf-8")


def setup(app):
    """Connect all of it."""
    # after the extension companion, which finds the folder of the build
    app.connect("builder-inited", read_pictures, priority=950)
    app.connect("doctree-resolved", write_tips, priority=900)
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("build-finished", be_light_without_scripts)
    app.connect("build-finished", open_the_absent_page_from_disk)
    app.connect("build-finished", leave_icons_to_the_fonts, priority=900)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
