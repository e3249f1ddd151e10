"""What is public shows itself on one screen, and tables in notebooks obey nobody."""

import functools
import inspect

import numpy as np
import pytest
import torch
from test_saved_runs import TINY

import vaedis as vd
from vaedis._support import brief


def _runs():
    spec = TINY.replace(model_options={"hidden": [16] * 20})
    run = vd.fit(spec, device="cpu")
    return [run, run.spec, vd.RunSpec(), run.loss, *run.scores(["mig"], protocol="fast").values()]


def _data():
    rng = np.random.default_rng(0)
    labels = {f"a factor of a long name, {k}": np.arange(40) % 2 + k for k in range(300)}
    mine = vd.LabelledImages(rng.integers(0, 255, (40, 4, 4), np.uint8), labels)
    space = vd.FactorSpace([f"factor {k}" for k in range(300)], [2] * 300)
    squares = vd.load("xysquares", **TINY.data_options)
    relabelled = vd.Relabelled(squares, {"position": range(9)})
    return [mine, mine.factors, space, squares, relabelled, squares.factors, mine.groups(0)]


def _scores():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, 3, (200, 25))
    codes = rng.normal(size=(200, 30)) + factors.sum(1, keepdims=True)
    metrics = ["mig", "modularity"]
    return [*vd.metrics.score(codes, factors, metrics=metrics).values()]


def _distances():
    data = vd.load("xysquares", **TINY.data_options)
    result = vd.distances.factor_distances(data, loss="mse")
    diagnosis = vd.diagnose(data)
    return [
        *result.values(),
        *(one.agreement() for one in result.values()),
        *(one.within for one in result.values()),
        *vd.distances.rank_losses(data, ["mse", "box-blur"]),
        vd.distances.random_pairs(data, pairs=100),
        diagnosis,
        diagnosis.losses[0],
        diagnosis.losses[0].factors[0],
        vd.diagnosis.Advice(
            ("x",) * 50, None, {"x": {k: None for k in range(99)}}, 1.0, "w\n" * 99, "w " * 999
        ),
        *(vd.losses.get(name) for name in vd.losses.LOSSES),
    ]


THINGS = {"runs": _runs, "data": _data, "scores": _scores, "distances": _distances}


@functools.cache
def _made(name):
    return THINGS[name]()


@pytest.fixture(params=THINGS)
def things(request):
    return _made(request.param)


def test_a_repr_is_one_screen_and_names_its_class(things):
    for thing in things:
        lines = repr(thing).splitlines()
        assert len(lines) <= 24
        assert max(map(len, lines)) <= 100, repr(thing)
        assert type(thing).__name__ in lines[0]
        assert "array(" not in repr(thing)


def test_tables_are_small_and_well_formed(things):
    from xml.etree import ElementTree

    for thing in things:
        if hasattr(thing, "_repr_html_"):
            html = thing._repr_html_()
            assert len(html) < 50_000
            ElementTree.fromstring(html)


def test_all_public_classes_are_looked_at():
    """A class that is new is added above, or it says why not here."""
    public = {
        cls
        for module in (vd, *(getattr(vd, name) for name in vd._MODULES))
        for name in getattr(module, "__all__", ())
        if inspect.isclass(cls := getattr(module, name)) and not issubclass(cls, BaseException)
    }
    seen = {type(thing) for name in THINGS for thing in _made(name)}
    # a dataclass would show its fields whole
    unlike = [
        cls.__name__
        for cls in public - seen
        if "__repr__" in vars(cls)
        and vars(cls)["__repr__"].__module__
        not in ("vaedis._support.brief", "vaedis.metrics._scores")
        and not issubclass(cls, vd.losses.Loss | vd.FactorData)
    ]
    assert unlike == []
    assert {vd.Run, vd.RunSpec, vd.LabelledImages, vd.FactorSpace, vd.Diagnosis} <= seen


def test_a_specification_shows_what_is_not_by_default_and_can_be_read_back():
    RunSpec = vd.RunSpec
    spec = RunSpec(beta=0.1, data_options={"grid_spacing": 1, "list": [1, 2]}, latents=3)
    assert repr(RunSpec()) == "RunSpec()"
    assert repr(spec) == (
        "RunSpec(data_options={'grid_spacing': 1, 'list': (1, 2)}, beta=0.1, latents=3)"
    )
    assert eval(repr(spec)) == spec
    long = spec.replace(model="mlp", model_options={"hidden": [100] * 40})
    assert len(repr(long).splitlines()) > 1
    assert eval(repr(long)) == long


def test_numbers_are_short_and_long_things_are_counted():
    assert brief.brief(1 / 3) == "0.3333"
    assert brief.brief((1.0, None)) == "(1, None)"
    assert brief.brief((1,)) == "(1,)"
    assert brief.brief(list(range(17))) == "17 entries"
    assert brief.brief(np.eye(2)) == "array of shape (2, 2)"
    assert brief.brief(torch.zeros(3, 4)) == "array of shape (3, 4)"
    assert brief.brief(torch.tensor([0.5, 1])) == "[0.5 1]"
    names = {"rank": 1 / 3, "names": ("a", "b")}
    assert brief.brief(names) == "{'rank': 0.3333, 'names': ('a', 'b')}"
    assert brief.screenful("short") == "short"
    assert brief.screenful("word " * 9999).splitlines()[-1] == "    …"


def test_names_from_outside_are_text_in_a_terminal_and_in_a_notebook():
    images = np.arange(4, dtype=np.uint8)[:, None, None] * np.ones((2, 2), np.uint8)
    data = vd.LabelledImages(images, {"<b>\x1b[31m": [0, 1, 2, 3]}, name="<script>")
    assert "\x1b" not in repr(data)
    result = vd.distances.factor_distances(data)["<b>\x1b[31m"]
    assert "<b>" not in result._repr_html_()
    assert "\x1b" not in result._repr_html_() + repr(result)
    run = vd.fit(TINY, data=data, device="cpu")
    assert "<script>" not in run._repr_html_()


def test_a_table_shades_what_is_large_and_a_curve_says_its_ends():
    html = brief.matrix_table("m", np.array([[0.0, 2.0], [float("nan"), -1.0]]))
    assert '0.60)">2<' in html
    assert '0.30)">-1<' in html
    assert "<td>none</td>" in html
    assert brief.matrix_table("m", np.zeros((17, 2))) == "<p>m: 17×2 numbers</p>"
    assert 'aria-label="loss, from 3 to 1"' in brief.curve("loss", [3.0, 2.0, 1.0])
    assert 'points="0.0,10.0 150.0,40.0 300.0,70.0"' in brief.curve("loss", [3.0, 2.0, 1.0])
