"""Pages load what they use: no MathJax without a formula, no style or icon that no page has."""

from __future__ import annotations

import logging
import re
from itertools import pairwise
from pathlib import Path

from fontTools import subset

# what MathJax reads: the classes of `processHtmlClass`, and MathML
MATHS = re.compile(
    r'<math\b|class="(?:[^"]*\s)?(?:math|mathjax_process|tex2jax_process|output_area)[\s"]'
)
WORD = re.compile(r"[A-Za-z_][\w-]*")
# where braces, semicolons and commas of a style sheet stand for nothing, and where they do
TOKEN = re.compile(
    r"""/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|url\([^)"']*\)|\\.|[{};,()\[\]]""", re.DOTALL
)
# those that begin with ! are licences
COMMENT = re.compile(r"/\*(?!!).*?\*/", re.DOTALL)
ANY_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# what stands in these may be absent where the selector holds
OPTIONAL = re.compile(r"\[[^\]]*\]|:[\w-]+\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)")
NAME = re.compile(r"[.#]((?:[\w-]|\\.)+)")
HOLDERS = ("@media", "@supports", "@layer", "@container")
ICON = re.compile(r'content:\s*"(?:\\([0-9a-fA-F]{2,6}) ?|([^"\\]))"')
FONTS = re.compile(
    r'url\(([^()]*)\.woff2\) format\("woff2"\),\s*url\(\1\.ttf\) format\("truetype"\)'
)


def leave_out_mathjax(app, pagename, templatename, context, doctree):
    """Take MathJax, half a page's weight, from a page without a formula.

    Sphinx gives it also to a page that lists others which have formulas.
    """
    if MATHS.search(context.get("body") or ""):
        return
    context["script_files"][:] = [
        script
        for script in context["script_files"]
        if "mathjax" not in str(getattr(script, "filename", script))
        and "MathJax" not in getattr(script, "attributes", {}).get("body", "")
    ]


def lighten(app, exception):
    """Leave in the style sheets and fonts of packages what some page of the book uses."""
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir, "_static")
    pages = [path.read_text(encoding="utf-8") for path in Path(app.outdir).glob("*.html")]
    scripts = [
        path.read_text(encoding="utf-8")
        for path in static.rglob("*.js")
        if "mathjax" not in path.relative_to(static).parts
    ]
    names = names_in([*pages, *scripts])
    own = {path.name for path in Path(app.srcdir, "assets").rglob("*.css")}
    icons = set()
    for path in sorted(static.rglob("*.css")):
        if path.name in own:
            continue
        style = FONTS.sub(r'url(\1.woff) format("woff")', path.read_text(encoding="utf-8"))
        style = used_style(style, names)
        path.write_text(style, encoding="utf-8")
        icons |= {int(code, 16) if code else ord(sign) for code, sign in ICON.findall(style)}
    # the theme's files are copied anew whenever a page is written
    for path in sorted((static / "vendor" / "fontawesome").rglob("*.ttf")):
        write_font(path, icons)
        path.unlink()
        path.with_suffix(".woff2").unlink(missing_ok=True)


def names_in(texts):
    """Return all words that may name a class or an element, and the beginnings that scripts end."""
    return {word for text in texts for word in WORD.findall(text)}


def used_style(style, names):
    """Return a style sheet without the rules for classes and elements that no page has.

    Of the names in use, one that ends with ``-`` stands for all that begin with it. A style sheet
    whose braces do not match is returned as it is.
    """
    beginnings = tuple(name for name in names if name.endswith("-") and len(name) > 2)

    def is_used(selector):
        found = NAME.findall(OPTIONAL.sub("", selector))
        return all(
            name in names or name.startswith(beginnings) or not WORD.fullmatch(name)
            for name in found
        )

    def kept(text):
        parts = []
        for head, body in rules(text):
            if body is None:
                parts.append(head)
                continue
            notes = "".join(note for note in ANY_COMMENT.findall(head) if note.startswith("/*!"))
            selectors = ANY_COMMENT.sub("", head).strip()
            if selectors.startswith("@"):
                inner = kept(body) if selectors.startswith(HOLDERS) else body
                parts.append(f"{notes}{selectors}{{{inner}}}" if inner.strip() else notes)
                continue
            used = [selector for selector in split(selectors) if is_used(selector)]
            parts.append(f"{notes}{','.join(used)}{{{body}}}" if used else notes)
        return "".join(parts)

    return kept(COMMENT.sub("", style)) if is_whole(style) else style


def is_whole(style):
    """Return whether each brace of a style sheet has its other one."""
    depth = 0
    for token in TOKEN.finditer(style):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        if depth < 0:
            return False
    return depth == 0


def rules(style):
    """Yield the rules of a style sheet as head and body, and what has no body with None."""
    depth = 0
    start = opened = 0
    for token in TOKEN.finditer(style):
        if token[0] == "{":
            depth += 1
            opened = token.end() if depth == 1 else opened
        elif token[0] == "}":
            depth -= 1
            if depth == 0:
                yield style[start : opened - 1], style[opened : token.start()]
                start = token.end()
        elif token[0] == ";" and depth == 0:
            yield style[start : token.end()], None
            start = token.end()


def split(selectors):
    """Return the selectors of a rule, parted at the commas between them."""
    depth = 0
    cuts = [-1]
    for token in TOKEN.finditer(selectors):
        depth += token[0] in ("(", "[")
        depth -= token[0] in (")", "]")
        if token[0] == "," and depth == 0:
            cuts.append(token.start())
    return [selectors[a + 1 : b].strip() for a, b in pairwise([*cuts, len(selectors)])]


def write_font(path, characters):
    """Write the glyphs of a font that are used beside it, as WOFF, which needs no other package."""
    options = subset.Options(flavor="woff", name_IDs=["*"])
    with subset.load_font(str(path), options) as font:
        cut = subset.Subsetter(options)
        cut.populate(unicodes=characters)
        cut.subset(font)
        subset.save_font(font, str(path.with_suffix(".woff")), options)


def setup(app):
    """Connect all of it."""
    # it tells each table of a font, and Jupyter Book would pass it on
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    # after all who give a page its scripts
    app.connect("html-page-context", leave_out_mathjax, priority=950)
    # after all who write pages and style sheets
    app.connect("build-finished", lighten, priority=950)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
