"""The built book for readers without a network: one PDF, and one zip with its SHA-256.

``python tools/offline.py pdf`` prints all pages with Chromium into ``_build/html/vaedis.pdf`` and
links it from the first page; ``python tools/offline.py zip`` packs the pages, and the PDF if there
is one, into ``_build/vaedis-book.zip``.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path
from urllib.parse import urlsplit

from vaedis_companion.book import executions

ROOT = Path(__file__).resolve().parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PDF = "vaedis.pdf"
FOOT = (
    '<div style="width: 100%; text-align: center; font: 8pt sans-serif; color: #48566b">'
    '<span class="pageNumber"></span> / <span class="totalPages"></span></div>'
)
# the same pages give the same bytes on any day
DATE = (1980, 1, 1, 0, 0, 0)


def browser() -> str:
    """Return the path of Chromium, or end with one sentence."""
    for name in BROWSERS:
        path = shutil.which(name)
        if path:
            return path
    sys.exit(
        "vaedis: Chromium prints the PDF, and there is none; install it "
        "(on Debian: apt install chromium) and try again."
    )


def whole_book(html: Path, names: list[str]) -> str:
    """Return all pages as one, where links between them stay within it."""
    from bs4 import BeautifulSoup

    first = BeautifulSoup((html / f"{names[0]}.html").read_text(encoding="utf-8"), "html.parser")
    contents = first.new_tag("ul", style="columns: 2")
    heading = first.new_tag("h2")
    heading.string = "Contents"
    articles = []
    for name in names:
        page = BeautifulSoup((html / f"{name}.html").read_text(encoding="utf-8"), "html.parser")
        # a page has MathJax only where it has a formula
        heads = [str(part) for part in first.head.find_all("script")]
        for part in page.head.find_all("script"):
            if str(part) not in heads:
                first.head.append(part)
        article = page.select_one("article.bd-article")
        for mark in article.select("script, .headerlink, .book-pdf"):
            mark.decompose()
        entry = first.new_tag("li")
        entry.append(first.new_tag("a", href=f"#{name}"))
        entry.a.string = article.h1.get_text(strip=True)
        contents.append(entry)
        for node in article.find_all(True):
            _join(node, name, names)
        article["id"] = name
        article["style"] = "break-before: page"
        articles.append(article)
    body = first.body
    body.clear()
    for article in articles:
        body.append(article)
    articles[0]["style"] = ""
    articles[0].extend([heading, contents])
    first.html["data-theme"] = "light"
    # of a site the first page's title is said twice, with a dash between
    first.title.string = articles[0].h1.get_text(strip=True)
    return str(first)


def _join(node, name: str, names: list[str]) -> None:
    """Make an element's name and links those of one long page; load its picture at once."""
    if node.get("id"):
        node["id"] = f"{name}--{node['id']}"
    if node.name == "img":
        node.attrs.pop("loading", None)
    if node.name == "a" and node.get("href"):
        target = urlsplit(node["href"])
        page = target.path.removesuffix(".html") or name
        if target.scheme or target.netloc:
            return
        if page in names:
            node["href"] = f"#{page}--{target.fragment}" if target.fragment else f"#{page}"
        else:
            # a file beside the pages, which the PDF does not have beside it
            del node["href"]


def write_pdf(html: Path, names: list[str]) -> Path:
    """Print the whole book with bookmarks, page numbers and links, and link it from page one."""
    chromium = browser()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sys.exit("vaedis: playwright drives Chromium; install it: pip install playwright.")
    source = html / "print.html"
    source.write_text(whole_book(html, names), encoding="utf-8")
    try:
        with sync_playwright() as play:
            # Chromium has no sandbox for root
            options = ["--no-sandbox"] if os.getuid() == 0 else []
            with play.chromium.launch(executable_path=chromium, args=options) as chrome:
                page = chrome.new_page()
                page.set_default_timeout(600_000)
                page.goto(source.as_uri())
                page.evaluate("() => window.MathJax && MathJax.startup.promise.then(() => true)")
                # a fold that is closed is not printed
                page.evaluate(
                    "document.querySelectorAll('details.claims').forEach((d) => (d.open = true))"
                )
                page.pdf(
                    path=html / PDF,
                    format="A4",
                    margin=dict.fromkeys(("top", "bottom", "left", "right"), "18mm"),
                    display_header_footer=True,
                    header_template="<span></span>",
                    footer_template=FOOT,
                    print_background=True,
                    outline=True,
                    tagged=True,
                )
    finally:
        source.unlink()
    first = html / f"{names[0]}.html"
    text = first.read_text(encoding="utf-8")
    if 'class="book-pdf"' not in text:
        size = (html / PDF).stat().st_size / 1e6
        link = (
            f'<p class="book-pdf"><a href="{PDF}">The whole book as a PDF</a> ({size:.0f} MB)</p>'
        )
        text = re.sub(r"</article>", f"{link}</article>", text, count=1)
        first.write_text(text, encoding="utf-8")
    return html / PDF


def write_zip(html: Path) -> Path:
    """Pack the pages, the same bytes from the same pages, and write the SHA-256 beside them."""
    path = html.parent / "vaedis-book.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as pack:
        for file in sorted(html.rglob("*")):
            if file.is_file() and file.name != ".buildinfo":
                name = f"vaedis-book/{file.relative_to(html).as_posix()}"
                pack.writestr(zipfile.ZipInfo(name, DATE), file.read_bytes(), zipfile.ZIP_DEFLATED)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n", encoding="utf-8")
    return path


def main(what: str) -> None:
    """Write the PDF or the zip of the book that is built."""
    html = ROOT / "_build" / "html"
    if not (html / "index.html").exists():
        sys.exit("vaedis: there is no book in _build/html; run: make book.")
    names = executions.pages(ROOT)
    print(write_pdf(html, names) if what == "pdf" else write_zip(html))


if __name__ == "__main__":
    if sys.argv[1:] not in (["pdf"], ["zip"]):
        sys.exit("vaedis: say pdf or zip, as in: python tools/offline.py pdf")
    main(sys.argv[1])
