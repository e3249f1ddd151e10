"""The order of learning must follow from the curves: each is made up here so that its answer is known."""

import numpy as np
import pytest

from vaedis.learning import Learning

STEPS = np.array([10, 20, 40])
CURVES = {"fast": [2.0, 5.0, 6.0], "slow": [0.0, 0.5, 1.5], "never": [0.0, 0.1, 0.2]}


def made(curves=CURVES, measure="separation"):
    return Learning.of({"learnt_steps": STEPS, **{f"{measure}/{n}": np.array(v) for n, v in curves.items()}, "loss": np.ones(2)})


def test_onsets_are_interpolated_between_looks_and_infinite_for_what_is_never_learnt():
    assert made().onsets("separation") == {"fast": 5.0, "slow": 30.0, "never": np.inf}
    assert made().onsets("separation", 0.5) == pytest.approx({"fast": 2.5, "slow": 20.0, "never": np.inf})
    assert made({"lost": [3.0, 0.0, 0.0]}).onsets("separation")["lost"] == pytest.approx(10 / 3)
    # half of the distance, unless another share is asked for
    assert made({"a": [0.4, 0.6, 0.9]}, "reconstructed").onsets() == pytest.approx({"a": 15.0})


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        ({"fast": 3, "slow": 2, "never": 1}, 1.0),
        ({"fast": 1, "slow": 2, "never": 3}, -1.0),
        ({"fast": 2, "slow": 3, "never": 1}, 0.5),
        ({"fast": 1, "slow": 1, "never": 1}, None),
    ],
)
def test_order_is_the_rank_correlation_of_importance_with_earliness(importance, expected):
    assert made().order(importance, "separation") == (None if expected is None else pytest.approx(expected))


def test_factors_never_learnt_tie_for_the_last_place_whatever_the_steps():
    curves = {"a": [0.0, 0.0, 1.0], "b": [0.0, 0.0, 0.0], "c": [0.0, 0.9, 0.9]}
    # ranks 3, 2, 1 against 3, 1.5, 1.5
    assert made(curves).order({"a": 3, "b": 2, "c": 1}, "separation") == pytest.approx(np.sqrt(3) / 2)
    nothing = {"a": [0.0, 0.0, 0.0], "b": [0.0, 0.0, 0.0]}
    assert made(nothing).order({"a": 2, "b": 1}, "separation") is None


def test_the_order_at_each_look_needs_no_threshold():
    curves = made({"a": [0.0, 9.0, 1.0], "b": [0.0, 0.0, 2.0]})
    assert curves.order_at({"a": 1, "b": 2}, "separation") == [None, pytest.approx(-1), pytest.approx(1)]


def test_runs_that_recorded_nothing_have_no_learning_and_what_does_not_fit_is_refused():
    assert Learning.of({"loss": np.ones(3)}) is None
    with pytest.raises(ValueError, match=r"importance names the factors \['a'\], but the run has \['fast', 'never', 'slow'\]"):
        made().order({"a": 1.0}, "separation")
    with pytest.raises(ValueError, match="at must be above 0, not 0"):
        made().onsets("separation", 0)
    with pytest.raises(ValueError, match="Unknown measure 'kl'; choose one of: separation, reconstructed"):
        made().onsets("kl")
