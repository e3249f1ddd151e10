"""The diagnosis says what the distances say, for grids and for what is none, and writes pages that
stand alone.
"""

import html.parser
import itertools
import json
import sys

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import cli
from vaedis.data import LabelledImages, XYSquares
from vaedis.diagnosis import save
from vaedis.diagnosis.diagnose import diagnose


def squares(spacing, **more):
    return XYSquares(
        image_size=24, square_size=4, grid_spacing=spacing, grid_size=5, num_squares=1, **more
    )


def as_table(data, keep=None):
    index = torch.arange(len(data)) if keep is None else keep
    return LabelledImages(
        data.images(index).numpy(),
        data.factors.to_factors(index).numpy(),
        data.factors.names,
        name="mine",
    )


def test_constant_distances_are_adversarial_and_blur_is_what_helps():
    found = diagnose(
        squares(4), ["mse", vd.losses.get("box-blur", radius=8)], radii=(1, 2, 4, 8, 16, 99)
    )
    mse, blur = found.losses
    assert [f.verdict for f in mse.factors] == ["adversarial"] * 2
    assert [f.verdict for f in blur.factors] == ["ordered"] * 2
    assert all(f.rank is None and f.adversarial and f.exact for f in mse.factors)
    # a square that moves leaves 16 pixels and covers 16 others, in one channel of three
    assert [f.importance for f in mse.factors] == pytest.approx([32 / 24**2 / 3] * 2, rel=1e-12)
    assert "follow no factor" in mse.verdict
    assert "follow every factor" in blur.verdict
    advice = found.advice
    assert advice.factors == ("x_R", "y_R")
    # what the reader gave is tried first, then each family up to the reach that is enough
    assert next(iter(advice.ranks)) == "box blur of radius 8"
    assert "Gaussian blur of sigma 0.5" in advice.ranks
    assert not any("99" in name or "49.5" in name for name in advice.ranks)
    assert advice.loss in advice.ranks
    for name in advice.factors:
        assert advice.ranks[advice.loss][name] >= 0.8
    assert advice.text.startswith(f"x_R, y_R: {advice.loss} would order what MSE does not (rank ")


def test_advice_is_lines_that_run_as_they_stand_with_the_beta_of_the_new_loss(
    monkeypatch, capsys, tmp_path
):
    fit = vd.fit
    runs = []

    def short(spec, **options):
        assert spec.steps == 20_000
        runs.append(fit(spec.replace(steps=2), device="cpu", **options))
        return runs[-1]

    monkeypatch.setattr(vd, "fit", short)
    data = vd.load(
        "xysquares", image_size=24, square_size=4, grid_spacing=4, grid_size=5, num_squares=1
    )
    images, labels = data.images(range(25)).numpy(), data.to_factors(range(25)).numpy()
    np.savez(tmp_path / "mine.npz", images=images, y=labels, x=images)
    read = {"images": "images", "labels": "y", "names": ["a", "b"], "resize": 24}
    whole = vd.read_images(tmp_path / "mine.npz", **read)
    table = as_table(data, torch.tensor([*range(24), 0]))
    for given, framework, names in (
        (data, "ada-gvae", {}),
        (whole, "ada-gvae", {}),
        (table, "beta-vae", {"data": table}),
    ):
        advice = diagnose(given).advice
        exec(advice.code, dict(names))
        run = runs[-1]
        assert "mig" in capsys.readouterr().out
        assert len(run.data) == 25
        assert (run.spec.framework, run.spec.beta) == (framework, advice.beta)
        assert sys.modules["vaedis.diagnosis.diagnose"]._name(run.loss) == advice.loss
        # a thirtieth of what the faintest factor is worth under the loss that is advised
        along = vd.distances.factor_distances(given, run.loss, normalize=True)
        worth = 9 * min(one.mean for one in along.values())
        assert advice.beta == pytest.approx(worth / 30, rel=0.06)
        beta_sum = run.spec.beta_sum((24, 24, 3))
        assert f"{advice.beta:.3g} (RunSpec.beta), which is {beta_sum:.3g} where" in advice.text
        assert advice.beta < vd.diagnosis.largest_beta(given, 9, loss=run.loss)
    assert [type(run.data) for run in runs[:2]] == [XYSquares, LabelledImages]
    assert runs[1].data.factors.names == ("a", "b")


def test_a_loss_of_the_readers_that_orders_more_is_advised_with_its_beta(monkeypatch):
    class Blurred(vd.losses.Loss):
        def distance(self, a, b):
            return 7 * vd.losses.BoxBlur(radius=8, pixel_weight=0).distance(a, b)

    loss = Blurred()
    advice = diagnose(squares(4), ["mse", loss], radii=()).advice
    assert (advice.loss, list(advice.ranks)) == ("Blurred", ["Blurred"])
    assert "# loss is 'Blurred', as you gave it to vd.diagnose" in advice.code
    runs = []
    fit = vd.fit
    monkeypatch.setattr(
        vd, "fit", lambda spec, **more: runs.append(fit(spec.replace(steps=1), **more)) or runs[0]
    )
    exec(advice.code, {"data": squares(4), "loss": loss})
    assert runs[0].loss is loss
    assert runs[0].spec.beta == advice.beta
    # a value that stands alone has no distances
    data = squares(4)
    images = np.concatenate(
        [data.images(torch.arange(25)).numpy(), np.zeros((1, 24, 24, 3), np.uint8)]
    )
    labels = np.concatenate([data.factors.to_factors(torch.arange(25)).numpy(), [[5, 5]]])
    beta = diagnose((images, labels), ["mse", vd.losses.BoxBlur(radius=8)], radii=()).advice.beta
    assert beta > 0
    # options that are not those by default are in the lines, and no others
    blur = vd.losses.BoxBlur(radius=8, pixel_weight=0)
    code = diagnose(squares(4), ["mse", blur], radii=()).advice.code
    assert "loss='box-blur'," in code
    assert "loss_options={'radius': 8, 'pixel_weight': 0}," in code


def test_advice_says_what_a_remedy_leaves_out_of_order_and_what_it_loses():
    images = np.zeros((16, 4, 8))
    labels = np.array(list(itertools.product(range(4), range(4))))
    for image, (a, b) in zip(images, labels, strict=True):
        image[0, a] = 1
        image[1, :b] = 1

    class First(vd.losses.Loss):
        """Only `a`, in its order."""

        def distance(self, a, b):
            steps = torch.arange(8.0, dtype=a.dtype)
            return ((a - b)[..., 0, :] @ steps).abs().flatten(1).sum(1) + (a != b).sum((1, 2, 3))

    data = LabelledImages(images, labels, ["a", "b"])
    advice = diagnose(data, radii=()).advice
    assert (advice.factors, advice.loss, advice.code) == (("a",), None, "")
    assert "a: no other loss was tried." in advice.text
    advice = diagnose(data, ["mse", First()], radii=()).advice
    assert advice.loss == "First"


def test_a_check_trains_on_distances_alone_and_says_whether_they_foretold_it(monkeypatch):
    module = __import__("vaedis.diagnosis.check", fromlist=["check"])
    monkeypatch.setattr(module, "_STEPS", 100)
    monkeypatch.setattr(module, "_NETWORKS", 2)
    blur = vd.losses.get("box-blur", radius=8)
    found = diagnose(squares(4), ["mse", blur], radii=(), check=True)
    mse, blurred = found.checks
    assert (mse.loss, blurred.loss) == ("MSE", "box blur of radius 8")
    assert (mse.surprises, blurred.surprises) == ((), ())
    assert max(map(abs, mse.ranks.values())) < 0.5 < min(blurred.ranks.values())
    assert set(blurred.mig) == {"x_R", "y_R"}
    assert mse.text.endswith(": as foretold.")
    assert (
        " 2 small Ada-GVAEs that saw these distances, and pairs drawn by the factors," in mse.text
    )
    assert f"x_R {mse.ranks['x_R']:.2f} (adversarial; MIG {mse.mig['x_R']:.2f})" in found.text()
    # networks that learn nothing order nothing, against what is foretold
    monkeypatch.setattr(module, "fitting_beta", lambda *_: 1e6)
    (report,) = diagnose(squares(4), blur, radii=()).losses
    surprised = module.check(squares(4), blur, report)
    assert surprised.surprises == ("x_R", "y_R")
    assert surprised.text.endswith("not as foretold: x_R, y_R.")


@pytest.mark.parametrize(
    ("loss", "keep", "says"),
    [
        ("mae", range(25), "need a loss that is a quadratic form"),
        ("mse", range(24), "do not hold each of the 25 combinations"),
    ],
)
def test_a_check_that_cannot_be_says_why(loss, keep, says):
    table = as_table(squares(4), torch.tensor(list(keep)))
    (check,) = diagnose(table, loss, radii=(), check=True).checks
    assert (check.ranks, check.mig) == ({}, {})
    assert says in check.text
    assert ": not done, as " in check.text
    assert check.text.count(". ") == 0


def test_distances_that_are_equal_but_for_another_factor_are_adversarial_too():
    """The squares' contrast changes all distances along x alike; a grid with holes shows the same,
    and so does a sample.
    """
    data = squares(4)
    contrast = np.linspace(0.3, 1, 8)
    images = np.concatenate([(data.images(torch.arange(25)).numpy() / 255 * c) for c in contrast])
    labels = np.concatenate(
        [np.c_[data.factors.to_factors(torch.arange(25)).numpy(), np.full(25, c)] for c in contrast]
    )
    kept = np.random.default_rng(0).permutation(200)[:150]
    for rows, traversals in ((np.arange(200), 2_000), (np.arange(200), 20), (kept, 2_000)):
        table = LabelledImages(images[rows], labels[rows], ["x", "y", "contrast"])
        x, y, c = (
            diagnose(
                table, traversals=traversals, exact=False if traversals == 20 else None, radii=()
            )
            .losses[0]
            .factors
        )
        assert (x.verdict, y.verdict, c.verdict) == ("adversarial", "adversarial", "ordered")
        assert not x.adversarial
        assert "on average" in x.reason


def test_the_largest_beta_is_that_of_a_run_and_of_quadratic_losses_only():
    data = squares(4)
    mse, blur, mae = diagnose(data, ["mse", "box-blur", "mae"], radii=()).losses
    # 25 positions, each 32 squared grey values away from every other: a variance of 32 / 50 in each
    # direction, twice that, and in units of the std of the channel that has the square
    beta_sum = 2 * 32 / 50 / data.std[0] ** 2
    assert mse.largest_beta == pytest.approx(beta_sum * 9 / (24**2 * 3), rel=1e-5)
    spec = vd.RunSpec(beta=mse.largest_beta, latents=mse.latents)
    assert spec.beta_sum(data.shape) == pytest.approx(beta_sum, rel=1e-5)
    text = diagnose(data, radii=()).text()
    assert f"above a beta of about {mse.largest_beta:.3g} (RunSpec.beta), which is " in text
    assert f"which is {beta_sum:.3g} where the KL divergence is summed" in text
    assert blur.largest_beta == pytest.approx(
        vd.diagnosis.bounds.largest_beta(data, 9, loss="box-blur"), rel=1e-6
    )
    assert mae.largest_beta is None
    assert "above a beta" not in diagnose(data, "mae", radii=()).text()
    assert "\n\n\n" not in diagnose(data, ["mae", "mse"], radii=()).text()


def test_ordered_factors_need_no_advice():
    found = diagnose(squares(1))
    assert [f.verdict for f in found.losses[0].factors] == ["ordered"] * 2
    assert found.advice is None
    assert found.losses[0].factors[0].rank > 0.9


def ring(values=12):
    """Two pixels whose brightness goes round a circle: the last value is beside the first."""
    angle = 2 * np.pi * np.arange(values) / values
    return 0.5 + 0.5 * np.stack([np.cos(angle), np.sin(angle)], 1)[:, None]


def test_a_circle_is_called_a_circle():
    images = np.concatenate(
        [np.concatenate([ring(), np.full((12, 1, 1), light)], 2) for light in (0.2, 0.9)]
    )
    labels = np.stack([np.tile(np.arange(12), 2), np.repeat([0, 1], 12)], 1)
    angle, light = diagnose(LabelledImages(images, labels, ["angle", "light"])).losses[0].factors
    assert angle.verdict == "circular"
    assert angle.circle_rank > 0.95 > angle.rank + 0.2
    assert (light.verdict, light.circle_rank) == ("ordered", None)


def test_the_larger_distance_is_learned_first_and_equal_ones_together():
    data = XYSquares(image_size=24, square_size=4, grid_spacing=1, grid_size=5, num_squares=2)
    images = data.images(torch.arange(625)).numpy().copy()
    images[..., 1] //= 8
    report = diagnose(
        LabelledImages(
            images, data.factors.to_factors(torch.arange(625)).numpy(), data.factors.names
        )
    ).losses[0]
    assert [f.learning_order for f in report.factors] == [1, 1, 3, 3]
    assert "expect it late" in report.factors[2].reason
    assert report.factors[2].share < 0.05 < report.factors[0].share


def test_a_table_that_is_a_grid_says_what_the_data_set_says():
    data = squares(2)
    table = as_table(data, torch.randperm(25, generator=torch.Generator().manual_seed(0)))
    assert table.grid
    for ours, theirs in zip(
        diagnose(table).losses[0].factors, diagnose(data).losses[0].factors, strict=True
    ):
        assert ours.importance == pytest.approx(theirs.importance, rel=1e-12)
        assert (ours.rank, ours.verdict) == (pytest.approx(theirs.rank), theirs.verdict)


def test_a_part_of_a_grid_is_judged_by_the_pairs_it_has():
    data = squares(1)
    kept = torch.tensor([i for i in range(25) if i not in (0, 7, 13, 24)])
    found = diagnose(as_table(data, kept))
    assert not found.grid
    x = data.images(kept)[..., 0].double() / 255
    factors = data.factors.to_factors(kept)
    for f, report in enumerate(found.losses[0].factors):
        pairs = [
            float((x[i] - x[j]).square().mean()) / 3
            for i in range(len(kept))
            for j in range(i)
            if factors[i, 1 - f] == factors[j, 1 - f]
        ]
        assert report.importance == pytest.approx(np.mean(pairs), rel=1e-12)
        assert report.exact
        assert report.verdict == "ordered"


def test_a_sample_says_its_error_and_keeps_to_it():
    rng = np.random.default_rng(0)
    labels = np.stack([np.repeat(np.arange(300), 4), np.tile(np.arange(4), 300)], 1)[
        :-1
    ]  # one image short of a grid
    contrast = rng.uniform(0.1, 1, 300)[labels[:, 0]]
    table = LabelledImages(
        contrast[:, None, None] * labels[:, 1, None, None] / 3 * np.ones((2, 2)),
        labels,
        ["contrast", "light"],
    )
    (whole,), (part,) = (
        [
            f
            for f in diagnose(table, traversals=t, radii=()).losses[0].factors
            if f.factor == "light"
        ]
        for t in (10_000, 40)
    )
    assert (part.exact, part.traversals, whole.exact, whole.traversals) == (False, 40, True, 300)
    assert 0 < part.importance_error < part.importance / 2
    assert abs(part.importance - whole.importance) < 3 * part.importance_error
    assert whole.importance_error == 0
    assert "±" in part.cells()[2]
    assert "±" not in whole.cells()[2]


class Outside(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.addresses, self.alts = [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.addresses += [values[k] for k in ("src", "href") if k in values]
        self.alts += [values.get("alt")] if tag == "img" else []


def test_the_page_asks_for_nothing_from_outside_and_the_json_has_no_nan(tmp_path):
    data = squares(4)
    table = as_table(data, torch.tensor([0, 1, 7, 12, 13]))
    table.name = "<mine> & yours"
    found = diagnose(table, ["mse", "mae"])
    save(found, html=tmp_path / "a.html", json_file=tmp_path / "a.json")
    text = (tmp_path / "a.html").read_text()
    seen = Outside()
    seen.feed(text)
    assert len(seen.addresses) == 2
    assert all(address.startswith("data:image/png;base64,") for address in seen.addresses)
    assert all("Matrices of distances" in alt for alt in seen.alts)
    assert "&lt;mine&gt; &amp; yours" in text
    assert "<mine>" not in text
    assert "url(" not in text
    plain = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert plain["losses"][0]["verdict"] == found.losses[0].verdict
    assert plain["losses"][0]["factors"][0]["importance"] == found.losses[0].factors[0].importance
    assert None in np.array(plain["losses"][0]["factors"][0]["matrix"], object)


def test_the_command_goes_from_a_file_to_a_report(tmp_path, capsys):
    data = squares(4)
    np.savez(
        tmp_path / "mine.npz",
        images=data.images(torch.arange(25)).numpy(),
        factors=data.factors.to_factors(torch.arange(25)).numpy(),
    )
    words = [
        "diagnose",
        str(tmp_path / "mine.npz"),
        "--names",
        "x,y",
        "--blur",
        "8",
        "--loss",
        "mse",
        "--html",
        str(tmp_path / "r.html"),
    ]
    assert cli.main(words) == 0
    out, err = capsys.readouterr()
    assert "mine: 25 images of 24×24×3, a full grid" in out
    assert " would order what MSE does not" in out
    assert f"    data = vd.read_images({str(tmp_path / 'mine.npz')!r}, names=['x', 'y'])" in out
    assert "written:" in err
    assert (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["none.npz"], "the data sets are: xysquares, dsprites, shapes3d, cars3d, smallnorb, "),
        (["coordinates"], "coordinates have no pixels to diagnose; name the data set whose"),
        (["xysquares", "--loss", "ssim"], "Unknown loss 'ssim'"),
        (["xysquares", "--html", "nowhere/a.html"], "there is no folder"),
        (["xysquares", "--blur", "-1"], "radius must be a whole number"),
        (["xysquares", "--traversals", "0"], "traversals must be a whole number of at least 1"),
        (["xysquares", "--pairs", "99"], "pairs must be a whole number of at least 100, not 99"),
        (["xysquares", "--sizes", "2,3"], "a data set with factors of its own; leave --sizes out"),
        (["xysquares", "--images", "x"], "a data set with factors of its own; leave --images out"),
    ],
)
def test_bad_requests_are_one_sentence(words, says, capsys):
    assert cli.main(["diagnose", *words]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"losses": []}, "losses must name at least one loss"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"radii": 0.5}, "a radius must be a whole number of at least 1, not 0.5"),
        ({"radii": "12"}, "a radius must be a whole number of at least 1, not '1'"),
        ({"data": XYSquares(grid_size=1)}, "no factor of 'xysquares' has more than one value"),
    ],
)
def test_bad_arguments_are_one_sentence(options, says):
    with pytest.raises(ValueError, match=says):
        diagnose(**{"data": squares(4), **options})


def test_fewer_pairs_change_what_random_pairs_say_and_nothing_else():
    data = squares(4)
    compared = [0]

    def loss(a, b):
        compared[-1] += len(a)
        return (a - b).square().mean((1, 2, 3))

    few = diagnose(data, loss, radii=(), pairs=100).losses[0]
    compared.append(0)
    many = diagnose(data, loss, radii=(), pairs=10_000).losses[0]
    assert compared[1] - compared[0] > 9_000
    assert few.random_mean != many.random_mean
    assert few.random_mean == pytest.approx(many.random_mean, rel=0.2)
    assert few.largest_beta == many.largest_beta
    assert [f.importance for f in few.factors] == [f.importance for f in many.factors]


def test_one_radius_needs_no_list():
    ranks = diagnose(squares(4), radii=3).advice.ranks
    assert ranks == diagnose(squares(4), radii=[3]).advice.ranks
    assert "box blur of radius 3" in ranks


def test_print_shows_one_screen_and_text_has_all():
    data = XYSquares(image_size=24, square_size=4, grid_spacing=4, grid_size=5)
    found = diagnose(data, ["mse", "mae", "box-blur"])
    lines = str(found).splitlines()
    assert len(lines) == 40
    # prose is wrapped, a row of a table is not
    assert max(len(line) for line in lines if "  " not in line.strip()) <= 100
    assert lines[-1].endswith("more lines: print(diagnosis.text())")
    assert lines[:4] == found.text().splitlines()[:4]
    labels = [(i // 5, i % 5) for i in range(25)]
    names = ["a factor with a name", "a factor with another name"]
    wide = diagnose(LabelledImages(squares(2).images(range(25)), labels, names), radii=())
    rows = [line for line in str(wide).splitlines() if line.startswith("  a factor")]
    assert [len(row) > 100 and row.endswith("ordered") for row in rows] == [True, True]
    # one loss is shown whole, wrapped, but for the code
    one = diagnose(data, radii=8)
    whole = one.text().partition("    import vaedis")[0].split()
    assert str(one).split()[: len(whole)] == whole
    assert str(one).endswith("print(diagnosis.advice.code)  # lines that train a VAE under it")


@pytest.mark.parametrize("kind", ["continuous", "attributes", "time"])
def test_what_was_not_measured_is_never_praised(kind):
    rng = np.random.default_rng(0)
    labels = {
        "continuous": rng.uniform(-1, 1, (60, 4)),
        "attributes": rng.choice([-1, 1], (60, 40)),
        "time": np.c_[np.arange(60), np.arange(60)],
    }[kind]
    noise = rng.integers(0, 256, (60, 6, 6)).astype(np.uint8)
    found = diagnose(LabelledImages(noise, labels))
    (report,) = found.losses
    assert report.factors == ()
    assert report.unpaired == LabelledImages(noise, labels).factors.names
    assert "nothing can be said of any factor" in report.verdict
    assert "no two images differ in it alone" in found.text()
    assert "rank within" not in found.text()
    assert not found.measured


def test_a_factor_that_changes_nothing_is_invisible_though_some_values_are_never_paired():
    labels = np.array([(0, 0), (1, 0), (0, 1), (1, 1), (2, 2)])
    images = (labels[:, 1] / 2)[:, None, None] * np.ones((5, 3, 3))
    for loss in ("mse", "mae"):
        found = (
            diagnose(LabelledImages(images, labels, ["nothing", "light"]), loss).losses[0].factors
        )
        assert {f.factor: f.verdict for f in found}["nothing"] == "invisible"


@pytest.mark.parametrize("loss", ["mse", "mae", "bce", "box-blur"])
def test_a_factor_that_changes_no_pixel_is_invisible_whatever_its_number_of_values(loss, tmp_path):
    levels = np.repeat([0.2, 0.4, 0.7, 0.9], 6)
    labels = np.stack(
        [
            np.repeat(np.arange(4), 6),
            np.tile(np.repeat(np.arange(2), 3), 4),
            np.tile(np.arange(3), 8),
        ],
        1,
    )
    for rows in (np.arange(24), np.r_[np.arange(24), 0]):
        table = LabelledImages(
            (levels[:, None, None] * np.ones((24, 3, 3)))[rows],
            labels[rows],
            ["light", "two", "three"],
        )
        found = diagnose(table, loss)
        assert [f.verdict for f in found.losses[0].factors] == ["ordered", "invisible", "invisible"]
        assert [f.visible for f in found.losses[0].factors] == [True, False, False]
        assert (
            "ordered along a line: light; invisible (no image changes with it): two, three."
            in found.losses[0].verdict
        )
        # no blur makes two of images that are one
        assert found.advice is None
        assert (
            "two, three: Images that differ in it alone look the same to the loss: no VAE can find it."
            in found.text()
        )
        assert "never" in found.text()
    save(found, html=tmp_path / "a.html", json_file=tmp_path / "a.json")
    assert '<td class="bad">invisible</td>' in (tmp_path / "a.html").read_text()
    assert (
        json.loads((tmp_path / "a.json").read_text())["losses"][0]["factors"][1]["verdict"]
        == "invisible"
    )


def test_images_that_are_all_alike_and_radii_of_any_integer_type_can_be_written(tmp_path):
    blank = diagnose(LabelledImages(np.zeros((4, 3, 3)), np.arange(4)))
    save(blank, json_file=tmp_path / "a.json", html=tmp_path / "a.html")
    (factor,) = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)["losses"][
        0
    ]["factors"]
    assert (factor["verdict"], factor["share"], factor["importance"]) == ("invisible", None, 0.0)
    assert "nan" not in blank.text()
    found = diagnose(squares(4), radii=np.array([2, 8], np.uint8))
    save(found, json_file=tmp_path / "b.json")
    plain = json.loads((tmp_path / "b.json").read_text())
    assert plain["advice"]["ranks"]["box blur of radius 2"].keys() == {"x_R", "y_R"}
    assert plain["advice"]["code"] == found.advice.code


def two_names_of_one(tmp_path):
    """Of size and colour, which always agree, and position only position varies alone."""
    labels = np.array([(a, a, b) for a in range(4) for b in range(3)])
    bars = np.zeros((12, 8, 8), np.uint8)
    for bar, (a, _, b) in zip(bars, labels, strict=True):
        bar[: a + 1] = 100
        bar[:, : b + 1] += 50
    np.savez(
        tmp_path / "bars.npz", images=bars, factors=labels, factor_names=["size", "colour", "pos"]
    )
    return tmp_path / "bars.npz"


def test_the_sentence_the_json_and_the_exit_status_say_that_a_factor_was_not_measured(
    tmp_path, capsys
):
    path = two_names_of_one(tmp_path)
    words = [
        "diagnose",
        str(path),
        "--json",
        str(tmp_path / "a.json"),
        "--html",
        str(tmp_path / "a.html"),
    ]
    assert cli.main(words) == 3
    sentence = "line: pos; not measured: size, colour (no two images differ in it alone)"
    assert sentence in capsys.readouterr().out
    assert (
        "<b>size, colour</b>: no two images differ in it alone" in (tmp_path / "a.html").read_text()
    )
    plain = json.loads((tmp_path / "a.json").read_text())
    (loss,) = plain["losses"]
    assert (plain["measured"], loss["measured"], loss["unpaired"]) == (
        False,
        False,
        ["size", "colour"],
    )
    assert loss["kinds"] == {"ordered": ["pos"], "not measured": ["size", "colour"]}
    assert loss["factors"][0]["within"] == {"mean": 1.0, "sd": 0.0, "traversals": 4, "flat": 0}


def test_an_order_that_no_three_images_tell_is_not_measured():
    # each other value pairs two of the four shades
    labels = np.array(
        [(k, value) for k, pair in enumerate(itertools.combinations(range(4), 2)) for value in pair]
    )
    images = (labels[:, 1, None, None] / 4 * np.ones((3, 3)) * 255).astype(np.uint8)
    report = diagnose(LabelledImages(images, labels, ["group", "shade"])).losses[0]
    shade = report.factors[-1]
    assert (shade.verdict, shade.within.mean) == ("not measured", None)
    assert shade.importance > 0
    assert not report.measured
    assert "no three of its values come together" in report.verdict


def test_a_factor_that_is_flat_in_most_traversals_is_ordered_in_part_only():
    labels = np.array(list(itertools.product(range(5), range(4))))
    steps = np.eye(16)[labels[:, 1] * 4]
    steps[labels[:, 0] == 0] = (np.arange(16) < labels[labels[:, 0] == 0, 1:] * 4) * 0.5
    report = diagnose(
        LabelledImages(steps.reshape(20, 4, 4), labels, ["kind", "step"]), radii=()
    ).losses[0]
    (step,) = (f for f in report.factors if f.factor == "step")
    assert (step.verdict, step.within.mean, step.within.traversals, step.within.flat) == (
        "partly ordered",
        1.0,
        1,
        4,
    )
    assert "in 4 of 5 traversals all values look equally far apart" in step.reason


def test_cross_entropy_and_gaps_do_not_make_an_invisible_factor_adversarial():
    levels = np.repeat([0.2, 0.4, 0.7, 0.9], 6)
    labels = np.stack([np.repeat(np.arange(4), 6), np.tile(np.arange(6), 4)], 1)
    for rows in (np.delete(np.arange(24), [1, 8, 20]), np.arange(0, 24, 2)[:-1]):
        table = LabelledImages(
            (levels[:, None, None] * np.ones((24, 3, 3)))[rows], labels[rows], ["light", "nothing"]
        )
        for loss in ("bce", "mse"):
            found = {f.factor: f.verdict for f in diagnose(table, loss).losses[0].factors}
            assert found["nothing"] == "invisible"


def test_circles_and_lines_are_told_apart_within_traversals():
    # the contrast of the ring differs by traversal, so that pooled pairs are out of order
    images = np.concatenate([ring() * light for light in (0.1, 0.4, 1)])
    labels = np.stack([np.tile(np.arange(12), 3), np.repeat([0, 1, 2], 12)], 1)
    angle = (
        diagnose(LabelledImages(images, labels, ["angle", "light"]), radii=()).losses[0].factors[0]
    )
    assert angle.circle_rank < 0.8 < 0.95 < angle.within_circle.mean
    assert angle.verdict == "circular"


def test_advice_rests_on_order_within_traversals():
    data = squares(4)
    images = np.concatenate(
        [data.images(torch.arange(25)).numpy() / 255 * light for light in (0.25, 0.5, 1)]
    )
    labels = np.concatenate(
        [np.c_[data.factors.to_factors(torch.arange(25)).numpy(), np.full(25, k)] for k in range(3)]
    )
    table = LabelledImages(images, labels, ["x", "y", "light"])
    advice = diagnose(table, radii=(1, 8)).advice
    assert advice.factors == ("x", "y")
    blurred = vd.distances.factor_distances(
        table, vd.losses.get("box-blur", radius=8), factors=["x"]
    )["x"]
    assert blurred.agreement().rank < 0.8 < blurred.within.mean
    assert advice.ranks["box blur of radius 8"]["x"] == blurred.within.mean


def blurred_far(a, b):
    return vd.losses.BoxBlur(radius=8).distance(a, b)


@pytest.mark.parametrize(
    ("shades", "says"),
    [([0, 99], "no factor has more than two values"), ([7, 7, 7], "no two images differ")],
)
def test_a_check_of_nothing_says_so(shades, says):
    images = np.array(shades, np.uint8)[:, None, None] * np.ones((8, 8), np.uint8)
    (checked,) = diagnose((images, np.arange(len(shades))[:, None]), radii=(), check=True).checks
    assert f"not done, as {says}" in checked.text
    assert checked.ranks == {}


def test_a_remedy_of_another_weight_is_told_from_the_loss_that_was_given():
    no_blur = vd.losses.BoxBlur(radius=8, weight=0)
    report = diagnose(squares(4), ["mse", no_blur], radii=8)
    ranks = report.advice.ranks
    first, second = "box blur of radius 8", "box blur of radius 8 (2)"
    assert [name for name in ranks if name.startswith("box")] == [first, second]
    assert len(ranks) == 4
    assert ranks[first] == {"x_R": None, "y_R": None}
    blur = diagnose(squares(4), vd.losses.BoxBlur(radius=8), radii=()).losses[0]
    assert ranks[second] == {f.factor: f.within.mean for f in blur.factors}
    lowest = min(ranks[report.advice.loss].values())
    assert f"what MSE does not (rank correlation {lowest:.2f} or more)" in report.advice.text


def test_a_loss_that_was_given_is_not_tried_again():
    # too small a blur: the squares are 2 pixels apart
    data = XYSquares(image_size=24, square_size=2, grid_spacing=4, grid_size=5, num_squares=1)
    blur = vd.losses.BoxBlur(radius=1)
    alone = diagnose(data, blur, radii=(1, 1)).advice
    assert list(alone.ranks) == ["Gaussian blur of sigma 0.5", "pyramid of 2 levels"]
    assert "none of 2 other losses" in alone.text
    beside = diagnose(data, ["mse", blur], radii=1).advice
    assert list(beside.ranks) == ["box blur of radius 1", *alone.ranks]


def test_losses_of_one_name_are_told_apart():
    worse, better = (
        lambda a, b: (a - b).square().mean((1, 2, 3)),
        lambda a, b: vd.losses.BoxBlur(radius=8).distance(a, b),
    )
    for losses in (["mse", better, worse], ["mse", worse, better]):
        report = diagnose(squares(4), losses, radii=())
        assert [one.loss for one in report.losses] == ["MSE", "<lambda>", "<lambda> (2)"]
        advised = f"<lambda>{' (2)' if losses[2] is better else ''}"
        assert report.advice.loss == advised
        assert list(report.advice.ranks) == ["<lambda>", "<lambda> (2)"]
        (good,) = (one for one in report.losses if one.loss == advised)
        ranks = {factor.factor: factor.within.mean for factor in good.factors}
        assert report.advice.ranks[advised] == ranks
        assert (
            f"{advised} would order what MSE does not (rank correlation 0.9" in report.advice.text
        )
        assert f"# loss is '{advised}'," in report.advice.code


def test_a_column_that_numbers_the_images_is_named_where_nothing_can_be_said():
    index = np.arange(24)
    images = np.random.default_rng(0).integers(0, 255, (24, 8, 8), dtype=np.uint8)
    labels = {"size": index % 4, "place": index // 4}
    assert diagnose(LabelledImages(images, labels)).measured
    (report,) = diagnose(LabelledImages(images, labels | {"id": index})).losses
    because = ", as no value of id comes twice; round such labels, or leave them out"
    assert report.why_unpaired == {
        "size": f"no two images differ in it alone{because}",
        "place": f"no two images differ in it alone{because}",
        "id": "no two images differ in it alone",
    }


def test_a_loss_is_advised_as_it_is_measured_in_full():
    # of 40 traversals 32 are ordered by blur, which some samples of 24 take for too few
    labels = np.array([(place, other) for place in range(6) for other in range(40)])
    images = np.zeros((240, 16, 16))
    for image, (place, other) in zip(images, labels, strict=True):
        if other < 32:
            image[4:6, 2 * place : 2 * place + 2] = 1
        else:
            image[:] = np.random.default_rng(100 + place).random((16, 16))
        image[0] += other / 400
    for copies in (1, 3):  # more images than are tried in full
        data = LabelledImages(np.repeat(images, copies, 0), np.repeat(labels, copies, 0))
        for seed in range(3):
            advice = diagnose(data, radii=4, pairs=300, seed=seed).advice
            if advice.loss is None:
                assert copies == 3
                continue
            assert advice.loss == "box blur of radius 4"
            box_blur = vd.losses.BoxBlur(radius=4)
            (report,) = diagnose(data, box_blur, radii=(), pairs=300, seed=seed).losses
            assert report.factors[0].visible
            rank = report.factors[0].within.mean
            assert advice.ranks[advice.loss]["factor_0"] == rank
            assert f"(rank correlation {rank:.2f} or more)" in advice.text
