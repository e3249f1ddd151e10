"""Images in the forms that people have: floats keep their resolution, whatever their range, and
bytes are exact.
"""

import math

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis.data import LabelledImages

LABELS = [(a, b) for a in range(3) for b in range(4)]
BYTES = np.random.default_rng(0).integers(0, 256, (12, 8, 8)).astype(np.uint8)
FLOATS = np.random.default_rng(1).random((12, 8, 8)).astype(np.float32)


def heat_maps(n=8, spread=1.5):
    """Images that sum to 1: a Gaussian spot of `spread` pixels at each of n × n centres, 3 pixels
    apart.
    """
    centres = 6 + 3 * np.arange(n)
    at = np.exp(-0.5 * ((np.arange(3 * n + 9) - centres[:, None]) / spread) ** 2)
    at /= at.sum(1, keepdims=True)
    return np.einsum("iy,jx->ijyx", at, at).reshape(n * n, 3 * n + 9, 3 * n + 9), at


@pytest.mark.parametrize(
    "images",
    [
        torch.from_numpy(BYTES),
        list(BYTES),
        BYTES.tolist(),
        list(torch.from_numpy(BYTES)),
        torch.from_numpy(BYTES)[:, None],
        BYTES[..., None],
        BYTES.astype(np.int64),
        BYTES.astype(">u2"),
        torch.from_numpy(BYTES).int(),
    ],
)
def test_bytes_of_every_form_are_the_same_images(images):
    data = LabelledImages(images, LABELS)
    assert (data.shape, data.dtype, data.pixel_range, data.notes) == (
        (8, 8, 1),
        torch.uint8,
        (0.0, 1.0),
        (),
    )
    assert np.array_equal(data.images(torch.arange(12))[..., 0], BYTES)


@pytest.mark.parametrize(
    ("images", "wanted"),
    [
        (torch.from_numpy(FLOATS), FLOATS),
        (torch.from_numpy(FLOATS).requires_grad_(), FLOATS),
        (torch.from_numpy(FLOATS)[:, None], FLOATS),
        (FLOATS.tolist(), FLOATS),
        (FLOATS.astype(np.float64), FLOATS),
        (FLOATS.astype(">f4"), FLOATS),
        (FLOATS.astype(np.float16), FLOATS.astype(np.float16)),
        (torch.from_numpy(FLOATS).bfloat16(), torch.from_numpy(FLOATS).bfloat16().float().numpy()),
        (255 * FLOATS, 255 * FLOATS),
        (2 * FLOATS - 1, 2 * FLOATS - 1),
        (1e30 * FLOATS, 1e30 * FLOATS),
        (np.float32(1e-40) * FLOATS, np.float32(1e-40) * FLOATS),
    ],
)
def test_floats_of_every_form_and_range_are_kept_as_they_are(images, wanted):
    data = LabelledImages(images, LABELS)
    read = data.images(torch.arange(12))
    assert read.dtype == data.dtype == torch.float32
    assert np.array_equal(read[..., 0], wanted.astype(np.float32))
    assert data.pixel_range == (wanted.min(), wanted.max())
    assert data.notes[0].startswith(
        f"Pixels are floats of {wanted.min():.4g} to {wanted.max():.4g}, measured as they are"
    )
    observations = data.observations(torch.arange(12), normalize=False)
    assert np.array_equal(observations[:, 0], wanted.astype(np.float32))


@pytest.mark.parametrize(
    ("shape", "is_tensor", "wanted"),
    [
        ((6, 3, 5, 7), True, (5, 7, 3)),
        ((6, 3, 5, 7), False, (5, 7, 3)),
        ((6, 5, 7, 3), True, (5, 7, 3)),
        ((6, 1, 1, 20), False, (1, 20, 1)),
        ((6, 3, 2, 4), True, (2, 4, 3)),
        ((6, 3, 2, 4), False, (3, 2, 4)),
    ],
)
def test_channels_may_come_second(shape, is_tensor, wanted):
    images = np.arange(math.prod(shape), dtype=np.float32).reshape(shape)
    data = LabelledImages(torch.from_numpy(images) if is_tensor else images, np.arange(6))
    assert data.shape == wanted
    right = images if wanted == shape[1:] else np.moveaxis(images, 1, -1)
    assert np.array_equal(data.images(torch.arange(6)), right)


def test_distances_do_not_depend_on_where_channels_are():
    images = np.random.default_rng(2).integers(0, 256, (12, 3, 5, 6)).astype(np.uint8)
    for given in (images, images / 255):
        first = vd.distances.traversal_matrices(
            LabelledImages(torch.from_numpy(given), LABELS), normalize=True
        )
        last = vd.distances.traversal_matrices(
            LabelledImages(np.ascontiguousarray(np.moveaxis(given, 1, -1)), LABELS), normalize=True
        )
        assert all(np.array_equal(first[name], last[name]) for name in last)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-38, 0.9e30])
def test_tiny_and_huge_floats_have_the_verdicts_of_others(scale):
    levels = np.repeat(np.arange(1, 5), 3)[:, None, None] * np.ones((8, 8)) + np.tile(
        np.arange(3), 4
    )[:, None, None] * np.eye(8)
    losses = ["mse", "mae", "box-blur", "pyramid"]
    wanted = vd.diagnose((levels / 8, LABELS), losses)
    scaled = vd.diagnose(((levels / 8).astype(np.float32) * np.float32(scale), LABELS), losses)
    for one, other in zip(wanted.losses, scaled.losses, strict=True):
        assert [f.verdict for f in one.factors] == [f.verdict for f in other.factors]
        np.testing.assert_allclose(
            [f.share for f in one.factors], [f.share for f in other.factors], rtol=1e-5
        )


@pytest.mark.parametrize("scale", [1.0, 1e-20, 1e20])
def test_heat_maps_that_sum_to_1_have_the_distances_of_their_closed_form(scale):
    images, at = heat_maps()
    data = LabelledImages(
        (scale * images).astype(np.float32),
        [(y, x) for y in range(8) for x in range(8)],
        ["y", "x"],
    )
    # mean over pixels of (a_y b_x - a_y b_x')² = |a_y|² |b_x - b_x'|² / pixels, averaged over y
    apart = np.square(at[:, None] - at).sum(2)
    wanted = scale**2 * np.square(at).sum(1).mean() * apart / images[0].size
    matrices = vd.distances.traversal_matrices(data)
    for matrix in matrices.values():
        np.testing.assert_allclose(matrix, wanted, rtol=1e-5, atol=1e-9 * wanted.max())
    factors = vd.diagnose(data, radii=()).losses[0].factors
    assert [factor.verdict for factor in factors] != ["invisible"] * 2
    assert factors[0].importance == pytest.approx(wanted[~np.eye(8, dtype=bool)].mean(), rel=1e-5)


@pytest.mark.parametrize("loss", ["mse", "mae", "box-blur", "pyramid"])
@pytest.mark.parametrize("normalize", [False, True])
def test_distances_of_floats_are_the_loss_of_each_pair(loss, normalize):
    images = 30 * FLOATS - 10
    data = LabelledImages(images, LABELS, ["a", "b"])
    loss = vd.losses.get(loss)
    x = torch.from_numpy(images).double()[:, None].unflatten(0, (3, 4))
    if normalize:
        x = (x - data.mean[0]) / data.std[0]
    wanted = torch.stack(
        [torch.stack([loss.distance(x[:, i], x[:, j]).mean() for j in range(4)]) for i in range(4)]
    )
    matrix = vd.distances.traversal_matrices(data, loss, normalize=normalize)["b"]
    np.testing.assert_allclose(matrix, wanted, rtol=1e-9, atol=1e-12 * float(wanted.max()))
    pair = vd.distances.perceived(data, [0], [7], loss=loss, normalize=normalize)
    assert float(pair[0]) == pytest.approx(float(loss.distance(x[0, 0], x[1, 3])), rel=1e-9)
    if not normalize and loss.quadratic:
        every = x.flatten(0, 1)
        mean = torch.stack([loss.distance(a, b) for a in every for b in every]).mean()
        assert vd.distances.random_pairs(data, loss).mean == pytest.approx(float(mean), rel=1e-9)


def test_floats_that_are_shares_of_255_have_the_distances_of_the_bytes():
    exact = vd.distances.traversal_matrices(LabelledImages(BYTES, LABELS))
    floats = vd.distances.traversal_matrices(LabelledImages(BYTES / 255, LABELS))
    for name, matrix in exact.items():
        np.testing.assert_allclose(floats[name], matrix, rtol=1e-6)


def test_the_constants_of_floats_are_in_their_own_unit():
    for scale, offset in ((1.0, 0.0), (1e-20, 0.0), (30.0, -10.0)):
        images = (scale * FLOATS + offset).astype(np.float32)
        data = LabelledImages(images, LABELS)
        wide = images.astype(float)
        assert data.mean[0] == pytest.approx(wide.mean(), rel=1e-6)
        assert data.std[0] == pytest.approx(wide.reshape(12, -1).std(1, ddof=1).mean(), rel=1e-6)
        observations = data.observations(torch.arange(12)).double()
        assert float(observations.mean()) == pytest.approx(0, abs=1e-5)
        assert float(observations.flatten(1).std(1).mean()) == pytest.approx(1, rel=1e-5)
        assert torch.allclose(
            data.denormalize(observations)[:, 0],
            torch.from_numpy(wide),
            rtol=1e-5,
            atol=1e-6 * np.abs(wide).max(),
        )


@pytest.mark.parametrize(
    "images",
    [
        2 * FLOATS - 1,
        1.1 * FLOATS - 0.05,
        255 * FLOATS,
        np.where(FLOATS.max() == FLOATS, np.float32(1.0000001), FLOATS),
        torch.from_numpy(3 * FLOATS),
    ],
)
def test_cross_entropy_refuses_other_ranges_with_advice_that_mends_it(images):
    labels = np.array(LABELS)
    data = LabelledImages(images, labels)
    assert vd.diagnose(data, ["mse", "mae"], radii=()).losses[0].random_mean > 0
    options = {"model": "mlp", "model_options": {"hidden": []}, "framework": "beta-vae"}
    spec = vd.RunSpec(loss="bce", latents=2, steps=2, batch=4, **options)
    for call in (
        lambda: vd.diagnose(data, "bce", radii=()),
        lambda: vd.fit(spec, data=data, device="cpu"),
        lambda: vd.fit([spec], data=data, device="cpu"),
        lambda: vd.distances.perceived(data, [0], [1], loss="bce"),
    ):
        says = r"the loss 'bce' needs pixels in \[0, 1\], but those of 'table' run from"
        with pytest.raises(ValueError, match=says) as problem:
            call()
    advice = str(problem.value).split("rescale them with ")[1].split(", or choose")[0]
    mended = eval(advice, {"images": images}).clip(0, 1)
    assert float(abs(mended - eval(advice, {"images": images})).max()) < 1e-6
    assert np.isfinite(vd.diagnose((mended, labels), "bce", radii=()).losses[0].random_mean)


def test_one_pixel_that_no_sample_holds_is_refused_by_cross_entropy_too():
    images = np.zeros((5_000, 1, 2), np.float32)
    images[:, 0, 0] = np.arange(5_000) % 2
    data = LabelledImages(images, np.arange(5_000))
    missed = min(set(range(5_000)) - set(data._sample().tolist()))
    images[missed, 0, 1] = 3
    with pytest.raises(ValueError, match=r"run from 0 to 3; rescale them with \(images - 0\) / 3"):
        data.need_unit_range("bce")
    assert "in 4,096 of the images" in data.notes[0]


class Bars(vd.FactorData):
    """Images of floats of which one, that no look at a thousand sees, leaves [0, 1]."""

    name, dtype = "bars", torch.float32
    factors, shape = vd.FactorSpace(("x", "y"), (50, 60)), (1, 4, 1)

    def _images(self, index):
        images = (index[:, None] / 3_000 * torch.linspace(0.2, 1, 4)).clone()
        images[index == 2501] += 0.6
        return images.view(-1, *self.shape)


@pytest.mark.parametrize(
    "measure",
    [
        lambda data: vd.distances.factor_distances(data, "bce"),
        lambda data: vd.distances.rank_losses(data, ["mse", "bce"]),
        lambda data: vd.distances.perceived(data, [0, 1], [2501, 2], loss="bce"),
        lambda data: vd.diagnose(data, "bce", radii=()),
    ],
)
def test_an_image_that_leaves_the_range_is_refused_where_it_is_compared(measure):
    data = Bars()
    data.need_unit_range("bce")
    with pytest.raises(
        ValueError, match=r"needs pixels in \[0, 1\], but some of 'bars' lie outside"
    ):
        measure(data)
    assert vd.distances.perceived(data, [0], [1], loss="bce").isfinite()


@pytest.mark.parametrize(
    "images", [BYTES.astype(np.int16) - 128, torch.from_numpy(BYTES).int() * 10]
)
def test_other_whole_numbers_are_refused(images):
    says = r"whole numbers of -?\d+ to \d+, but bytes run from 0 to 255; give floats"
    with pytest.raises(ValueError, match=says):
        LabelledImages(images, LABELS)


@pytest.mark.parametrize(
    ("scale", "offset"), [(1e300, 0.0), (2e30, 0.0), (1e-60, 0.0), (1.0, 1e9), (1e39, -1e38)]
)
def test_floats_that_float32_cannot_hold_are_refused_with_advice_that_mends_it(scale, offset):
    images = scale * FLOATS.astype(np.float64) + offset
    with pytest.raises(ValueError, match="which float32 cannot hold") as problem:
        LabelledImages(images, LABELS)
    advice = str(problem.value).split("rescale them with ")[1].removesuffix(".")
    data = LabelledImages(eval(advice, {"images": images}), LABELS)
    assert np.ptp(data.images(torch.arange(12)).numpy()) > 0.5


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (BYTES[:0], "There must be at least two images to compare, not 0"),
        (BYTES[:1], "There must be at least two images to compare, not 1"),
        (
            [BYTES[0], *BYTES[1:, :4]],
            r"one shape and type, not \(8, 8\) of uint8 and \(4, 8\) of ui",
        ),
        ([torch.zeros(2, 2), torch.zeros(2, 3)], "images must have one shape and type"),
        ([*BYTES[:6], *FLOATS[6:]], "not .* of uint8 and .* of float32"),
        (["a.png"] * 12, r"images must have the shape .* not \(12,\)"),
        (np.array([["a"]] * 12)[..., None], "must hold bytes, truth values or floats, not <U1"),
        (np.zeros((3, 2, 2), complex), "must hold bytes, truth values or floats, not complex128"),
        (BYTES[:, 0], r"images must have the shape \(n, height, width\), .* not \(12, 8\)"),
        (np.zeros((12, 8, 8, 9)), r"1 to 4 channels.* not \(12, 8, 8, 9\)"),
        (np.ma.masked_equal(BYTES, 5), r"must not be masked; use images\.filled\(0\)"),
        (
            np.where(np.arange(12)[:, None, None] == 7, np.nan, FLOATS),
            "Image 7 has pixels that are",
        ),
        (
            np.where(np.arange(12)[:, None, None] == 7, np.inf, FLOATS),
            "Image 7 has pixels that are",
        ),
    ],
)
def test_images_that_are_none_are_one_sentence(images, says):
    with pytest.raises(ValueError, match=says):
        LabelledImages(images, np.arange(len(images)))


def test_pictures_are_read_and_palettes_refused():
    pillow = pytest.importorskip("PIL.Image")
    pictures = [pillow.fromarray(image) for image in BYTES]
    assert np.array_equal(LabelledImages(pictures, LABELS).images(torch.arange(12))[..., 0], BYTES)
    with pytest.raises(ValueError, match="images hold places in a palette"):
        LabelledImages([picture.convert("P") for picture in pictures], LABELS)


def test_rows_of_hdf5_files_are_read_in_any_order_and_number(tmp_path):
    h5py = pytest.importorskip("h5py")
    images = np.random.default_rng(0).integers(2, 256, (5_000, 2, 5, 1)).astype(np.uint8)
    order = np.random.default_rng(1).permutation(5_000)
    with h5py.File(tmp_path / "mine.h5", "w") as file:
        file["images"] = images[order]
        file["chw"] = np.moveaxis(images[order], -1, 1) / 255
        data = LabelledImages(file["images"], np.stack([order // 100, order % 100], 1))
        assert np.array_equal(data.images(torch.tensor([4_999, 3, 3])), images[[4_999, 3, 3]])
        floats = LabelledImages(file["chw"], np.stack([order // 100, order % 100], 1))
        assert np.array_equal(
            floats.images(torch.tensor([4_999, 3])), (images[[4_999, 3]] / 255).astype(np.float32)
        )


def test_networks_train_on_floats_of_any_range_and_show_what_they_make_of_them():
    images = 200 * FLOATS - 100
    spec = vd.RunSpec(model="mlp", model_options={"hidden": [8]}, latents=2, steps=3, batch=6)
    run = vd.fit(spec, data=(images, LABELS), device="cpu")
    shifted = vd.fit(spec, data=(images / 2 + 7, LABELS), device="cpu")
    # normalized images have no unit
    np.testing.assert_allclose(run.history["loss"], shifted.history["loss"], rtol=1e-3)
    pictures = run.decode_images(run.posterior(torch.arange(12))[0])
    assert (pictures.dtype, pictures.shape) == (torch.uint8, (12, 8, 8, 1))
    assert 10 < float(pictures.float().mean()) < 245
    shown = run.data.for_display(run.data.images(torch.arange(12)))
    assert (int(shown.min()), int(shown.max())) == (0, 255)
    np.testing.assert_allclose(
        shown[..., 0], 255 * (FLOATS - FLOATS.min()) / np.ptp(FLOATS), atol=0.51
    )


def test_the_report_says_what_was_made_of_pixels_and_words(tmp_path):
    words = [(f"side {a}", b) for a, b in LABELS]
    report = vd.diagnose((2 * FLOATS - 1, words, ["side", "size"]), radii=())
    low, high = (f"{value:.4g}" for value in ((2 * FLOATS - 1).min(), (2 * FLOATS - 1).max()))
    range_note, order_note = report.notes
    assert range_note == f"Pixels are floats of {low} to {high}, measured as they are."
    assert order_note.startswith("The values of side are words in the order of the alphabet")
    vd.diagnosis.save(report, html=tmp_path / "report.html", json_file=tmp_path / "report.json")
    for text in (
        str(report),
        (tmp_path / "report.html").read_text(),
        (tmp_path / "report.json").read_text(),
    ):
        assert range_note in text
        assert "words in the order of the alphabet" in text
    assert vd.diagnose((BYTES, LABELS), radii=()).notes == ()


def test_figures_spread_floats_over_grey_levels():
    plots = pytest.importorskip("vaedis.plots")
    figure = plots.traversals(
        {"a": FLOATS[:2, ..., None] * 1e-3, "b": FLOATS[2:4, ..., None] * 1e-3}
    )
    levels = np.concatenate(
        [np.asarray(axes.images[0].get_array()).ravel() for axes in figure.axes]
    )
    assert (levels.min(), levels.max(), levels.dtype) == (0, 255, np.uint8)


def test_views_of_float_tables_stay_floats():
    data = LabelledImages(5 * FLOATS, LABELS, ["a", "b"])
    turned = vd.data.Relabelled(data, {"all": torch.arange(12)})
    assert (turned.dtype, turned.pixel_range) == (data.dtype, data.pixel_range)
    assert torch.equal(turned.images(torch.arange(12)), data.images(torch.arange(12)))
    with pytest.raises(ValueError, match="the loss 'bce' needs pixels"):
        vd.distances.perceived(turned, [0], [1], loss="bce")
    points = vd.data.Coordinates(data)
    apart = vd.losses.get("mse").distance(
        *points.observations(torch.tensor([[0], [7]]).flatten())[:, None]
    )
    assert float(apart) == pytest.approx(
        float(vd.distances.perceived(data, [0], [7], normalize=True)[0]), rel=1e-4
    )
    assert float(points.denormalize(points.observations(torch.arange(12))).max()) == pytest.approx(
        data.pixel_range[1], rel=1e-3
    )


def test_a_data_set_is_whatever_stands_for_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("mine.npz", images=BYTES, factors=LABELS)
    table = LabelledImages(BYTES, LABELS)
    wanted = vd.distances.traversal_matrices(table)
    for thing in (
        (BYTES, LABELS),
        [torch.from_numpy(BYTES), torch.tensor(LABELS)],
        "mine.npz",
        tmp_path / "mine.npz",
    ):
        matrices = vd.distances.traversal_matrices(thing)
        assert {name: matrix.tolist() for name, matrix in matrices.items()} == {
            name: matrix.tolist() for name, matrix in wanted.items()
        }
        assert vd.diagnose(thing, radii=()).images == 12
    for measure in (
        vd.distances.pair_distances,
        vd.distances.pair_agreement,
        vd.distances.random_pairs,
        vd.diagnosis.bounds.largest_beta,
    ):
        options = {"latents": 2} if measure is vd.diagnosis.bounds.largest_beta else {}
        assert str(measure((BYTES, LABELS), **options)) == str(measure(table, **options))
    assert torch.equal(
        vd.distances.perceived((BYTES, LABELS), [0], [5]), vd.distances.perceived(table, [0], [5])
    )
    assert vd.data.as_data(table) is table
    assert vd.data.as_data((BYTES, LABELS, ["a", "b"])).factors.names == ("a", "b")
    assert vd.data.as_data("xysquares").name == "xysquares"
    wrongs = {
        "none.npz": "'none.npz' is neither a file, a folder nor a data set; the data sets are: xysquares",
        3: "not int",
        (1,): "not tuple",
    }
    for wrong, says in wrongs.items():
        with pytest.raises(ValueError, match=says):
            vd.diagnose(wrong)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", ["bytes", "floats", "torch", "bits"])
def test_resized_images_are_means_over_boxes_of_pixels(kind, channels, tmp_path):
    rng = np.random.default_rng(2)
    values = rng.integers(0, 256, (12, 8, 8, channels)).astype(np.uint8)
    if kind == "bits":
        values = (values > 99).astype(np.uint8)
    images = values.astype(np.float32) / 7 - 3 if kind == "floats" else values
    given = torch.from_numpy(images).permute(0, 3, 1, 2) if kind == "torch" else images
    data = LabelledImages(given, LABELS, resize=4)
    means = images.astype(float).reshape(12, 4, 2, 4, 2, channels).mean((2, 4))
    if kind == "bits":
        means *= 255
    found = data.images(range(12)).numpy()
    assert (data.shape, found.dtype) == ((4, 4, channels), images.dtype)
    wanted = means if kind == "floats" else np.rint(means)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6 if kind == "floats" else 0)
    assert data.to_factors(range(12)).tolist() == [list(label) for label in LABELS]
    assert "Images of 8×8 pixels were resized" in data.notes[0]
    if kind == "floats":
        assert data.pixel_range == pytest.approx((means.min(), means.max()), abs=1e-6)
    np.savez(tmp_path / "mine.npz", images=images, factors=LABELS)
    read = vd.read_images(tmp_path / "mine.npz", resize=4)
    assert np.array_equal(read.images(range(12)).numpy(), found)


def test_black_and_white_images_that_become_almost_black_stay_so():
    """Bytes of 0 and 1 are black and white; after a resize, 1 is a share of 255."""
    images = np.zeros((12, 16, 16), np.uint8)
    images[np.arange(12), np.arange(12), 3] = 1
    data = LabelledImages(images, LABELS, resize=1)
    assert data.images(range(12)).unique().tolist() == [1]


def test_resizing_leaves_no_more_than_the_small_copy(tmp_path, monkeypatch):
    monkeypatch.setattr("vaedis.data.own.arrays.IN_MEMORY", 100)
    monkeypatch.setattr("vaedis.data.own.pixels._BLOCK", 3)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    data = LabelledImages(BYTES, LABELS, resize=4)
    assert isinstance(data._pixels.source, np.memmap)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("images", "size", "says"),
    [
        (BYTES, 9, "square images of at most their size, but 9 was asked for and they have 8×8"),
        (BYTES[:, :, :6], 4, "square images of at most their size, .* have 8×6 pixels"),
        (BYTES, 0, "resize must be a whole number of at least 1, not 0"),
        (BYTES, (4, 4), "resize must be a whole number of at least 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(images, size, says):
    with pytest.raises(ValueError, match=says):
        LabelledImages(images, LABELS, resize=size)


def test_images_of_the_size_already_stay_as_they_are():
    data = LabelledImages(BYTES, LABELS, resize=8)
    assert np.array_equal(data.images(range(12))[..., 0].numpy(), BYTES)
    assert data.notes == ()
