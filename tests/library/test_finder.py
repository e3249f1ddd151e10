"""Ranking losses, describing factors, and what is compared with the paper's tables."""

import numpy as np
import pytest
import torch
from scipy import stats

from vaedis import distances, losses
from vaedis.data import DSprites, FactorData, Shapes3D, XYSquares
from vaedis.factors import FactorSpace


def test_losses_are_ranked_by_how_well_their_distances_agree():
    data = XYSquares(image_size=32, square_size=4)
    found = distances.rank_losses(
        data,
        {"plain": "mse", **distances.family("box-blur", radius=[2, 15])},
        factors=["x_R", "y_G"],
    )
    assert [ranked.name for ranked in found] == ["box-blur radius=15", "box-blur radius=2", "plain"]
    assert found[-1].adversarial == ("x_R", "y_G")
    assert found[-1].linear == found[-1].rank == 0
    assert found[0].adversarial == ()
    exact = distances.factor_distances(data, losses.BoxBlur(15), factors=["y_G"])["y_G"].agreement()
    assert found[0].factors["y_G"] == exact
    assert found[0].random is None


def test_losses_may_be_judged_by_random_pairs_too():
    data = XYSquares(image_size=16, square_size=4, grid_spacing=3, grid_size=4)
    (only,) = distances.rank_losses(data, ["mae"], traversals=20, pairs=300, seed=3)
    assert only.random == distances.pair_agreement(data, None, "mae", n=300, seed=3)
    assert only.rank == pytest.approx(np.mean([a.rank for a in only.factors.values()]))


def test_a_lone_loss_and_a_lone_factor_are_names(small):
    (found,) = distances.rank_losses(small, "mse", factors="x_R")
    assert (found.name, list(found.factors)) == ("mse", ["x_R"])


def test_keys_of_one_text_are_two_losses(small):
    class Scaled(losses.Loss):
        def __init__(self, scale):
            self.scale = scale

        def distance(self, a, b):
            return self.scale * (a - b).abs().mean((-3, -2, -1))

    one, two = Scaled(1), Scaled(2)
    for first, second, text in ((1, "1", "1"), (one, two, str(one))):
        found = distances.rank_losses(small, {first: one, second: two}, factors="x_R")
        by_name = {ranked.name: ranked.loss for ranked in found}
        assert by_name == {text: one, f"{text} (2)": two}


def test_a_family_is_every_combination_of_its_options():
    found = distances.family("pyramid", levels=[1, 3], growth=[2.0, 4.0])
    assert list(found) == [f"pyramid levels={n} growth={g}" for n in (1, 3) for g in (2.0, 4.0)]
    assert found["pyramid levels=3 growth=2.0"] == losses.Pyramid(3, 2.0)


def test_a_pyramid_adds_up_errors_of_block_means():
    a, b = torch.rand(
        2, 4, 3, 8, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    expected = sum(
        3.0**level
        * (a - b)
        .unfold(-2, 2**level, 2**level)
        .unfold(-2, 2**level, 2**level)
        .mean((-1, -2))
        .square()
        .mean((1, 2, 3))
        for level in range(3)
    )
    loss = losses.get("pyramid", levels=3, growth=3.0)
    torch.testing.assert_close(loss.distance(a, b), expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(
        (loss.embed(a) - loss.embed(b)).square().sum(-1), expected, rtol=1e-12, atol=0
    )
    torch.testing.assert_close(
        losses.get("pyramid", levels=1).distance(a, b),
        losses.MSE().distance(a, b),
        rtol=1e-12,
        atol=0,
    )
    # sides that blocks do not divide
    assert losses.get("pyramid", levels=4).embed(a[..., :7, :5]).shape == (4, 3 * (35 + 12 + 4 + 1))


class Wheel(FactorData):
    """A lit pixel that goes round a ring of 12, in a soft glow; and a row of 3 pictures without
    order.
    """

    name, origin, mean, std, shape = "wheel", "generated", (0.5,), (0.2,), (1, 12, 1)
    factors = FactorSpace(("angle", "kind"), (12, 3))

    def _images(self, index):
        angle, kind = index // 3, index % 3
        gap = (torch.arange(12) - angle[:, None]).abs()
        glow = (200 - 40 * torch.minimum(gap, 12 - gap)).clamp(min=0)
        return torch.where(kind[:, None] == 1, 255 - glow, glow).to(torch.uint8).view(-1, 1, 12, 1)


def test_the_better_of_line_and_circle_is_named():
    found = distances.factor_distances(Wheel())
    assert found["angle"].agreement("circle").rank > 0.95 > found["angle"].agreement().rank + 0.2
    assert (
        found["angle"]
        .verdict()
        .startswith(
            "angle is best described by a circle: the mean rank correlation within traversals is "
        )
    )
    # 0 and 2 are the same picture
    assert (
        found["kind"]
        .verdict()
        .startswith(
            "kind hardly follows an order: the mean rank correlation within traversals is -"
        )
    )
    squares = distances.factor_distances(XYSquares(), factors=["x_R"])["x_R"]
    assert (
        squares.verdict()
        == "x_R is adversarial: all distances along it are equal (0.0104), so that they carry no order."
    )
    close = distances.factor_distances(XYSquares(grid_spacing=1), factors=["x_R"])["x_R"]
    assert close.verdict().startswith("x_R is best described by a line: ")


# linear and rank correlation with ground-truth distances as the authors logged them, self-pairs
# included: with MSE, and with blur
LOGGED = {
    "dsprites": {
        "shape": ((0.66, 0.72), (0.66, 0.87)),
        "scale": ((0.93, 0.95), (0.84, 0.96)),
        "orientation": ((0.13, 0.17), (0.15, 0.21)),
        "position_x": ((0.66, 0.75), (0.63, 0.83)),
        "position_y": ((0.66, 0.75), (0.63, 0.83)),
        "random": ((0.43, 0.38), (0.29, 0.36)),
    },
    "shapes3d": {
        "floor_hue": ((0.62, 0.76), (0.60, 0.74)),
        "wall_hue": ((0.60, 0.74), (0.55, 0.72)),
        "object_hue": ((0.53, 0.71), (0.41, 0.63)),
        "scale": ((0.81, 0.88), (0.71, 0.87)),
        "shape": ((0.69, 0.79), (0.58, 0.80)),
        "orientation": ((0.84, 0.92), (0.74, 0.87)),
        "random": ((0.53, 0.45), (0.29, 0.29)),
    },
}
RENDERED = {"dsprites": DSprites, "shapes3d": Shapes3D}
# how many images along each factor, and random pairs; of so many images the correlations of three
# seeds stayed within 0.03 of the log's
SAMPLES = {"mse": (3_000, 4_000), "box-blur": (1_000, 2_000)}
SLACK = 0.05


@pytest.mark.parametrize("loss", SAMPLES)
@pytest.mark.parametrize("name", LOGGED)
def test_correlations_are_those_that_the_authors_logged(name, loss):
    images, pairs = SAMPLES[loss]
    data = RENDERED[name]()
    logged = {factor: both[list(SAMPLES).index(loss)] for factor, both in LOGGED[name].items()}
    random = logged.pop("random")
    for factor, values in logged.items():
        traversals = images // data.factors.sizes[data.factors.position(factor)]
        found = distances.factor_distances(
            data, loss, factors=[factor], traversals=traversals, seed=3
        )[factor]
        agreement = found.agreement(self_pairs=True)
        assert (agreement.linear, agreement.rank) == pytest.approx(values, abs=SLACK), factor
    # of the authors' random pairs 1 in 32 was an image with itself; without those correlations are
    # lower by 0.05 to 0.12. Allowed are the digits that were logged and four standard errors
    a, b = (
        data.factors.sample_index(pairs, generator=torch.Generator().manual_seed(seed))
        for seed in (6, 7)
    )
    b[: pairs // 32] = a[: pairs // 32]
    truth = distances.ground_truth(data.factors.to_factors(a), data.factors.to_factors(b)).numpy()
    seen = distances.perceived(data, a, b, loss=loss).numpy()
    assert (stats.pearsonr(truth, seen)[0], stats.spearmanr(truth, seen)[0]) == pytest.approx(
        random, abs=0.005 + 4 / pairs**0.5
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda d: distances.rank_losses(d, []), "there must be at least one loss to rank"),
        (lambda d: distances.rank_losses(d, ["x"]), "Unknown loss 'x'"),
        (
            lambda d: distances.family("mse", radius=[1]),
            "Unknown option 'radius' of loss 'mse'; it takes none",
        ),
        (
            lambda d: losses.get("pyramid", levels=0),
            "levels must be a whole number of at least 1, not 0",
        ),
        (lambda d: losses.get("pyramid", growth=0), "growth must be above 0, not 0"),
    ],
)
def test_bad_input_is_one_clear_sentence(small, call, says):
    with pytest.raises(ValueError, match=says):
        call(small)
