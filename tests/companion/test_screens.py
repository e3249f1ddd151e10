"""Figures and tables for light and dark pages, and what links show."""

import base64
import importlib
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb

from vaedis_companion.figures.data import GROUND, TEXT, dark_png

EXTENSIONS = Path(__file__).parents[2] / "book" / "_ext"


@pytest.fixture
def screens(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(EXTENSIONS))
    yield importlib.import_module("companion_screens")
    sys.modules.pop("companion_screens")


def picture(figure):
    """Return the dark picture's pixels, floats of shape (H, W, 3)."""
    import io

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
