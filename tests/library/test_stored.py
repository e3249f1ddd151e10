"""Images in one mapped file: what is written comes back by index, with its own constants, and what
is damaged does not count.
"""

import json
import pickle

import numpy as np
import pytest
import torch
import toy_data
from toy_data import IMAGES

from vaedis.data import DataError, Stored
from vaedis.data.originals import converted
from vaedis.data.originals.catalog import BENCHMARKS
from vaedis.data.originals.readers import READERS, SIDE

TOY = toy_data.benchmark()


def blocks(images: np.ndarray = IMAGES, n: int = 100):
    return (images[start : start + n] for start in range(0, len(images), n))


def write(folder, images: np.ndarray = IMAGES, origin: str = "original"):
    path = folder / "toy" / f"{origin}.npy"
    converted.write(path, blocks(images), TOY.stored_shape, {"origin": origin})
    return path


@pytest.fixture
def path(tmp_path):
    return write(tmp_path)


def test_images_come_back_by_index(path):
    data = Stored(TOY, path)
    index = torch.tensor([255, 3, 3, 0])
    assert data.images(index).dtype == torch.uint8
    np.testing.assert_array_equal(data.images(index).numpy(), IMAGES[[255, 3, 3, 0]])
    assert data.images(torch.arange(0)).shape == (0, 32, 32, 1)
    with pytest.raises(ValueError, match="index 256 is out of range"):
        data.images(torch.tensor([256]))


def test_the_facts_tell_what_the_file_holds(path):
    facts = converted.read_facts(path)
    assert facts == json.loads(path.with_suffix(".json").read_text())
    assert (facts["origin"], facts["shape"], facts["bytes"]) == (
        "original",
        [256, 32, 32, 1],
        path.stat().st_size,
    )
    assert converted.is_verified(path, facts)
    flipped = bytearray(path.read_bytes())
    flipped[-1] ^= 1
    path.write_bytes(flipped)
    assert not converted.is_verified(path, facts)
    assert facts["sha256"] == toy_data.SHA256


@pytest.mark.parametrize("channels", [1, 3])
def test_constants_are_the_mean_and_the_mean_of_the_images_own_unbiased_stds(tmp_path, channels):
    images = np.random.default_rng(1).integers(0, 256, (130, 8, 6, channels), dtype=np.uint8)
    images[:50] //= 7
    facts = converted.write(tmp_path / "x.npy", blocks(images), images.shape, {})
    x = torch.from_numpy(images).double().flatten(1, 2) / 255
    np.testing.assert_allclose(facts["mean"], x.mean((0, 1)), rtol=1e-14)
    np.testing.assert_allclose(facts["std"], x.std(1).mean(0), rtol=1e-14)


def test_an_original_has_the_published_constants_and_a_stand_in_its_own(tmp_path):
    original = Stored(TOY, write(tmp_path))
    assert (original.origin, original.mean, original.std) == ("original", (0.25,), (0.5,))
    stand_in = Stored(TOY, write(tmp_path, origin="stand-in"))
    assert stand_in.origin == "stand-in"
    assert stand_in.mean == pytest.approx((IMAGES.mean() / 255,))
    x = stand_in.observations(torch.arange(256))
    assert float(x.mean()) == pytest.approx(0, abs=1e-6)
    assert float(x.flatten(1).std(1).mean()) == pytest.approx(1, abs=1e-6)


def test_a_copy_for_another_process_carries_no_images(path):
    data = Stored(TOY, path)
    index = torch.tensor([7, 5])
    expected = data.images(index)
    dumped = pickle.dumps(data)
    assert len(dumped) < 10_000
    assert torch.equal(pickle.loads(dumped).images(index), expected)
    assert torch.equal(data.to("cpu").images(index), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("cached", [True, False])
def test_on_a_gpu_they_are_the_same(path, monkeypatch, cached):
    monkeypatch.setattr(converted, "CACHE_BYTES", 2**30 if cached else 0)
    data = Stored(TOY, path).to("cuda")
    images = data.images(torch.tensor([255, 3, 3, 0]))
    assert images.device.type == "cuda"
    np.testing.assert_array_equal(images.cpu().numpy(), IMAGES[[255, 3, 3, 0]])
    assert (data._cache is not None) == cached


@pytest.mark.parametrize(
    "damage", ["short", "gone", "facts gone", "facts broken", "older converter"]
)
def test_what_is_incomplete_does_not_count(path, damage):
    facts = path.with_suffix(".json")
    if damage == "short":
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == "gone":
        path.unlink()
    elif damage == "facts gone":
        facts.unlink()
    elif damage == "facts broken":
        facts.write_text("{")
    else:
        facts.write_text(
            json.dumps(json.loads(facts.read_text()) | {"converter": converted.CONVERTER - 1})
        )
    assert converted.read_facts(path) is None
    with pytest.raises(
        DataError, match="does not hold the images of toy; run: vaedis data prepare toy --force"
    ):
        Stored(TOY, path)


FACTS_THAT_ARE_NONE = {
    "without digest": lambda facts: facts.pop("sha256"),
    "digest of another type": lambda facts: facts.update(sha256=5),
    "without shape": lambda facts: facts.pop("shape"),
    "shape of text": lambda facts: facts.update(shape="4444"),
    "without constants": lambda facts: facts.pop("mean"),
    "too few constants": lambda facts: facts.update(std=[]),
    "constants of text": lambda facts: facts.update(mean=["0.5"]),
    "infinite constants": lambda facts: facts.update(std=[float("inf")]),
    "another origin": lambda facts: facts.update(origin="stand-in"),
    "without origin": lambda facts: facts.pop("origin"),
}


@pytest.mark.parametrize("change", FACTS_THAT_ARE_NONE.values(), ids=FACTS_THAT_ARE_NONE)
def test_facts_that_are_none_do_not_count(path, change):
    facts = json.loads(path.with_suffix(".json").read_text())
    change(facts)
    path.with_suffix(".json").write_text(json.dumps(facts))
    assert converted.read_facts(path) is None
    with pytest.raises(
        DataError, match="does not hold the images of toy; run: vaedis data prepare toy --force"
    ):
        Stored(TOY, path)


@pytest.mark.parametrize(
    "content", ["[]", "null", "5", "[" * 100_000, "\xff\xfe", '{"converter": []}']
)
def test_facts_of_another_form_do_not_count(path, content):
    path.with_suffix(".json").write_text(content, encoding="latin-1")
    assert converted.read_facts(path) is None


def test_a_damaged_header_is_one_sentence_or_does_no_harm(path):
    whole = path.read_bytes()
    facts = converted.read_facts(path)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        damaged = bytearray(whole)
        for place in rng.integers(0, 128, rng.integers(1, 4)):
            damaged[place] = rng.integers(0, 256)
        path.write_bytes(damaged)
        if converted.is_verified(path, facts):
            np.testing.assert_array_equal(
                Stored(TOY, path).images(torch.arange(256)).numpy(), IMAGES
            )
            continue
        refused += 1
        with pytest.raises(
            DataError,
            match=r"original\.npy is damaged in its header; run: vaedis data prepare toy --force\.$",
        ):
            Stored(TOY, path).images(torch.arange(256))
    assert refused > 100


def test_a_damaged_stand_in_is_drawn_anew_by_the_command_that_is_named(tmp_path):
    path = write(tmp_path, origin="stand-in")
    path.with_suffix(".json").write_text("{}")
    with pytest.raises(DataError, match="run: vaedis data prepare toy --origin stand-in --force"):
        Stored(TOY, path)


def test_images_of_another_data_set_are_refused(path):
    with pytest.raises(DataError, match="does not hold the images of cars3d"):
        Stored(BENCHMARKS["cars3d"], path)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:-1], "expected 256 images, not 255"),
        (np.concatenate([IMAGES, IMAGES[:1]]), "expected 256 images, not 257"),
        (IMAGES.astype(np.int16), "not int16"),
        (IMAGES[:, :, :16], "expected uint8 images of"),
    ],
    ids=["too few", "too many", "other type", "other size"],
)
def test_what_is_not_the_data_set_is_not_written(tmp_path, images, message):
    with pytest.raises(DataError, match=message):
        write(tmp_path, images)
    assert list((tmp_path / "toy").iterdir()) == []


@pytest.mark.parametrize("name", BENCHMARKS)
def test_the_catalogue_is_consistent(name):
    benchmark = BENCHMARKS[name]
    assert name in READERS
    assert benchmark.shape[:2] == (SIDE, SIDE)
    assert len(benchmark.mean) == len(benchmark.std) == benchmark.shape[2]
    for original in benchmark.originals:
        algorithm, _, digest = original.digest.partition(":")
        assert len(bytes.fromhex(digest)) == {"sha256": 32, "md5": 16}[algorithm]
        assert all(url.endswith(original.file) for url in original.urls)
        assert len(set(original.urls)) == len(original.urls) >= 2


def test_sizes_of_the_four():
    found = {name: benchmark.stored_shape[0] for name, benchmark in BENCHMARKS.items()}
    assert found == {
        "dsprites": 737_280,
        "shapes3d": 480_000,
        "cars3d": 17_568,
        "smallnorb": 24_300,
    }
