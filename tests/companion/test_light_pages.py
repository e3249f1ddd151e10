"""Pages load what they use: no MathJax without a formula, no style or icon that no page has."""

import importlib
import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

EXTENSIONS = Path(__file__).parents[2] / "book" / "_ext"
HTML = Path(__file__).parents[2] / "_build" / "html"


@pytest.fixture
def light(monkeypatch):
    pytest.importorskip("fontTools")
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    yield importlib.import_module("light_pages")
    sys.modules.pop("light_pages")


def script(filename="", **attributes):
    return SimpleNamespace(filename=filename, attributes=attributes)


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        (None, False),
        ('<p class="mathjax_ignore">Costs $5.</p>', False),
        ('<p class="aftermath">x</p>', False),
        ('<span class="math notranslate nohighlight">', True),
        ('<div class="output math">', True),
        ('<div class="output_area">', True),
        ('<math xmlns="http://www.w3.org/1998/Math/MathML">', True),
    ],
)
def test_mathjax_stays_where_a_formula_is(light, body, stays):
    scripts = [
        script("companion.js"),
        script(None, body="window.MathJax = {}"),
        script("_static/mathjax/tex-mml-chtml.js", defer="defer"),
        "a-name-alone.js",
    ]
    context = {"body": body, "script_files": list(scripts)}
    light.leave_out_mathjax(None, "page", "page.html", context, None)
    assert context["script_files"] == (scripts if stays else [scripts[0], scripts[3]])


@pytest.mark.parametrize(
    ("style", "kept"),
    [
        (".a{x:1}.b{x:2}", ".a{x:1}"),
        (".a,.b,#here{x:1}", ".a,#here{x:1}"),
        ("p.a .b>i{x:1}p{x:2}", "p{x:2}"),
        # what a selector forbids, or allows among others, need not be there
        (".a:not(.b){x:1}", ".a:not(.b){x:1}"),
        (".a:is(.b,:not(.c,#d)) i{x:1}", ".a:is(.b,:not(.c,#d)) i{x:1}"),
        ('.a[title=".b"]{x:1}', '.a[title=".b"]{x:1}'),
        ("@media print{.b{x:1}}.a{x:2}", ".a{x:2}"),
        ("@media print{.b{x:1}.a{x:2}}", "@media print{.a{x:2}}"),
        ("@keyframes b{from{x:1}}", "@keyframes b{from{x:1}}"),
        ("@font-face{x:1}", "@font-face{x:1}"),
        ('@import "b.css";.b{x:1}', '@import "b.css";'),
        # a script ends these names
        (".made-3{x:1}.mad{x:1}", ".made-3{x:1}"),
        # braces and commas that stand for nothing
        ('.a{content:"}"}.b{x:1}', '.a{content:"}"}'),
        (".a{background:url(data:x;{)}.b{x:1}", ".a{background:url(data:x;{)}"),
        ("/* .a{ */.b{x:1}.a{x:2}", ".a{x:2}"),
        # a licence stays, also where its rule goes
        ("/*! by b */.b{x:1}.a{x:2}", "/*! by b */.a{x:2}"),
        # names that are no plain words
        (r".w\:1{x:1}", r".w\:1{x:1}"),
        # no style sheet: nothing is touched
        (".a{x:1}}.b{x:1}", ".a{x:1}}.b{x:1}"),
        (".b{x:1", ".b{x:1"),
        ("", ""),
    ],
)
def test_a_style_sheet_loses_the_rules_that_no_page_uses(light, style, kept):
    names = light.names_in(['<p id="here" class="a">', "name = `made-${3}`"])
    assert light.used_style(style, names) == kept


def test_fonts_keep_the_icons_of_the_styles_that_stay(light, tmp_path):
    from fontTools.ttLib import TTFont
    from matplotlib import font_manager

    static = tmp_path / "html" / "_static"
    fonts = static / "vendor" / "fontawesome" / "fonts"
    fonts.mkdir(parents=True)
    source = Path(font_manager.findfont("DejaVu Sans"))
    (fonts / "icons.ttf").write_bytes(source.read_bytes())
    (fonts / "icons.woff2").write_bytes(b"")
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "own.css").write_text(".later{x:1}")
    (static / "own.css").write_text(".later{x:1}")
    (static / "theme.css").write_text(
        '@font-face{src:url(v/icons.woff2) format("woff2"),url(v/icons.ttf) format("truetype")}'
        '.a:before{content:"\\41 "}.b:before{content:"\\42"}.c:before{content:"+"}'
    )
    (static.parent / "index.html").write_text('<i class="a"></i><i class="c"></i>')
    app = SimpleNamespace(
        outdir=tmp_path / "html", srcdir=tmp_path, builder=SimpleNamespace(format="html")
    )
    for _ in range(2):
        light.lighten(app, None)
        style = (static / "theme.css").read_text()
        assert 'url(v/icons.woff) format("woff")' in style
        assert ".b:" not in style
        assert (static / "own.css").read_text() == ".later{x:1}"
        assert [path.name for path in fonts.iterdir()] == ["icons.woff"]
    with TTFont(fonts / "icons.woff") as font, TTFont(source) as whole:
        assert set(font.getBestCmap()) == {ord("A"), ord("+")}
        assert font["name"].getDebugName(13) == whole["name"].getDebugName(13)
    first = (fonts / "icons.woff").read_bytes()
    (fonts / "icons.ttf").write_bytes(source.read_bytes())
    light.lighten(app, None)
    assert (fonts / "icons.woff").read_bytes() == first


def test_every_icon_of_the_built_pages_is_drawn_from_a_font(light):
    from fontTools.ttLib import TTFont

    folder = HTML / "_static" / "vendor" / "fontawesome"
    if not list(folder.rglob("*.woff")):
        pytest.skip("no _build/html; run make book first")
    style = (HTML / "_static" / "styles" / "pydata-sphinx-theme.css").read_text(encoding="utf-8")
    drawn = set()
    for path in folder.rglob("*.woff"):
        with TTFont(path) as font:
            drawn |= set(font.getBestCmap())
    pages = "".join(path.read_text(encoding="utf-8") for path in HTML.glob("*.html"))
    icons = set(
        re.findall(r'class="((?:[^"]*\s)?fa(?:s|b|r|-solid|-brands|-regular)\s[^"]*)"', pages)
    )
    assert icons
    for classes in icons:
        rules = (rf'\.{name}:before[^{{}}]*\{{content:"\\([0-9a-f]+)' for name in classes.split())
        codes = [int(found[1], 16) for rule in rules if (found := re.search(rule, style))]
        assert len(codes) == 1, classes
        assert codes[0] in drawn, classes
