"""Figures and tables for light and dark pages, and what links show."""

import base64
import importlib
import io
import re
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from vaedis_companion.figures.data import GROUND, TEXT, dark_png

EXTENSIONS = Path(__file__).parents[2] / "book" / "_ext"


def extension(monkeypatch, name):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    yield importlib.import_module(name)
    sys.modules.pop(name)


@pytest.fixture
def screens(monkeypatch):
    yield from extension(monkeypatch, "companion_screens")


@pytest.fixture
def companion(monkeypatch):
    yield from extension(monkeypatch, "companion")


def picture(figure):
    """Return the dark picture's pixels, floats of shape (H, W, 3)."""
    return plt.imread(io.BytesIO(base64.b64decode(dark_png(figure))))[..., :3]


def near(pixels, colour):
    return np.abs(pixels - to_rgb(colour)).max(-1) < 0.02


def test_a_dark_figure_has_the_ground_and_the_text_of_dark_pages():
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.plot([0, 1], [0, 1], color="black", linewidth=8)
    pixels = picture(figure)
    assert near(pixels[0, 0], GROUND)
    assert near(pixels, TEXT).sum() > 500
    assert not near(pixels, "white").any()
    assert not near(pixels, "black").any()
    plt.close(figure)


def test_dark_colours_become_lighter_and_keep_their_hue_and_alpha():
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.set_axis_off()
    ax.bar([0], [1], color="#004400", width=1)
    ax.bar([0], [1], color="red", alpha=0, width=3)
    height, width = picture(figure).shape[:2]
    red, green, blue = picture(figure)[height // 2, width // 2]
    assert green > 0.9
    assert red == pytest.approx(blue)
    assert red < green
    plt.close(figure)


def test_images_and_what_is_drawn_upon_them_keep_their_colours():
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.imshow(np.ones((2, 2, 3)))
    ax.plot([0, 1], [0.5, 0.5], color="black", linewidth=8)
    pixels = picture(figure)
    assert near(pixels, "white").sum() > 1000
    assert near(pixels, "black").sum() > 100
    plt.close(figure)


def test_a_figure_is_the_same_after_it_was_drawn_dark():
    figure, ax = plt.subplots(figsize=(2, 2))
    ax.scatter([0, 1], [0, 1], c=["black", "#123456"], label="points")
    ax.plot([0, 1], [0, 1], "o--", color="0.3", markerfacecolor="none")
    ax.legend()
    figure.canvas.draw()
    before = np.asarray(figure.canvas.buffer_rgba()).copy()
    dark_png(figure)
    figure.canvas.draw()
    assert np.array_equal(np.asarray(figure.canvas.buffer_rgba()), before)
    plt.close(figure)


def test_a_table_of_pandas_has_one_line_of_heads_and_none_that_is_empty(screens):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1]}, index=pandas.Index([2], name="steps"))
    table = screens.plain_head(frame.to_html())
    assert table.count("<tr") == 2
    assert "<th>steps</th><th>a</th>" in "".join(line.strip() for line in table.splitlines())
    frame.index.name = None
    table = screens.plain_head(frame.to_html())
    assert "<th></th>" not in table
    assert "<td></td>" in table
    frame = pandas.DataFrame([[1, 2]], columns=pandas.MultiIndex.from_tuples([("x", 1), ("x", 2)]))
    table = screens.plain_head(frame.to_html())
    assert table.count("<tr") == 3
    assert "<th></th>" not in table


def test_long_names_in_a_text_may_break_between_their_words(screens):
    code = '<code class="literal"><span class="pre">vd.rank_losses(data,</span></code>'
    page = screens.CODE.sub(lambda match: screens.breakable(match[0]), code)
    assert page.count("<wbr>") == 3
    assert page.replace("<wbr>", "") == code
    short = '<code class="literal"><span class="pre">a_b</span></code>'
    assert screens.CODE.sub(lambda match: screens.breakable(match[0]), short) == short


def test_printed_tables_are_marked_and_sentences_are_not(screens):
    text = "A sentence.\n  name   x\n  mig  0.5\nThe end.\nalone  1\n"
    marked = screens.columns_kept(text)
    assert marked.count('<span class="columns">') == 1
    assert '<span class="columns">  name   x\n  mig  0.5\n</span>The end.' in marked
    assert marked.replace('<span class="columns">', "").replace("</span>", "") == text


def test_words_of_a_tip_keep_formulas_and_end_with_a_sentence(screens):
    from docutils import nodes

    short = nodes.paragraph("", "", nodes.Text("of "), nodes.math("", "x_1"), nodes.Text(" only"))
    assert screens.words(short) == r"of \(x_1\) only"
    long = nodes.paragraph("", "First words. " * 60)
    text = screens.words(long)
    assert text.endswith("words.")
    assert screens.LONGEST_TIP / 2 < len(text) < screens.LONGEST_TIP


def test_the_page_for_what_is_absent_names_no_place_of_its_own(screens, tmp_path):
    from types import SimpleNamespace

    config = SimpleNamespace(notfound_pagename="404", notfound_urls_prefix="/book/")
    app = SimpleNamespace(outdir=tmp_path, config=config, builder=SimpleNamespace(format="html"))
    page = tmp_path / "404.html"
    page.write_text('<html><head><link href="/book/a.css"></head><a href="#here">')
    screens.open_the_absent_page_from_disk(app, None)
    text = page.read_text()
    assert '<link href="a.css">' in text
    assert '<base href="/book/"><script>' in text
    assert text.index("<base") < text.index("a.css")
    assert 'if (location.protocol === "file:")' in text


def test_colours_of_three_numbers_are_drawn_and_put_back():
    figure, ax = plt.subplots()
    (line,) = ax.plot([1, 2], "o", color=(0.1, 0.2, 0.3), markerfacecolor=(0.1, 0.2, 0.3))
    assert dark_png(figure)
    assert line.get_color() == line.get_markerfacecolor() == (0.1, 0.2, 0.3)
    plt.close(figure)


def drawn(width, *sizes):
    """Return a picture with text of some sizes, in points, as a PNG and an SVG."""
    from vaedis_companion.book.display import numbers

    figure = plt.figure(figsize=(width, 1), dpi=110)
    for size in sizes:
        figure.text(0.5, 0.5, "text", fontsize=size)
    png = io.BytesIO()
    figure.savefig(png)
    plt.close(figure)
    return png.getvalue(), numbers(figure)


def test_a_figure_is_as_wide_as_its_smallest_letters_need(screens):
    png, receipt = drawn(4, 12, 6)
    points = float(re.search(r'width="([\d.]+)pt"', receipt["svg"])[1])
    assert screens.readable_width(png, receipt) == round(points * 9 / 6)
    # without its vector picture: as if its letters had 7 points
    assert screens.readable_width(png, {"svg": None}) == round(4 * 72 * 9 / 7)
    assert screens.readable_width(*drawn(4)) == 0


def test_only_a_figure_wider_than_a_phone_scrolls(screens, tmp_path):
    from types import SimpleNamespace

    app = SimpleNamespace(doctreedir=tmp_path / ".doctrees")
    path = tmp_path / "a.png"
    path.write_bytes(drawn(1)[0])
    image = '<img src="_images/a.png">'
    wide = screens.linked(image, path, "figure-light", app, 700)
    assert 'class="figure-large figure-light figure-wide"' in wide
    assert "--readable: 700px" in wide
    assert 'width="110" height="110"' in wide
    narrow = screens.linked(image, path, "figure-light", app, 300)
    assert "figure-wide" not in narrow
    assert "--readable" not in narrow


def test_cells_of_wide_tables_of_words_say_what_they_hold(screens):
    def table(n, words="words of cell "):
        heads = "".join(f"<th><p>head {k}</p></th>" for k in range(n))
        cells = "".join(f"<td><p>{words}{k}</p></td>" for k in range(n))
        rows = f"<thead><tr>{heads}</tr></thead><tbody><tr>{cells}<td></td></tr></tbody>"
        return f'<table class="table">{rows}</table>'

    assert screens.cards(table(3)) == table(3)
    assert screens.cards(table(4, "not ")) == table(4, "not ")
    page = screens.cards(table(5))
    assert 'class="table cards"' in page
    assert '<td data-head="head 3"><p>words of cell 3</p></td><td data-head="head 4">' in page
    assert "<td></td>" in page


def test_bars_of_docstrings_are_kept_and_literals_stay_as_they_are(companion):
    lines = ["Of |i - j| and ``|a|``, ``|b", "c|``.", "    >>> a | b", "|end|"]
    companion.keep_bars(None, None, None, None, None, lines)
    assert lines == [r"Of \|i - j\| and ``|a|``, ``|b", "c|``.", "    >>> a | b", r"\|end\|"]


def test_fields_of_named_tuples_without_words_are_left_out(companion):
    from collections import namedtuple

    pair = namedtuple("pair", "first second")
    assert companion.leave_out_fields(None, "class", "first", pair.first, False, None) is True
    assert companion.leave_out_fields(None, "class", "count", pair.count, False, None) is None
