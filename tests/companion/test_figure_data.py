import csv
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vaedis_companion.figures.data import COLUMNS, figure_data


@pytest.fixture
def axes():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def rows(axes, kind):
    table = list(csv.DictReader(io.StringIO(figure_data(axes.figure))))
    assert all(tuple(row) == COLUMNS for row in table)
    return [row for row in table if row["kind"] == kind]


def test_lines_and_points_come_with_their_label(axes):
    axes.set_title("a, b")
    axes.plot([0, 1], [2.0, 1 / 3], label="MIG")
    axes.scatter([5], [6])
    first, second = rows(axes, "line")
    assert (first["title"], first["series"], first["x"], first["y"]) == ("a, b", "MIG", "0", "2")
    assert second["y"] == "0.333333333"
    (point,) = rows(axes, "points")
    assert (point["x"], point["y"]) == ("5", "6")


def test_every_pixel_of_an_image_is_there(axes):
    axes.imshow(np.array([[0.0, 0.5], [np.nan, 1.0]]))
    pixels = {(row["x"], row["y"]): row["value"] for row in rows(axes, "image")}
    assert pixels == {("0", "0"): "0", ("1", "0"): "0.5", ("0", "1"): "nan", ("1", "1"): "1"}
    axes.clear()
    axes.imshow(np.array([[[1, 2, 3]]], np.uint8))
    assert [row["value"] for row in rows(axes, "image")] == ["1 2 3"]


def test_bars_are_shapes_in_data_coordinates(axes):
    axes.bar(["a"], [3.0])
    assert {row["y"] for row in rows(axes, "shape")} == {"0", "3"}


def test_bands_are_shapes_in_data_coordinates(axes):
    axes.fill_between([0, 1], [2, 3], [4, 5], label="range")
    corners = {(float(row["x"]), float(row["y"])) for row in rows(axes, "shape")}
    assert corners == {(0, 2), (0, 4), (1, 3), (1, 5)}
    assert {row["series"] for row in rows(axes, "shape")} == {"range"}


def test_texts_are_there(axes):
    axes.text(0.25, 0.75, "rank, .9")
    assert [(r["x"], r["y"], r["value"]) for r in rows(axes, "text")] == [
        ("0.25", "0.75", "rank, .9")
    ]


def test_another_number_is_other_data(axes):
    (line,) = axes.plot([0, 1], [0, 1])
    before = figure_data(axes.figure)
    line.set_ydata([0, 1 + 1e-6])
    assert figure_data(axes.figure) != before


@pytest.mark.parametrize(
    ("values", "text"),
    [(["mse", "ssim"], "mse"), (np.array(["2026-01-01"], "datetime64[D]"), "2026-01-01")],
)
def test_names_and_dates_along_an_axis_are_written_as_they_are(axes, values, text):
    axes.plot(values, np.arange(len(values)))
    assert (rows(axes, "line")[0]["x"], rows(axes, "line")[0]["y"]) == (text, "0")
