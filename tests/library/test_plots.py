"""Figures draw what they are given: counted and read back from the axes."""

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import plots
from vaedis.spec import RunSpec
from vaedis_companion import figures
from vaedis_companion.analysis.courses import Course
from vaedis_companion.store import RunTable, make_row


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def _found(scores):
    rows = []
    for (framework, spacing, seed), value in scores.items():
        spec = RunSpec(data_options={"grid_spacing": spacing}, framework=framework, seed=seed)
        rows.append(make_row(spec, "fig9", "laptop", scores={"mig": value, "dci": value / 2}))
    return RunTable("fig9", "laptop", rows, [])


def test_traversals_show_each_frame_of_each_factor():
    columns = {
        name: np.full((3, 8, 8, 3), value, np.uint8) for name, value in (("x", 10), ("y", 200))
    }
    figure = plots.traversals(columns, values=[0, 4, 7])
    assert len(figure.axes) == 6
    shown = [axes.images[0].get_array() for axes in figure.axes]
    assert [int(np.asarray(s).max()) for s in shown] == [10, 200] * 3
    assert figure.axes[0].get_ylabel() == "value 0"


@pytest.mark.parametrize("shared", [False, True])
def test_distance_matrices_span_their_own_range_or_a_shared_one(shared):
    small, large = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[0.0, 4.0], [4.0, 0.0]])
    figure = plots.distance_matrices(
        {"a": small, "b": small}, {"a": small, "b": large}, shared_range=shared
    )
    top = [axes.images[0].get_clim()[1] for axes in figure.axes]
    assert top[:2] == [1, 1]
    assert top[2:] == ([4, 4] if shared else [1, 4])


def test_every_run_of_figure_9_is_a_point():
    scores = {
        ("ada-gvae", 1, 0): 0.9,
        ("ada-gvae", 1, 1): 0.8,
        ("ada-gvae", 8, 0): 0.1,
        ("beta-vae", 1, 0): 0.3,
    }
    figure = figures.scores_by_spacing(_found(scores))
    for axes, factor in zip(figure.axes, (1, 0.5), strict=True):
        points = np.concatenate(
            [line.get_ydata() for line in axes.lines if line.get_marker() in ("o", "X")]
        )
        assert sorted(points) == pytest.approx(sorted(v * factor for v in scores.values()))


def test_figure_9_leaves_out_runs_without_a_score():
    found = _found({("ada-gvae", s, k): 1 / s for s in (1, 8) for k in range(2)})
    found.rows[0]["mig"] = None
    found.rows[1]["dci"] = float("nan")
    panels = figures.scores_by_spacing(found).axes
    assert [len(panel.lines[0].get_xdata()) for panel in panels] == [3, 3]


def test_figure_9_draws_published_ranges_and_the_quartic_only_with_five_spacings():
    published = [
        {
            "framework": "ada-gvae",
            "metric": "mig",
            "grid_spacing": 1.0,
            "lowest": 0.7,
            "highest": 0.9,
        }
    ]
    few = figures.scores_by_spacing(
        _found({("ada-gvae", s, 0): 1 / s for s in (1, 2, 4, 8)}), published=published
    )
    bars = [line for line in few.axes[0].lines if line.get_linewidth() == 9]
    assert [list(bar.get_ydata()) for bar in bars] == [[0.7, 0.9]]
    assert not [line for line in few.axes[0].lines if line.get_linestyle() == ":"]
    many = figures.scores_by_spacing(
        _found({("ada-gvae", s, k): 1 / s for s in range(1, 9) for k in range(2)})
    )
    assert [line for line in many.axes[0].lines if line.get_linestyle() == ":"]


def _stars(axes):
    return [line for line in axes.lines if line.get_marker() == "*" and len(line.get_xdata())]


def test_long_runs_are_stars_beside_the_points_of_the_others():
    short = _found({("ada-gvae", s, k): 0.1 for s in (1, 8) for k in range(2)})
    long = _found({("ada-gvae", 1, 0): 0.9, ("ada-gvae", 8, 0): 0.2})
    figure = figures.scores_by_spacing(short, long_runs=long)
    (stars,) = _stars(figure.axes[0])
    assert stars.get_xdata() == pytest.approx([0.84, 7.84])
    assert list(stars.get_ydata()) == [0.9, 0.2]
    assert figure.get_supxlabel() == f"{short.describe()}\nstars: {long.describe()}"
    assert not _stars(figures.scores_by_spacing(short).axes[0])
    groups = {"ada-gvae": {"mse": {"mig": [0.1], "dci": [0.2]}}}
    long_groups = {"ada-gvae": {"mse": {"mig": [0.7], "dci": []}}}
    panels = figures.scores_by_group(groups, long_groups=long_groups).axes
    assert [list(line.get_ydata()) for line in _stars(panels[0])] == [[0.7]]
    assert not _stars(panels[1])


def test_order_by_steps_has_a_line_for_each_level_of_each_long_run():
    curve = {"steps": [500, 57_600], "z": [0.7, 0.1], "reconstruction": [0.5, 0.0]}
    settings = {"one": Course([curve]), "two": Course([curve, curve])}
    panels = figures.order_by_steps(settings).axes
    lines = [[list(line.get_ydata()) for line in axes.lines] for axes in panels[:2]]
    assert lines == [[[0.7, 0.1], [0.5, 0.0]], [[0.7, 0.1]] * 2 + [[0.5, 0.0]] * 2]
    assert [axes.get_title() for axes in panels[:2]] == ["one", "two"]


def test_no_two_settings_have_one_title():
    spec = RunSpec(data_options={"grid_spacing": 1}, framework="ada-gvae")
    settings = [spec.replace(beta=0.5), spec.replace(loss="box-blur"), spec]
    assert figures.setting_titles(settings) == {
        spec.replace(loss="box-blur"): "Ada-GVAE, z = 9\nspacing 1, MSE + box blur",
        spec: f"Ada-GVAE, z = 9\nspacing 1, β = {spec.beta:g}",
        settings[0]: "Ada-GVAE, z = 9\nspacing 1, β = 0.5",
    }
    batches = [spec, spec.replace(batch=3), spec.replace(beta=0.5)]
    assert [title.split("\n")[1] for title in figures.setting_titles(batches).values()] == [
        "spacing 1, β = 0.001, batch 256",
        "spacing 1, β = 0.001, batch 3",
        "spacing 1, β = 0.5",
    ]
    with pytest.raises(ValueError, match="differ in other than β and batch"):
        figures.setting_titles([spec, spec.replace(lr=0.5)])


def test_figures_by_steps_say_that_no_runs_are_stored():
    for draw in (figures.order_by_steps, figures.scores_by_steps):
        panels = draw({}).axes
        assert [axes.get_title() for axes in panels if axes.get_visible()] == ["no runs are stored"]


def test_groups_become_violins_only_from_ten_runs_on():
    few = {"ada-gvae": {"mse": {"mig": np.linspace(0, 1, 9), "dci": np.linspace(0, 1, 9)}}}
    many = {"ada-gvae": {"mse": {"mig": np.linspace(0, 1, 10), "dci": np.linspace(0, 1, 10)}}}
    assert not figures.scores_by_group(few).axes[0].collections
    assert figures.scores_by_group(many).axes[0].collections


def test_groups_without_runs_leave_a_gap():
    figure = figures.scores_by_group(
        {"ada-gvae": {"mse": {"mig": np.array([]), "dci": np.array([])}}}
    )
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["Ada-GVAE"]


def test_lines_leave_gaps_for_none_and_mark_the_papers_choice():
    figure = plots.lines(
        [1, 2, 3],
        {"rank": [0.1, None, 0.3]},
        xlabel="radius",
        ylabel="correlation",
        marks={"the paper's choice": 2},
    )
    assert np.isnan(figure.axes[0].lines[0].get_ydata()[1])
    mark = figure.axes[0].lines[-1]
    assert (mark.get_xdata()[0], mark.get_label()) == (2, "the paper's choice")


def test_levels_and_cycles_show_a_row_for_each_entry():
    matrices = {level: np.eye(3) for level in figures.LEVEL_NAMES}
    assert len(figures.levels({"a": matrices, "b": matrices}).axes) == 10
    cycles = np.zeros((4, 5, 8, 8, 3), np.uint8)
    cycles[2] = 77
    figure = plots.latent_traversals(cycles[[2, 0]])
    assert len(figure.axes) == 10
    assert int(np.asarray(figure.axes[0].images[0].get_array()).max()) == 77


def test_the_argument_shows_each_run_and_what_the_loss_compares():
    one, other = np.eye(4), np.ones((4, 4))
    case = {
        "images": (one, other),
        "distances": np.array([0.0, 2.0, 4.0]),
        "scores": {"ada-gvae": np.array([0.5, 0.7, 0.9])},
    }
    figure = figures.argument(
        {"a": case, "b": {**case, "scores": {"ada-gvae": np.array([])}}}, note="three runs"
    )
    picture, _, distance, _, score, empty = figure.axes
    assert picture.images[0].get_array()[0, 0].tolist() == [255, 64, 255]
    assert picture.images[0].get_array()[0, 1].tolist() == [0, 0, 255]
    assert distance.lines[1].get_ydata().tolist() == [0, 0.5, 1]
    assert score.lines[0].get_ydata().tolist() == [0.5, 0.7, 0.9]
    assert list(score.lines[1].get_ydata()) == [0.7, 0.7]
    assert not empty.lines
    assert figure.get_supxlabel() == "three runs"


def test_every_run_of_every_beta_is_a_point_and_lines_join_medians_beside_the_bounds():
    kl = {(1, 0.01): [2.0, 4.0], (1, 0.1): [1.0, 3.0], (8, 0.01): [0.5, 0.5], (8, 0.1): [0.0, 0.0]}
    rows = [
        make_row(
            RunSpec(
                data_options={"grid_spacing": spacing}, framework="beta-vae", beta=beta, seed=seed
            ),
            "beta",
            "laptop",
            scores={"mig": value / 10, "dci": value / 20, "final_kl": value},
        )
        for (spacing, beta), values in kl.items()
        for seed, value in enumerate(values)
    ]
    found = RunTable("beta", "laptop", rows, [])
    of_one_spacing = figures.scores_by_beta(found, {1: 0.8}).get_supxlabel()
    assert of_one_spacing == found.where(grid_spacing=1).describe()
    with pytest.raises(ValueError, match="at most 4 spacings, not of 5"):
        figures.scores_by_beta(found, dict.fromkeys(range(5), 0.1))
    figure = figures.scores_by_beta(found, {1: 0.8, 8: 0.09})
    for axes, share in zip(figure.axes, (1, 0.1, 0.05), strict=True):
        points = [line for line in axes.lines if line.get_marker() == figures.MARKERS["beta-vae"]]
        assert sorted(np.concatenate([p.get_ydata() for p in points])) == pytest.approx(
            sorted(v * share for vs in kl.values() for v in vs)
        )
        medians = [line for line in axes.lines if str(line.get_label()).startswith("β-VAE")]
        assert [list(line.get_ydata()) for line in medians] == [
            pytest.approx([3 * share, 2 * share]),
            pytest.approx([0.5 * share, 0]),
        ]
        bounds = {
            line.get_xdata()[0]: line.get_linestyle()
            for line in axes.lines
            if line.get_color() == "0.55"
        }
        assert bounds == {0.8: medians[0].get_linestyle(), 0.09: medians[1].get_linestyle()}
    assert figure.axes[0].get_ylim()[1] > 4
    assert figure.get_supxlabel() == found.describe()


def test_where_learning_ends_is_drawn_from_the_last_beta_that_learns_to_the_next_beside_both_bounds():
    onset, limit = {1: 0.8, 2: 0.5, 8: 0.1}, {1: 0.8, 2: 0.8, 8: 0.7}
    ends = {
        "constant": {1: [(0.1, 0.3), (0.3, 1.0)], 8: [(0.0, 0.01)]},
        "growing": {8: [(0.3, float("inf"))]},
        "none": {},
    }
    figure = figures.where_learning_ends({"networks": ends}, onset, limit)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert list(lines["no code pays above"].get_ydata()) == [0.8, 0.8, 0.7]
    assert list(lines["a first step pays below"].get_ydata()) == [0.8, 0.5, 0.1]
    # no point for a beta that was not tried, and a bar to the edge
    np.testing.assert_equal(lines["learning ends, constant"].get_ydata(), [0.1, 0.3, np.nan])
    np.testing.assert_equal(lines["learning ends, growing"].get_ydata(), [0.3])
    hollow = [line for line in axes.lines if line.get_markerfacecolor() == "white"]
    np.testing.assert_equal(hollow[0].get_ydata(), [0.3, 1.0, 0.01])
    np.testing.assert_equal(hollow[1].get_ydata(), [np.nan])
    lowest, highest = axes.get_ylim()
    bars = [bar[:, 1].tolist() for lines in axes.collections[1:] for bar in lines.get_segments()]
    assert bars == [[0.1, 0.3], [0.3, 1.0], [lowest, 0.01], [0.3, highest]]
    assert [round(x) for x in lines["learning ends, constant"].get_xdata()] == [1, 1, 8]
    assert "learning ends, none" not in lines


def test_a_figure_of_runs_says_which_they_are():
    found = _found({("ada-gvae", 1, 0): 0.9, ("ada-gvae", 8, 0): 0.1})
    assert figures.scores_by_spacing(found).get_supxlabel() == found.describe()


def table(labels, shape=(6, 9, 3), name="mine"):
    """Images whose first pixel is the number of the row."""
    images = np.zeros((len(labels), *shape), np.uint8)
    images[:, 0, 0, 0] = np.arange(len(labels))
    names = [f"f{k}" for k in range(np.shape(labels)[1])]
    return vd.LabelledImages(images, labels, names, name=name)


def shown(figure):
    return [int(np.asarray(ax.images[0].get_array()).max()) for ax in figure.axes if ax.images]


@pytest.mark.parametrize(
    ("n_channels", "drawn"), [(1, None), (2, [0]), (3, None), (3, 0), (4, (0, 1, 2)), (4, [0])]
)
def test_images_are_different_ones_of_any_size_and_number_of_channels(n_channels, drawn):
    data = table(np.c_[np.arange(30)], (5, 7, n_channels))
    figure = plots.images(data, 12, channels=drawn)
    assert len(figure.axes) == 16
    assert len(set(shown(figure))) == 12
    assert figure.get_suptitle() == "mine: 12 of 30 images"
    assert len(shown(plots.images(data, 99, channels=drawn))) == 30
    with pytest.raises(ValueError, match="n must be a whole number of at least 1, not 0"):
        plots.images(data, 0)
    with pytest.raises(ValueError, match="seed must be a whole number"):
        plots.images(data, seed=1.5)


def test_traversals_of_a_data_set_move_one_factor_through_some_of_its_values():
    labels = np.array([(a, b) for a in range(3) for b in range(20)])
    figure = plots.traversals(table(labels))
    assert figure.get_suptitle() == "mine: 2 factors, 8 values each at most"
    assert [ax.get_title() for ax in figure.axes[:2]] == ["f0", "f1"]
    visible = [ax for ax in figure.axes if ax.get_visible()]
    assert len(visible) == 3 + 8
    # the others stay in their middle: rows are in the order of the labels
    assert [ax.images[0].get_array()[0, 0, 0] for ax in figure.axes[0:6:2]] == [10, 30, 50]
    ends = [figure.axes[1], figure.axes[-1]]
    assert [ax.images[0].get_array()[0, 0, 0] for ax in ends] == [20, 39]
    assert [ax.get_xlabel() for ax in ends] == ["0", "19"]


def test_traversals_without_a_grid_are_those_that_there_are_and_many_factors_are_cut():
    labels = np.concatenate([np.zeros((1, 14), int), np.eye(14, dtype=int)])
    figure = plots.traversals(table(labels))
    assert figure.get_suptitle() == "mine: 10 of 14 factors"
    assert shown(figure) == [0] * 10 + list(range(1, 11))
    never_alone = table(np.stack([np.arange(5), np.arange(5)], 1))
    with pytest.raises(ValueError, match="no two images of 'mine' differ in one factor alone"):
        plots.traversals(never_alone)


def test_a_runs_latents_and_training_are_one_line_each():
    data = table(np.c_[np.arange(30)])
    spec = RunSpec(model="mlp", latents=12, steps=60, batch=10, beta=0.25)
    run = vd.fit(spec, data=data, device="cpu")
    figure = plots.latent_traversals(run)
    assert figure.get_suptitle() == "mine, β-VAE after 60 steps: 10 of 12 latents"
    assert len(figure.axes) == 10 * 7
    nats = [float(ax.get_ylabel().split("(")[1].split()[0]) for ax in figure.axes[::7]]
    assert nats == sorted(nats, reverse=True)
    # the first latent goes from its smallest mean to its largest, from the first code drawn
    index = data.draw(256, generator=torch.Generator().manual_seed(0))
    mean, logvar = run.posterior(index)
    first = int(vd.losses.kl_to_prior(mean, logvar).mean(0).argmax())
    assert figure.axes[0].get_ylabel().startswith(f"z{first} ")
    z = mean[:1].clone()
    z[:, first] = mean[:, first].max()
    last = np.asarray(figure.axes[6].images[0].get_array())
    assert np.array_equal(last, run.decode_images(z)[0].numpy())
    curves = plots.training(run)
    assert curves.get_suptitle() == "mine, β-VAE after 60 steps, β = 0.25"
    for ax, term in zip(curves.axes, ("recon", "kl"), strict=True):
        assert np.allclose(ax.lines[0].get_ydata(), run.history[term])
        assert len(ax.lines[1].get_ydata()) == 50
    run.history = {}
    with pytest.raises(ValueError, match="has no history to draw"):
        plots.training(run)


PAIR = np.array([[0, 0], [1, 1]])
PICTURES = np.zeros((2, 3, 4, 4, 1), np.uint8)
NAMED = {"xlabel": "x", "ylabel": "y"}


@pytest.mark.parametrize("made", [bool, int, np.uint8, float])
def test_images_of_ones_are_white(made):
    frames = np.eye(4)[None, ..., None].astype(made)
    assert shown(plots.traversals({"x": frames})) == [255]
    assert shown(plots.latent_traversals(frames[None])) == [255]


def test_floats_of_latents_are_shares_of_white():
    assert shown(plots.latent_traversals(np.full((1, 1, 4, 4, 3), 0.4))) == [102]


@pytest.mark.parametrize(
    ("draw", "says"),
    [
        (lambda: plots.latent_traversals(PICTURES + 200.5), "images of floats must lie in 0 … 1"),
        (lambda: plots.latent_traversals(PICTURES.astype(int) - 1), "must lie in 0 … 255"),
        (lambda: plots.latent_traversals(PICTURES * np.nan), "must have finite pixels"),
        (lambda: plots.latent_traversals(PICTURES[0]), r"shape \(rows, frames, H, W, C\)"),
        (lambda: plots.latent_traversals(PICTURES, names=["a"]), "names must hold one value"),
        (
            lambda: plots.traversals({"a": PICTURES[0], "b": PICTURES[0] / 2}),
            "must all be floats, all whole numbers or all boolean",
        ),
        (lambda: plots.traversals({"a": PICTURES[0], "b": PICTURES[0, :2]}), "as many frames as"),
        (lambda: plots.traversals({"a": PICTURES[0]}, values=[1]), "values must hold one value"),
        (lambda: plots.traversals({}), "data must hold something to draw"),
        (lambda: plots.matrices({}), "rows must hold something to draw"),
        (
            lambda: plots.matrices({"a": {"x": np.eye(2)}, "b": {"y": np.eye(2)}}),
            r"row 'a' must have the keys .* lacks \['y'\]",
        ),
        (
            lambda: plots.distance_matrices({"a": np.eye(2)}, {"b": np.eye(2)}),
            r"truth must have the keys .* lacks \['b'\]",
        ),
        (lambda: plots.cumulative({"a": np.array([-1.0, 2])}), "'a' must hold distances"),
        (lambda: plots.cumulative({"a": np.array([np.nan, 2])}), "'a' must hold distances"),
        (lambda: plots.bars(["a", "b"], {"g": [0.3]}, **NAMED), "'g' must hold one value for each"),
        (lambda: plots.bars(["a"], {}, **NAMED), "groups must hold something to draw"),
        (
            lambda: plots.lines([1], {str(k): [k] for k in range(17)}, **NAMED),
            "at most 16 curves can be told apart",
        ),
        (lambda: plots.codes({"a": (PAIR, PAIR)}, columns=0), "columns must be a whole number"),
        (lambda: plots.codes({"a": (PAIR, PAIR[:, :1])}), r"both have the shape \(n, 2\)"),
        (lambda: plots.codes({"a": (PAIR * np.nan, PAIR)}), "must be finite numbers"),
    ],
)
def test_what_would_be_drawn_wrong_is_one_sentence_and_no_figure(draw, says):
    with pytest.raises(ValueError, match=says):
        draw()
    assert not plt.get_fignums()


def test_matrices_with_gaps_have_a_range():
    gaps = {"a": np.array([[0, np.nan], [3, 0]]), "b": np.full((2, 2), np.nan)}
    figure = plots.distance_matrices(gaps, gaps, shared_range=True)
    assert [ax.images[0].get_clim() for ax in figure.axes] == [(0, 3), (0, 1), (0, 3), (0, 3)]


def test_panels_grow_for_curves_beyond_0_and_1():
    limits = [
        plots.panels([0, 1], {"a": {"b": y}}, xlabel="x").axes[0].get_ylim()
        for y in ([0, 1], [np.nan, -2], [None, 3])
    ]
    assert limits[0] == pytest.approx((-0.05, 1.05))
    assert limits[1][0] < -2
    assert limits[2][1] > 3


def test_a_curve_has_its_colour_in_every_panel_and_the_legend_has_all_names():
    curves = {"MIG": {"a": [0, 1], "b": [1, 0]}, "DCI": {"c": [0, 0], "b": [1, 1], "a": [0, 0]}}
    figure = plots.panels([0, 1], curves, xlabel="x")
    first, second = (
        {line.get_label(): (line.get_color(), line.get_marker()) for line in ax.lines}
        for ax in figure.axes[:2]
    )
    assert {name: second[name] for name in first} == first
    assert len(set(second.values())) == 3
    (legend,) = figure.legends
    drawn = [(line.get_color(), line.get_marker()) for line in legend.get_lines()]
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["a", "b", "c"]
    assert drawn == [second[name] for name in names]


def test_sixteen_curves_can_be_told_apart_and_negative_factors_are_colours():
    figure = plots.lines([1, 2], {str(k): [k, k] for k in range(16)}, **NAMED)
    styles = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(styles) == 16
    negative = plots.codes({"a": (PAIR, PAIR - 1)}).axes[0].collections[0].get_facecolors()
    plain = plots.codes({"a": (PAIR, PAIR)}).axes[0].collections[0].get_facecolors()
    assert np.array_equal(negative, plain)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_tensors_with_gradients_are_drawn_everywhere(kind):
    def values(*shape):
        return torch.rand(shape, dtype=kind, requires_grad=True)

    xy = {"xlabel": "", "ylabel": ""}
    figures = [
        plots.bars(["a", "b"], {"x": values(2)}, **xy),
        plots.lines([0, 1], {"x": values(2)}, **xy),
        plots.lines([0, 1], {"x": list(values(2))}, **xy),
        plots.panels([0, 1], {"a": {"b": values(2)}}, xlabel=""),
        plots.matrices({"a": {"b": values(3, 3)}}),
        plots.distance_matrices({"a": values(3, 3)}, {"a": values(3, 3)}),
        plots.traversals({"a": list(values(3, 8, 8, 3))}),
    ]
    assert all(figure.axes for figure in figures)


@pytest.mark.parametrize("name", ["_hidden", "$\\frac{$", "a_b"])
def test_any_name_stands_in_the_legend_as_it_is(name):
    values = np.array([1.0, 2.0])
    options = {"xlabel": name, "ylabel": name}
    for figure in (
        plots.lines([1, 2], {name: values}, marks={"_mark": 1}, **options),
        plots.cumulative({name: values}, xlabel=name),
        plots.bars(["a", name], {name: values}, **options),
    ):
        legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        assert legend[0] == name
        figure.canvas.draw()
    assert len(plots.lines([1, 2], {"a": [1, 2]}, marks={"_m": 1}, **options).axes[0].lines) == 2
    for figure in (
        plots.panels([1, 2], {name: {name: values}}, xlabel=name),
        plots.matrices({name: {name: np.eye(2)}}, note=name),
        plots.latent_traversals(np.zeros((1, 1, 3, 3, 1)), names=[name]),
    ):
        figure.canvas.draw()


def test_powers_of_ten_beside_a_logarithmic_axis_stay_formulas():
    run = vd.training.Run(RunSpec(), vd.load("xysquares"), None, vd.losses.get("mse"))
    run.history = {"recon": np.array([1.0, 0.01]), "kl": np.array([1.0, 100.0])}
    figure = plots.training(run)
    figure.canvas.draw()
    labels = figure.axes[0].yaxis.get_ticklabels()
    assert any("10^{-1}" in label.get_text() for label in labels)
    assert all(label.get_parse_math() for label in labels)


EYE = np.eye(3)
SHAPE = {"xlabel": "x", "ylabel": "y"}


@pytest.mark.parametrize("bad", [3, "text", ["a", "b"], [1j, 2], np.ones((2, 2, 2)), [[1], [1, 2]]])
def test_what_is_no_curve_or_matrix_is_refused_in_one_sentence(bad):
    for draw in (
        lambda: plots.lines([1, 2], {"it": bad}, **SHAPE),
        lambda: plots.cumulative({"it": bad}),
        lambda: plots.bars(["a", "b"], {"it": bad}, **SHAPE),
        lambda: plots.panels([1, 2], {"panel": {"it": bad}}, xlabel="x"),
        lambda: plots.matrices({"row": {"it": bad}}),
        lambda: plots.distance_matrices({"it": EYE}, {"it": bad}, shared_range=True),
        lambda: plots.distance_matrices({"it": bad}, {"it": EYE}),
    ):
        with pytest.raises(ValueError, match=r"^'it'.* must hold numbers of the shape .*\.$"):
            draw()


def test_what_has_no_names_or_is_no_run_is_refused_in_one_sentence():
    for draw in (
        lambda: plots.distance_matrices(EYE, EYE),
        lambda: plots.distance_matrices(EYE, {"it": EYE}),
        lambda: plots.matrices({"row": EYE}),
        lambda: plots.lines([1, 2], [1, 2], **SHAPE),
    ):
        with pytest.raises(TypeError, match=r"must be a dictionary of names .*not a \w+\.$"):
            draw()
    with pytest.raises(TypeError, match=r"run must be a Run, as fit returns it, not a RunSpec\."):
        plots.training(RunSpec())


def test_names_of_latents_may_be_an_array_and_one_latent_is_one():
    figure = plots.latent_traversals(np.zeros((2, 1, 3, 3, 1)), names=np.array(["a", "b"]))
    assert [ax.get_ylabel() for ax in figure.axes] == ["a", "b"]
    options = {"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1}
    spec = RunSpec(data_options=options, model="mlp", latents=1, steps=2, batch=9)
    assert plots.latent_traversals(vd.fit(spec, device="cpu")).get_suptitle().endswith(": 1 latent")


def test_what_would_not_be_drawn_is_refused():
    e = np.eye(3)
    for rows in ({"r": {"c": e}, "s": {"c": e, "d": e}}, {"s": {"c": e, "d": e}, "r": {"c": e}}):
        with pytest.raises(ValueError, match=r"row 'r' must have the keys .*, but lacks \['d'\]"):
            plots.matrices(rows)
    with pytest.raises(ValueError, match=r"perceived must have the keys .*, but lacks \['b'\]"):
        plots.distance_matrices({"a": e, "b": e}, {"a": e})
    with pytest.raises(ValueError, match="Unknown key of cmaps 'd'; choose one of: c"):
        plots.matrices({"r": {"c": e}}, cmaps={"d": "Blues"})
    with pytest.raises(TypeError, match="cmaps must be a dictionary by name, not 'Blues'"):
        plots.matrices({"r": {"c": e}}, cmaps="Blues")
    with pytest.raises(TypeError, match="labels must be a dictionary by name, not \\['x'\\]"):
        plots.distance_matrices({"a": e}, {"a": e}, labels=["x"])
    with pytest.raises(ValueError, match="a data set has its own values, so leave them out"):
        plots.traversals(vd.load("xysquares", num_squares=1), values=[7] * 8)


@pytest.mark.parametrize(
    ("labels", "written"),
    [
        (["2020-01-01T00", "2020-01-01T06", "2020-01-01T12"], ["…00", "…06", "…12"]),
        ([10**13 + 1, 10**13 + 2, 10**13 + 3], ["…1", "…2", "…3"]),
        (["a" * 20 + "x" * 15 + end for end in "123"], ["…1", "…2", "…3"]),
        (["short", "a name of many letters", "zero"], None),
    ],
)
def test_values_below_a_traversal_are_told_apart(labels, written):
    images = np.arange(3 * 16, dtype=np.uint8).reshape(3, 4, 4)
    figure = vd.plots.traversals(vd.LabelledImages(images, {"hour": labels}))
    found = [ax.get_xlabel() for ax in figure.axes if ax.get_xlabel()]
    assert len(set(found)) == 3
    assert max(map(len, found)) <= 12
    assert written is None or sorted(found) == sorted(written)
    plt.close(figure)


def test_masked_values_are_not_drawn():
    matrix = np.ma.masked_greater(np.arange(16.0).reshape(4, 4), 9)
    for draw in (
        lambda: vd.plots.matrices({"a": {"b": matrix}}),
        lambda: vd.plots.distance_matrices({"a": np.eye(4)}, {"a": matrix}),
        lambda: vd.plots.lines(range(4), {"a": matrix[3]}, xlabel="x", ylabel="y"),
    ):
        with pytest.raises(ValueError, match="masked values cannot be drawn"):
            draw()
    vd.plots.matrices({"a": {"b": matrix.filled(np.nan)}})
    plt.close("all")


@pytest.mark.parametrize(
    ("draw", "error", "says"),
    [
        (lambda: plots.lines(3, {"a": [1]}, **SHAPE), TypeError, "x must be a list, not a int"),
        (lambda: plots.lines({1: 2}, {"a": [1]}, **SHAPE), TypeError, "x must be a list"),
        (
            lambda: plots.lines([1], {"a": [1]}, marks=[1], **SHAPE),
            TypeError,
            "marks must be a dictionary of names",
        ),
        (lambda: plots.bars(None, {"a": [1]}, **SHAPE), TypeError, "labels must be a list"),
        (
            lambda: plots.panels([0, 1], {"p": [1, 2]}, xlabel="x"),
            TypeError,
            "the curves of 'p' must be a dictionary of names",
        ),
        (
            lambda: plots.panels([0, 1], {"p": {"a": [0, 1]}}, xlabel="x", ticks=3),
            TypeError,
            "ticks must be a list, not a int",
        ),
        (lambda: plots.codes({"a": EYE}), TypeError, r"'a' must be a pair of arrays, \(codes, fac"),
        (lambda: plots.codes({"a": (["b"], [1])}), ValueError, "of 'a' must be arrays of numbers"),
        (
            lambda: plots.latent_traversals(np.zeros((2, 3, 4, 4, 3)), names=5),
            TypeError,
            "names must be a list, not a int",
        ),
        (
            lambda: plots.traversals({"a": np.zeros((2, 4, 4, 3))}, values=5),
            TypeError,
            "values must be a list, not a int",
        ),
        (
            lambda: plots.distance_matrices({"a": np.eye(3)}, {"a": np.eye(4)}),
            ValueError,
            r"'a' must both have the shape \(f, f\), not \(3, 3\) and \(4, 4\)",
        ),
        (
            lambda: plots.distance_matrices({"a": np.ones((2, 3))}, {"a": np.ones((2, 3))}),
            ValueError,
            r"must both have the shape \(f, f\), not \(2, 3\) and \(2, 3\)",
        ),
    ],
)
def test_arguments_of_figures_are_checked(draw, error, says):
    with pytest.raises(error, match=says):
        draw()
    assert not plt.get_fignums()


def test_marks_of_a_figure_may_be_none_or_empty():
    for marks in (None, {}):
        assert len(plots.lines([1, 2], {"a": [1, 2]}, marks=marks, **SHAPE).axes[0].lines) == 1
    plt.close("all")


def test_channels_are_drawn_as_one_or_three_and_never_as_transparency():
    images = np.zeros((4, 6, 6, 4), np.uint8)
    images[..., 0], images[..., 2], images[..., 3] = 200, np.arange(4)[:, None, None], 1
    data = vd.LabelledImages(images, range(4))
    run = np.stack([images, images])
    calls = (
        lambda **how: plots.images(data, **how),
        lambda **how: plots.traversals(data, **how),
        lambda **how: plots.traversals({"a": images}, **how),
        lambda **how: plots.latent_traversals(run, **how),
    )
    for call in calls:
        with pytest.raises(ValueError, match=r"say which one or three .* channels=\(0, 1, 2\)"):
            call()
        for wrong in ([4], [0, 1], [-1], []):
            with pytest.raises(ValueError, match="channels must name one or three of the 4"):
                call(channels=wrong)
        figure = call(channels=(2, 1, 0))
        drawn = [ax.images[0].get_array() for ax in figure.axes if ax.images]
        assert {picture.shape for picture in drawn} == {(6, 6, 3)}
        assert {tuple(picture[0, 0]) for picture in drawn} == {(k, 0, 200) for k in range(4)}
        figure = call(channels=[2])
        drawn = [ax.images[0].get_array() for ax in figure.axes if ax.images]
        assert {int(picture[0, 0]) for picture in drawn} == {0, 1, 2, 3}
    two = vd.LabelledImages(images[..., 2:], range(4))
    with pytest.raises(ValueError, match=r"images of 2 channels .* as in channels=\[0\]"):
        plots.images(two)
    plt.close("all")


def test_tiles_are_the_matrices_of_the_figure_with_axes_of_their_own():
    rng = np.random.default_rng(0)
    perceived = {f"f{k}": rng.random((k + 2, k + 2)) for k in range(4)}
    perceived["f1"][0, 1] = np.nan
    truth = {name: vd.distances.ground_truth_matrix(len(m)) for name, m in perceived.items()}
    tiles = plots.heatmaps.draw_tiles(truth, perceived).axes[0]
    panels = [ax.images[0] for ax in plots.distance_matrices(truth, perceived).axes]
    # below the ground truth
    order = [*panels[4:], *panels[:4]]
    for tile, panel in zip(tiles.images, order, strict=True):
        np.testing.assert_array_equal(tile.get_array(), panel.get_array())
        assert tile.get_clim() == panel.get_clim()
        assert tile.get_cmap().name == panel.get_cmap().name
    corners = [tuple(tile.get_extent()[::2]) for tile in tiles.images]
    assert len(set(corners)) == 8
    assert [text.get_text() for text in tiles.texts[2:]] == list(perceived)
    plt.close("all")
