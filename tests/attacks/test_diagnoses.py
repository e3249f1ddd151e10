"""What a diagnosis says follows from the numbers that it is about."""

import numpy as np
import pytest

import vaedis as vd


def blocks(first, second, *, size=8):
    """Two factors: of grey images, which cross-entropy holds far from themselves, and of dark."""
    images, labels = [], []
    for k in range(5):
        image = np.full((size, size), first[0], np.float32)
        image[: k + 1] = first[1]
        images.append(image)
        labels.append((k, 0))
    for k in range(1, 6):
        image = np.full((size, size), second[0], np.float32)
        image[:k] = second[1]
        images.append(image)
        labels.append((7, k))
    return vd.LabelledImages(np.array(images), labels, ["A", "B"])


def test_learning_follows_the_distances_beyond_those_of_equal_images():
    data = blocks((0.47, 0.53), (0.02, 0.2))
    report = vd.diagnose(data, "bce", radii=[]).losses[0]
    grey, dark = report.factors
    assert grey.importance > dark.importance
    assert grey.share < dark.share
    assert (dark.learning_order, grey.learning_order) == (1, 2)
    assert report.verdict.endswith("learned in the order B, A.")


def test_factors_that_a_sample_does_not_tell_apart_are_learned_together():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (400, 4, 4), dtype=np.uint8)
    data = vd.LabelledImages(images, [(k // 20, k % 20) for k in range(400)], ["a", "b"])
    for traversals in (1, 4, 16):
        report = vd.diagnose(data, radii=[], traversals=traversals, exact=False).losses[0]
        assert len({f.importance for f in report.factors}) == 2
        assert {f.learning_order for f in report.factors} == {1}
    exact = vd.diagnose(data, radii=[]).losses[0]
    assert {f.learning_order for f in exact.factors} == {1, 2}


def test_advice_names_what_a_loss_would_order_and_what_it_would_lose():
    checks = (np.indices((16, 16)).sum(0) % 2) * 2 - 1
    images, labels = [], []
    for position in range(4):
        for pattern, grey in enumerate((0, 9, 0, 9, 0)):
            image = np.full((16, 16), 60.0)
            image[:, 4 * position : 4 * position + 4] += 80
            images.append((image + pattern * 8 * checks + grey).clip(0, 255).astype(np.uint8))
            labels.append((position, pattern))
    data = vd.LabelledImages(np.array(images), labels, ["position", "pattern"])
    advice = vd.diagnose(data, radii=[8]).advice
    assert advice.loss is None
    assert advice.ranks["box blur of radius 8"]["position"] > 0.8
    assert advice.text.startswith(
        "position: box blur of radius 8 orders position, but no longer pattern; no loss that was "
        "tried orders more factors than MSE."
    )


def brightness(a, b):
    return (a.mean((1, 2, 3)) - b.mean((1, 2, 3))).square()


def brightness_apart(a, b):
    return (a.mean((1, 2, 3)) - b.mean((1, 2, 3))).abs()


@pytest.mark.parametrize("n_positions", [2, 8])
@pytest.mark.parametrize("loss", [brightness, brightness_apart])
def test_rounding_is_not_taken_for_distances(loss, n_positions):
    rng = np.random.default_rng(0)
    images, labels = [], []
    for level in range(5):
        patch = rng.integers(0, 200, (3, 3))
        for position in range(n_positions):
            image = np.full((16, 16), 7 + 8 * level, np.uint8)
            image[2:5, 1 + position : 4 + position] = patch + level * 10
            images.append(image)
            labels.append((level, position))
    data = vd.LabelledImages(np.array(images), labels, ["level", "position"])
    level, position = vd.diagnose(data, loss, radii=[]).losses[0].factors
    assert level.verdict == "ordered"
    assert position.verdict == "invisible"
    # what is small and no rounding counts
    level, position = vd.diagnose(data, "mse", radii=[]).losses[0].factors
    assert "invisible" not in (level.verdict, position.verdict)
