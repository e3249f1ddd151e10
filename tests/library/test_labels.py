"""Labels in the forms that people have: names and order are kept, and what is missing is named."""

import datetime
import re

import numpy as np
import pytest
import torch

from vaedis.cli import main
from vaedis.data import LabelledImages

pd = pytest.importorskip("pandas")
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 3)).astype(np.uint8)
WORDS = ["low", "high", "mid", "low"]
IN_ORDER = ["low", "mid", "high", "top"]
RECORDS = np.array([(0, 1.5), (1, 0.5), (0, 0.5), (1, 2.5)], [("side", "i4"), ("size", "f4")])
ROWS = [[0, 1], [1, 0], [0, 0], [1, 2]]
UNNAMED = ("factor_0", "factor_1")
NAMED = ("side", "size")
BEYOND_FLOATS = [f"{2**53 + 1}", f"{2**53}"]
DAYS = ["2020-01-02", "2020-01-01", "2020-01-03", "2020-01-01"]


def codes(labels, **options):
    return LabelledImages(IMAGES, labels, **options).codes.ravel().tolist()


def refuses(says, labels=None, **options):
    with pytest.raises(ValueError, match=says):
        LabelledImages(IMAGES, labels, **options)


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (ROWS, UNNAMED),
        ([np.array(row) for row in ROWS], UNNAMED),
        ([torch.tensor(row) for row in ROWS], UNNAMED),
        (torch.tensor(ROWS), UNNAMED),
        (torch.tensor(ROWS, dtype=torch.bfloat16, requires_grad=True), UNNAMED),
        (pd.DataFrame(ROWS), UNNAMED),
        (pd.DataFrame(ROWS, columns=["side", "size"], index=[7, 7, 2, 0]), NAMED),
        (RECORDS, NAMED),
        (RECORDS.view(np.recarray), NAMED),
        ({"side": [0, 1, 0, 1], "size": torch.tensor([1, 0, 0, 2])}, NAMED),
    ],
)
def test_labels_of_every_form_are_read_with_their_names(labels, names):
    data = LabelledImages(IMAGES, labels)
    assert data.factors.names == names
    assert data.codes.tolist() == ROWS
    assert LabelledImages(IMAGES, labels, ["a", "b"]).factors.names == ("a", "b")


def test_a_series_is_one_factor_with_its_name():
    data = LabelledImages(IMAGES, pd.Series([3, 1, 2, 0], name="turn"))
    assert (data.factors.names, data.codes.ravel().tolist()) == (("turn",), [3, 1, 2, 0])
    assert LabelledImages(IMAGES, pd.Series([3, 1, 2, 0])).factors.names == ("factor_0",)
    assert LabelledImages(IMAGES, pd.Series([3, 1, 2, 0], name=2)).factors.names == ("factor_2",)


def test_values_of_nested_lists_keep_their_own_kind():
    rows = [["b", 10, True], ["a", 9, True], ["a", 10, False], ["b", 9, False]]
    data = LabelledImages(IMAGES, rows)
    assert data.codes.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert data.values["factor_1"].tolist() == [9, 10]


def test_an_ordered_categorical_keeps_the_order_of_its_categories():
    column = pd.Categorical(WORDS, categories=IN_ORDER, ordered=True)
    for labels in (column, pd.Series(column), pd.DataFrame({"level": column}), {"level": column}):
        data = LabelledImages(IMAGES, labels, ["level"])
        assert data.codes.ravel().tolist() == [0, 2, 1, 0]
        assert data.values["level"].tolist() == ["low", "mid", "high"]
        assert (data.alphabetical, data.notes) == ((), ())
    assert codes(pd.cut(pd.Series([0.5, 0.1, 0.9, 0.2]), 3)) == [1, 0, 2, 0]


def test_categories_without_an_order_are_values_like_any_other():
    assert codes(pd.Series(["10", "9", "1", "9"]).astype("category")) == [2, 1, 0, 1]
    words = LabelledImages(IMAGES, pd.Series(WORDS, name="level").astype("category"))
    assert words.codes.ravel().tolist() == [1, 0, 2, 1]
    assert words.alphabetical == ("level",)


def test_an_order_that_is_given_is_kept():
    data = LabelledImages(IMAGES, {"level": WORDS, "row": [0, 1, 1, 1]}, order={"level": IN_ORDER})
    assert data.codes.tolist() == [[0, 0], [2, 1], [1, 1], [0, 1]]
    assert (data.alphabetical, data.notes) == ((), ())
    for order in ([2, 3, 1], np.array([2, 3, 1])):
        assert codes([3, 1, 2, 1], order={"factor_0": order}) == [1, 2, 0, 2]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (
            {"level": ["low", "mid"]},
            r"row 1, column 0 \(level\) is 'high'; order must have all values",
        ),
        ({"level": [["low", "mid"], ["high", "top"]]}, "order must list the values of column 0"),
        ({"level": [{}, "low"]}, "order must list the values of column 0"),
        ({"level": [*IN_ORDER, "low"]}, "order names a value of .* twice"),
        ({"size": IN_ORDER}, "Unknown factor in order 'size'; choose one of: level"),
        (IN_ORDER, "order must be a mapping of factors' names"),
    ],
)
def test_an_order_that_does_not_fit_is_one_sentence(order, says):
    refuses(says, {"level": WORDS}, order=order)


def test_words_without_an_order_are_said_to_be_alphabetical():
    labels = {"level": WORDS, "side": ["l", "r", "l", "r"], "turn": ["1", "10", "9", "1"]}
    data = LabelledImages(IMAGES, labels)
    assert data.codes[:, 0].tolist() == [1, 0, 2, 1]
    assert data.alphabetical == ("level",)
    (note,) = data.notes
    assert note.startswith("The values of level are words in the order of the alphabet, so that ra")


def test_images_whose_order_is_known_need_no_labels():
    images = np.arange(12, dtype=np.uint8)[:, None, None]
    data = LabelledImages(images, names=["a", "b", "c"], sizes=(2, 1, 6))
    assert data.factors.names == ("a", "c")
    assert (data.factors.sizes, data.constant, data.grid) == ((2, 6), ("b",), True)
    assert data.to_factors(torch.tensor([7])).tolist() == [[1, 1]]
    assert data.images(torch.tensor([7])).item() == 7


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"sizes": (2, 3)}, "sizes must multiply to the number of images, 4, but 2×3 is 6"),
        ({"sizes": (2.0, 2)}, r"each of sizes must be a whole number of at least 1, not 2\.0"),
        ({"sizes": (2, 2), "labels": [0, 1, 2, 3]}, "Give either labels, or the sizes"),
        ({}, "Give either labels, or the sizes"),
    ],
)
def test_sizes_that_do_not_fit_are_one_sentence(arguments, says):
    refuses(says, **arguments)


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ([None, "x", "y", "x"], 0, "None"),
        (["x", "x", float("nan"), "y"], 2, "nan"),
        (np.array(["x", np.nan, "y", "x"]), 1, "'nan'"),
        ([b"x", b"y", b"", b"x"], 2, "''"),
        ([0, 1, None, 2], 2, "None"),
        ([0, 1, float("nan"), 2], 2, "nan"),
        (np.array([0, 1, np.nan, 2]), 2, "nan"),
        (pd.Series(["x", pd.NA, "y", "x"], dtype="string"), 1, "<NA>"),
        (pd.array([1, 2, None, 2], dtype="Int64"), 2, "nan|<NA>"),
        (pd.Categorical(["x", None, "y", "x"], ["y", "x"]), 1, "nan"),
        (pd.Categorical(["x", None, "y", "x"], ["y", "x"], ordered=True), 1, "nan"),
        (["1", "1", "NAN", "2"], 2, "nan"),
        (["1", "2", "3", "-inf"], 3, "-inf"),
        (pd.Series(pd.to_datetime(["2020-01-03", None, *DAYS[:2]])), 1, "NaT"),
        (np.ma.array([0, 1, 2, 3], mask=[0, 0, 0, 1]), 3, "None"),
        (torch.tensor([0.0, 1.0, 2.0, float("inf")]), 3, "inf"),
        ([1j, 0, 0, 1], 0, "1j"),
        (np.array([1j, 0, 0, 1]), 0, "1j"),
        ([{"x": 1}] * 4, 0, r"\{'x': 1\}"),
    ],
)
def test_a_missing_value_is_named_by_its_row_and_column(column, row, value):
    refuses(rf"row {row}, column 1 \(b\) is ({value});", {"a": [0, 1, 2, 3], "b": column})


def test_missing_values_in_lists_and_frames_are_named():
    frame = pd.DataFrame({"factor_0": ["x", None, "y", "y"]})
    for labels in ([["x", 1], [None, 2], ["y", 3], ["y", 4]], frame):
        refuses(r"none missing or infinite, but row 1, column 0 \(factor_0\) is (None|nan)", labels)


@pytest.mark.parametrize(
    "column",
    [
        [datetime.date(2020, 1, day) for day in (2, 1, 3, 1)],
        np.array(DAYS, "M8[D]"),
        pd.Series(pd.to_datetime(DAYS)),
        pd.Series(pd.to_datetime(DAYS, utc=True)),
        pd.Series(pd.to_timedelta([2, 1, 3, 1], unit="h")),
        np.array([2**63 + 1, 0, 2**63 + 2, 0], np.uint64),
        [2**70, 0, 10**400, 0],
        [0.5, -0.0, 1, 0.0],
        [2**53, 0.5, 2**53 + 1, 0.5],
        np.array([b"10", b"9", b"11", b"9"]),
        ["10", "9", "1.1e1", "9"],
        np.array(["10", "9", "11", "9"], np.dtypes.StringDType()),
        np.array(["10", "9", "x", "9"], object),
        ["b", "a", "\udcff", "a"],
    ],
)
def test_values_of_every_kind_have_their_order(column):
    is_words = isinstance(column, np.ndarray) and column.tolist()[2] == "x"
    assert codes(column) == ([0, 1, 2, 1] if is_words else [1, 0, 2, 0])


def test_text_of_bytes_is_that_text():
    order = {"level": IN_ORDER}
    data = LabelledImages(IMAGES, np.array(WORDS, "S"), np.array(["level"], "S"), order=order)
    assert data.factors.names == ("level",)
    assert data.codes.ravel().tolist() == codes(WORDS, order={"factor_0": IN_ORDER})


@pytest.mark.parametrize("kind", [list, np.array, lambda column: np.array(column, object)])
@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (["2", "1.0", "1", "2.0"], ["1", "2"], [1, 0, 0, 1]),
        (["0.50", "0.5", "10", "5e-1"], ["0.5", "10"], [0, 0, 1, 0]),
        (["01", "1", "001", "-1"], ["-1", "1"], [1, 1, 1, 0]),
        (["0", "-0.0", "+0", "1e1"], ["0", "1e1"], [0, 0, 0, 1]),
        ([*BEYOND_FLOATS, "10", "9"], ["9", "10", *BEYOND_FLOATS[::-1]], [3, 2, 1, 0]),
        (["1a", "1.0", "1", "2"], ["1", "1.0", "1a", "2"], [2, 1, 0, 3]),
    ],
)
def test_text_that_stands_for_equal_numbers_is_one_value(kind, column, values, expected):
    data = LabelledImages(IMAGES, kind(column))
    assert data.values["factor_0"].tolist() == values
    assert data.codes.ravel().tolist() == expected


@pytest.mark.parametrize(
    "word", ["NA", "N/A", "n/a", " na ", "null", "NULL", "none", "", " ", "-", "?", ".", "#N/A"]
)
def test_a_word_for_a_missing_value_is_no_value_among_numbers(word):
    says = rf"missing or infinite, but row 2, column 0 \(b\) is '{re.escape(word)}';"
    for column in (["1", "10", word, "2"], np.array([b"1", b"10", word.encode(), b"1"])):
        refuses(says, {"b": column})
    if word not in ("", " "):
        words = ["low", "10", word, "2"]
        assert LabelledImages(IMAGES, words).values["factor_0"].tolist() == sorted(words)
        order = {"factor_0": [word, "1", "2", "10"]}
        assert codes(["1", "10", word, "2"], order=order) == [1, 3, 0, 2]


def test_names_with_underscores_are_no_numbers():
    assert LabelledImages(IMAGES, ["1_2", "12", "2_1", "1_0"]).alphabetical == ("factor_0",)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.zeros((3, 4)), "one row of labels for each of the 4 images, not 3"),
        (pd.DataFrame(np.zeros((5, 2))), "one row of labels for each of the 4 images, not 5"),
        ({"a": [0, 1, 2, 3], "b": [0, 1]}, "one row of labels for each of the 4 images, not 2"),
        ({"pair": np.zeros((4, 2))}, r"of the 4 images, not an array of shape \(4, 2\)"),
        ([torch.zeros(2), torch.zeros(1)] * 2, "labels must have as many values in each row"),
        ([[0, 1], [0], [1, 2], [2, 3]], "labels must have as many values in each row"),
        ({}, "labels hold no factor"),
        (
            [datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), 0, 1],
            r"all of one kind, but column 0 \(factor_0\) holds date, datetime, int",
        ),
        (pd.DataFrame(ROWS, columns=["a", "a"]), "factor names must differ"),
    ],
)
def test_labels_that_do_not_fit_are_one_sentence(labels, says):
    refuses(says, labels)


def test_groups_of_many_factors_are_those_of_a_plain_comparison():
    """Combinations of 40 factors of 16 values do not fit one number of 64 bits."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 16, (60, 40))
    labels[30:] = labels[:30]
    labels[30:, 7] = rng.integers(0, 16, 30)
    images = np.zeros((60, 3, 3), np.uint8)
    groups = LabelledImages(images, labels, [f"a{k}" for k in range(40)]).groups("a7")
    others = np.delete(labels, 7, 1)
    partners = [(others == row).all(1) for row in others]
    expected = {row for row, alike in enumerate(partners) if len(np.unique(labels[alike, 7])) > 1}
    assert set(groups.index.tolist()) == expected
    for index, group in zip(groups.index.tolist(), groups.group.tolist(), strict=True):
        members = set(groups.index[groups.group == group].tolist())
        assert members == set(np.flatnonzero(partners[index]).tolist())


THIRD = float(np.float32(1 / 3))
NEXT = np.nextafter(np.float32(0.3), np.float32(1))


@pytest.mark.parametrize(
    ("column", "pair"),
    [
        ([0.1 + 0.2, 0.3, 0.5], "0.3 and 0.30000000000000004 differ by rounding alone, and count"),
        (["0.30000000000000004", "0.3", "1"], "0.3 and 0.30000000000000004 differ by rounding"),
        ([1 / 3, THIRD, 1], "0.3333333333333333 and 0.3333333432674408 differ by rounding alone"),
        (np.float32([0.3, NEXT, 0.5]).repeat(2), "0.30000001192092896 and 0.30000004172325134"),
        ([1.0, 1.0 + 2**-52, 2, 2 + 2**-51], "alone (2 such pairs), and count as two values"),
    ],
)
def test_values_that_differ_by_rounding_are_pointed_out(column, pair):
    images = np.zeros((len(column), 2, 2), np.uint8)
    labels = {"side": np.arange(len(column)), "size": column}
    with pytest.warns(UserWarning, match=r"In column 1 \(size\), .* differ by rounding") as caught:
        data = LabelledImages(images, labels)
    assert len(caught) == 1
    (note,) = data.notes
    assert note == str(caught[0].message)
    assert pair in note
    assert note.endswith("round the labels if they are one.")


@pytest.mark.parametrize(
    "column",
    [
        np.random.default_rng(0).random(50_000),
        np.random.default_rng(0).random(50_000).astype(np.float32),
        [10**17, 10**17 + 1, 1],
        [1e300, 1e-300, 0.0, -1e300],
        [1000.0001, 1000.0002, 1000.0003],
        np.arange(0, 1, 0.1).repeat(2),
        np.float16([0.1, 0.2, 0.3]),
        [datetime.date(2020, 1, 1), datetime.date(2020, 1, 2)],
    ],
)
def test_values_that_lie_close_to_each_other_are_no_rounding(column):
    assert not LabelledImages(np.zeros((len(column), 2, 2), np.uint8), column).notes


def test_the_command_has_the_note_on_rounding_in_its_report_alone(tmp_path, capsys):
    images = np.arange(3, dtype=np.uint8)[:, None, None] * np.full((4, 4), 20, np.uint8)
    np.savez(tmp_path / "d.npz", images=images, labels=[0.1 + 0.2, 0.3, 0.5])
    assert main(["diagnose", str(tmp_path / "d.npz")]) == 0
    shown = capsys.readouterr()
    assert "0.3 and 0.30000000000000004 differ by rounding alone" in shown.out
    assert "rounding" not in shown.err
