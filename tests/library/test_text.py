import pytest

from vaedis._support.text import call_of, distinct, names_of_own, plain, shown_names, size_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, in French: été", "plain, in French: été"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("a\ud800b", "a\\ud800b"),
        ("a\u2028b\x00\r", "a\\u2028b\\x00\\r"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, shown):
    assert plain(text) == shown


def test_long_text_is_cut():
    assert plain("a" * 1_000_000, longest=10) == "a" * 9 + "…"
    assert plain("a" * 10, longest=10) == "a" * 10


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [
        (999, "999 bytes"),
        (1_000, "1.00 kB"),
        (9_996, "10.0 kB"),
        (99_960, "100 kB"),
        (999_499, "999 kB"),
        (999_999, "1.00 MB"),
        (1_234_000_000_000, "1234 GB"),
    ],
)
def test_sizes_have_three_digits(n_bytes, text):
    assert size_text(n_bytes) == text


def test_names_that_look_alike_are_numbered():
    assert distinct(["<lambda>", "mse", "<lambda>"]) == ["<lambda>", "mse", "<lambda> (2)"]
    shown = shown_names(["short", "long" * 30, "long" * 31])
    assert [name[-6:] for name in shown.values()] == ["short", "nglon…", "n… (2)"]


def test_what_is_ones_own_is_named_without_its_fingerprint():
    assert names_of_own({"model": "Net d375d38c8db5e025"}) == {"model": "Net"}


def test_calls_have_their_options():
    options = {"grid_spacing": 4, "grid_size": None}
    call = "vd.load('xysquares', grid_spacing=4, grid_size=None)"
    assert call_of("load", "xysquares", options) == call
