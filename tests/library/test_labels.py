"""Labels in the forms that people have: names and order are kept, and what is missing is named."""

import datetime

import numpy as np
import pytest
import torch

from vaedis.data import LabelledImages

pd = pytest.importorskip("pandas")
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 3)).astype(np.uint8)
WORDS = ["low", "high", "mid", "low"]
IN_ORDER = ["low", "mid", "high", "top"]
RECORDS = np.array([(0, 1.5), (1, 0.5), (0, 0.5), (1, 2.5)], [("side", "i4"), ("size", "f4")])
ROWS = [[0, 1], [1, 0], [0, 0], [1, 2]]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (ROWS, ("factor_0", "factor_1")),
        ([np.array(row) for row in ROWS], ("factor_0", "factor_1")),
        ([torch.tensor(row) for row in ROWS], ("factor_0", "factor_1")),
        (torch.tensor(ROWS), ("factor_0", "factor_1")),
        (torch.tensor(ROWS, dtype=torch.bfloat16, requires_grad=True), ("factor_0", "factor_1")),
        (pd.DataFrame(ROWS), ("factor_0", "factor_1")),
        (pd.DataFrame(ROWS, columns=["side", "size"], index=[7, 7, 2, 0]), ("side", "size")),
        (RECORDS, ("side", "size")),
        (RECORDS.view(np.recarray), ("side", "size")),
        ({"side": [0, 1, 0, 1], "size": torch.tensor([1, 0, 0, 2])}, ("side", "size")),
        ({"pair": np.array(ROWS)}, ("pair_0", "pair_1")),
    ],
)
def test_labels_of_every_form_are_read_with_their_names(labels, names):
    data = LabelledImages(IMAGES, labels)
    assert data.factors.names == names
    assert data.codes.tolist() == ROWS
    assert LabelledImages(IMAGES, labels, ["a", b"b"]).factors.names == ("a", "b")


def test_a_series_is_one_factor_with_its_name():
    data = LabelledImages(IMAGES, pd.Series([3, 1, 2, 0], name="turn"))
    assert data.factors.names == ("turn",)
    assert data.codes.ravel().tolist() == [3, 1, 2, 0]
    assert LabelledImages(IMAGES, pd.Series([3, 1, 2, 0])).factors.names == ("factor_0",)


def test_values_of_nested_lists_keep_their_own_kind():
    data = LabelledImages(
        IMAGES, [["b", 10, True], ["a", 9, True], ["a", 10, False], ["b", 9, False]]
    )
    assert data.codes.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert data.values["factor_1"].tolist() == [9, 10]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_categorical_keeps_the_order_of_its_categories(ordered):
    column = pd.Categorical(WORDS, categories=IN_ORDER, ordered=ordered)
    for labels in (column, pd.Series(column), pd.DataFrame({"level": column}), {"level": column}):
        data = LabelledImages(IMAGES, labels, ["level"])
        assert data.codes.ravel().tolist() == [0, 2, 1, 0]
        assert data.values["level"].tolist() == ["low", "mid", "high"]
        assert data.alphabetical == ()
        assert data.notes == ()


def test_categories_that_pandas_sorted_are_values_like_any_other():
    numbers = pd.Series(["10", "9", "1", "9"]).astype("category")
    assert LabelledImages(IMAGES, numbers).codes.ravel().tolist() == [2, 1, 0, 1]
    words = LabelledImages(IMAGES, pd.Series(WORDS, name="level").astype("category"))
    assert words.codes.ravel().tolist() == [1, 0, 2, 1]
    assert words.alphabetical == ("level",)


def test_intervals_of_numbers_are_in_their_order():
    assert LabelledImages(
        IMAGES, pd.cut(pd.Series([0.5, 0.1, 0.9, 0.2]), 3)
    ).codes.ravel().tolist() == [1, 0, 2, 0]


def test_an_order_that_is_given_is_kept():
    data = LabelledImages(IMAGES, {"level": WORDS, "row": [0, 1, 1, 1]}, order={"level": IN_ORDER})
    assert data.codes.tolist() == [[0, 0], [2, 1], [1, 1], [0, 1]]
    assert (data.alphabetical, data.notes) == ((), ())
    assert LabelledImages(
        IMAGES, [3, 1, 2, 1], order={"factor_0": [2, 3, 1]}
    ).codes.ravel().tolist() == [1, 2, 0, 2]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"level": ["low", "mid"]}, r"order lacks the value 'high' of column 0 \(level\)"),
        ({"level": [*IN_ORDER, "low"]}, "order names a value of .* twice"),
        ({"size": IN_ORDER}, "Unknown factor in order 'size'; choose one of: level"),
        (IN_ORDER, r"order must name factors, as \{'level': \[...\]\}, not be list"),
    ],
)
def test_an_order_that_does_not_fit_is_one_sentence(order, says):
    with pytest.raises(ValueError, match=says):
        LabelledImages(IMAGES, {"level": WORDS}, order=order)


def test_words_without_an_order_are_said_to_be_alphabetical():
    data = LabelledImages(
        IMAGES, {"level": WORDS, "side": ["l", "r", "l", "r"], "turn": ["1", "10", "9", "1"]}
    )
    assert data.codes[:, 0].tolist() == [1, 0, 2, 1]
    assert data.alphabetical == ("level",)
    (note,) = data.notes
    assert note.startswith(
        "The values of level are words in the order of the alphabet, so that ranks mean nothing"
    )


def test_values_that_differ_by_rounding_are_said():
    data = LabelledImages(
        IMAGES, {"size": [0.1 + 0.2, 0.3, 0.1, 0.1], "turn": [0.1, 0.2, 0.3, 0.3]}
    )
    assert data.notes == (
        "Some values of size differ by rounding only, and count as different; round the labels first.",
    )


def test_images_whose_order_is_known_need_no_labels():
    data = LabelledImages(
        np.arange(12, dtype=np.uint8)[:, None, None], names=["a", "b", "c"], sizes=(2, 1, 6)
    )
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
    with pytest.raises(ValueError, match=says):
        LabelledImages(IMAGES, **arguments)


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ([None, "x", "y", "x"], 0, "None"),
        (["x", "x", float("nan"), "y"], 2, "nan"),
        (np.array(["x", np.nan, "y", "x"]), 1, "'nan'"),
        (np.array(["1", "2", "nan", "3"]), 2, "'nan'"),
        ([b"x", b"y", b"", b"x"], 2, "''"),
        ([0, 1, None, 2], 2, "None"),
        ([0, 1, float("nan"), 2], 2, "nan"),
        (pd.Series(["x", pd.NA, "y", "x"], dtype="string"), 1, "<NA>"),
        (pd.array([1, 2, None, 2], dtype="Int64"), 2, "nan|<NA>"),
        (pd.Categorical(["x", None, "y", "x"], ["y", "x"]), 1, "nan"),
        (pd.Series(pd.to_datetime(["2020-01-03", None, "2020-01-02", "2020-01-01"])), 1, "NaT"),
        (np.ma.array([0, 1, 2, 3], mask=[0, 0, 0, 1]), 3, "None"),
        (torch.tensor([0.0, 1.0, 2.0, float("inf")]), 3, "inf"),
    ],
)
def test_a_missing_value_is_named_by_its_row_and_column(column, row, value):
    with pytest.raises(ValueError, match=rf"row {row}, column 1 \(b\) is ({value});"):
        LabelledImages(IMAGES, {"a": [0, 1, 2, 3], "b": column})


def test_missing_values_in_lists_and_frames_are_named():
    for labels in (
        [["x", 1], [None, 2], ["y", 3], ["y", 4]],
        pd.DataFrame({"factor_0": ["x", None, "y", "y"]}),
    ):
        with pytest.raises(
            ValueError,
            match=r"labels must not be missing, but row 1, column 0 \(factor_0\) is (None|nan)",
        ):
            LabelledImages(IMAGES, labels)


@pytest.mark.parametrize(
    "column",
    [
        [datetime.date(2020, 1, day) for day in (2, 1, 3, 1)],
        np.array(["2020-01-02", "2020-01-01", "2020-01-03", "2020-01-01"], "M8[D]"),
        pd.Series(pd.to_datetime(["2020-01-02", "2020-01-01", "2020-01-03", "2020-01-01"])),
        pd.Series(
            pd.to_datetime(["2020-01-02", "2020-01-01", "2020-01-03", "2020-01-01"], utc=True)
        ),
        pd.Series(pd.to_timedelta([2, 1, 3, 1], unit="h")),
        np.array([2**63 + 1, 0, 2**63 + 2, 0], np.uint64),
        [0.5, -0.0, 1, 0.0],
        [2**53 - 1, 0.5, 2**53, 0.5],
        np.array([b"10", b"9", b"11", b"9"]),
    ],
)
def test_dates_durations_and_large_numbers_have_their_order(column):
    assert LabelledImages(IMAGES, column).codes.ravel().tolist() == [1, 0, 2, 0]


def test_names_with_underscores_are_no_numbers():
    assert LabelledImages(IMAGES, ["1_2", "12", "2_1", "1_0"]).alphabetical == ("factor_0",)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (np.zeros((3, 4)), r"labels have the shape \(3, 4\) for 4 images; give labels\.T"),
        (np.zeros((3, 4)).tolist(), r"give list\(zip\(\*labels\)\)"),
        (pd.DataFrame(np.zeros((3, 4))), r"give labels\.T"),
        (pd.DataFrame(np.zeros((5, 2))), "one row of labels for each of the 4 images, not 5"),
        (
            [torch.zeros(2), torch.zeros(1), torch.zeros(2), torch.zeros(2)],
            "labels must have as many values in each row",
        ),
        ([[[0], [1, 2]], [0], [1, 2], [2, 3]], "labels must have as many values in each row"),
        ([[0, 1], [0], [1, 2], [2, 3]], "labels must have as many values in each row"),
        (
            {"a": [0, 1, 2, 3], "b": [0, 1]},
            r"column 1 \(b\) of the labels must have one value for each of the 4 images, not",
        ),
        ({}, "labels hold no column"),
        ([1j, 0, 0, 1], r"row 0, column 0 \(factor_0\) is 1j"),
        (np.array([1j, 0, 0, 1]), "holds complex128"),
        ([{"x": 1}] * 4, r"is \{'x': 1\}"),
        (
            [b"a", b"\xff", b"c", b"a"],
            r"row 1, column 0 \(factor_0\) holds bytes that are no UTF-8 text",
        ),
        (
            [2**53 + 1, 2**53, 0.5, 1],
            "labels must fit a float of 64 bits, but row 0, column 0 .* is 9007199254740993",
        ),
        ([10**400, 0.5, 1, 2], "labels must fit 64 bits"),
        (
            [datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1), 0, 1],
            r"all of one kind, but column 0 \(factor_0\) holds date, datetime, int",
        ),
        (
            pd.DataFrame([[0, 1], [1, 0], [1, 1], [0, 0]], columns=["a", "a"]),
            "factor names must differ",
        ),
    ],
)
def test_labels_that_do_not_fit_are_one_sentence(labels, says):
    with pytest.raises(ValueError, match=says):
        LabelledImages(IMAGES, labels)


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        (
            np.array(["2021", "2020", "2022", "2021"], "M8[Y]"),
            np.array(["2022-01-01", "2021-01-01", "2020-01-01"], "M8[D]"),
        ),
        (np.array([2, 1, 3, 2], "m8[h]"), np.array([3 * 60, 2 * 60, 60], "m8[m]")),
        ([2, 1, 3, 2], torch.tensor([3, 2, 1])),
        (["b", "a", "c", "b"], np.array([b"c", b"b", b"a"])),
    ],
)
def test_an_order_may_be_an_array_of_any_kind(labels, order):
    assert LabelledImages(
        IMAGES, labels, ["when"], order={"when": order}
    ).codes.ravel().tolist() == [1, 2, 0, 1]


def test_an_order_of_lists_is_one_sentence():
    with pytest.raises(
        ValueError, match=r"order must list the values of column 0 \(when\), not lists of them"
    ):
        LabelledImages(IMAGES, [1, 2, 3, 1], ["when"], order={"when": [[1], 2, 3]})


def test_groups_of_many_factors_are_those_of_a_plain_comparison():
    """Combinations of 40 factors of 16 values do not fit one number of 64 bits."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 16, (60, 40))
    labels[30:] = labels[:30]
    labels[30:, 7] = rng.integers(0, 16, 30)
    images = np.zeros((60, 3, 3), np.uint8)
    names = [f"a{k}" for k in range(40)]
    groups = LabelledImages(images, labels, names).groups("a7")
    others = np.delete(labels, 7, 1)
    partners = [(others == row).all(1) for row in others]
    expected = {
        int(row) for row, alike in enumerate(partners) if len(np.unique(labels[alike, 7])) > 1
    }
    assert set(groups.index.tolist()) == expected
    for index, group in zip(groups.index.tolist(), groups.group.tolist(), strict=True):
        assert set(groups.index[groups.group == group].tolist()) == set(
            np.flatnonzero(partners[index]).tolist()
        )


@pytest.mark.parametrize("names", [["", "b"], ["a", " "]])
def test_an_empty_name_is_one_sentence(names):
    with pytest.raises(ValueError, match=r"Each factor needs a name, but one is empty among: "):
        LabelledImages(IMAGES, ROWS, names)
