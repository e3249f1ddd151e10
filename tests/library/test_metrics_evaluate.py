"""`evaluate`: what models return, data of few images, and one number for one run."""

from __future__ import annotations

import collections
import functools
import re
import types

import numpy as np
import pytest
import torch
from metric_codes import summary
from torch import nn
from torch.distributions import Categorical, Independent, Normal, TransformedDistribution
from torch.distributions.transforms import SigmoidTransform

import vaedis as vd
from vaedis import FactorSpace, metrics
from vaedis.metrics import _encoder, _evaluate

LABELS = np.array([(a, b) for a in range(6) for b in range(10)])
WEIGHTS = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
Posterior = collections.namedtuple("Posterior", "mu logvar")


def table(n: int = 60, labels=LABELS) -> vd.LabelledImages:
    return vd.LabelledImages(
        np.random.default_rng(0).integers(0, 256, (n, 8, 8)).astype(np.uint8), labels
    )


def returning(way):
    """A model whose `encode` returns means in one of the ways of the field."""
    return types.SimpleNamespace(encode=lambda x: way(x.flatten(1) @ WEIGHTS))


def score(model):
    return summary(metrics.evaluate(model, table(), metrics="mig", protocol="fast")["mig"])


RIGHT = {
    "pair": lambda m: (m, m * 0),
    "list of tensors": lambda m: [m, m * 0],
    "named tuple": lambda m: Posterior(m, m * 0),
    "tensor with a gradient": lambda m: m.clone().requires_grad_(),
    "ordered dict": lambda m: collections.OrderedDict(embedding=m, log_covariance=m * 0),
    "object": lambda m: types.SimpleNamespace(embedding=m, log_covariance=m * 0),
    "independent": lambda m: Independent(Normal(m, torch.ones_like(m)), 1),
    "distribution first": lambda m: (Normal(m, torch.ones_like(m)), m + 1),
    "pair of numpy": lambda m: (m.numpy(), m.numpy() * 0),
    "double": lambda m: m.double(),
}


@pytest.mark.parametrize("way", RIGHT)
def test_what_models_return_is_taken(way):
    codes = table().observations(torch.arange(60)).flatten(1) @ WEIGHTS
    found = score(returning(RIGHT[way]))
    assert found["score"] == pytest.approx(float(metrics.mig(codes, table().codes)), abs=1e-9)
    assert found["n_samples"] == 60


def test_means_in_half_precision_and_in_batches_are_taken(monkeypatch):
    whole = score(returning(lambda m: m))["score"]
    assert score(returning(lambda m: m.bfloat16()))["score"] == pytest.approx(whole, abs=0.1)
    monkeypatch.setattr(_encoder, "_CPU_BATCH", 7)
    assert score(returning(lambda m: m))["score"] == pytest.approx(whole, abs=0.02)


WRONG = {
    "nothing": (lambda m: None, "it returned a NoneType."),
    "words": (lambda m: "mean", "it returned a str."),
    "empty tuple": (lambda m: (), "it returned a tuple."),
    "dict without embedding": (lambda m: {"mu": m}, "it returned a dict."),
    "flat": (lambda m: m.flatten(), "it returned a Tensor with an array of shape (180,)."),
    "no latents": (lambda m: m[:, :0], "it returned a Tensor with an array of shape (60, 0)."),
    "maps": (
        lambda m: (m[..., None, None], m),
        "it returned a tuple with an array of shape (60, 3, 1, 1).",
    ),
    "no mean": (
        lambda m: TransformedDistribution(Normal(m, m**2 + 1), [SigmoidTransform()]),
        "it returned a TransformedDistribution.",
    ),
}


@pytest.mark.parametrize("way", WRONG)
def test_what_cannot_be_taken_is_said_in_one_sentence(way):
    model, end = WRONG[way]
    with pytest.raises(
        ValueError,
        match=rf"^encode\(x\) must return the means of 60 observations as .*{re.escape(end)}$",
    ):
        score(returning(model))


def test_a_distribution_without_numbers_for_a_mean_is_refused():
    with pytest.raises(ValueError, match=r"codes\[0, 0\] is nan"):
        metrics.evaluate(
            returning(lambda m: Categorical(logits=m[:, None].expand(-1, 4, -1))),
            table(),
            metrics="mig",
            protocol="fast",
        )


def test_a_function_is_a_model_and_other_things_are_not():
    assert score(lambda x: x.flatten(1) @ WEIGHTS) == score(returning(lambda m: m))
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 3, bias=False))
    linear[1].weight.data = WEIGHTS.T.contiguous()
    assert score(linear)["score"] == pytest.approx(score(returning(lambda m: m))["score"], abs=0.02)
    with pytest.raises(
        TypeError,
        match=r"model must have encode\(x\) or be a function of observations, but it is a str",
    ):
        score("model.pt")
    with pytest.raises(
        TypeError,
        match=r"it is a ndarray: pass a network, or score .* as in vaedis\.metrics\.mig\(codes, factors\)\.",
    ):
        score(np.zeros((60, 3)))


def test_images_and_labels_are_a_data_set():
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8)).astype(np.uint8)
    given = metrics.evaluate(
        returning(lambda m: m), (images, LABELS), metrics="mig", protocol="fast"
    )["mig"]
    assert summary(given) == score(returning(lambda m: m))
    with pytest.raises(ValueError, match="a data set must be one of vaedis"):
        metrics.evaluate(returning(lambda m: m), images)


class Net(nn.Module):
    """Dropout, batch norm and a part that is frozen."""

    def __init__(self):
        super().__init__()
        self.frozen = nn.BatchNorm1d(64)
        self.layers = nn.Sequential(nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 3))
        self.train()
        self.frozen.eval()

    def encode(self, x):
        return self.layers(self.frozen(x.flatten(1)))


@pytest.mark.parametrize("kind", ["module", "method"])
def test_networks_are_evaluated_and_every_part_gets_its_mode_back(kind):
    net = Net()
    model = net if kind == "module" else net.encode
    modes = [part.training for part in net.modules()]
    statistics = net.layers[0].running_mean.clone()
    first = score(model)
    assert [part.training for part in net.modules()] == modes
    assert torch.equal(net.layers[0].running_mean, statistics)
    assert score(net.eval()) == first
    net.train()
    net.layers[2] = nn.Flatten()
    with pytest.raises(ValueError, match=r"latents|columns"):
        score(net)
    assert net.training


def test_a_function_of_a_network_in_training_mode_is_refused():
    net = Net()
    with_dropout = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 3))
    with_statistics = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 3))
    sentence = r"the code of an image must follow from that image alone, .*call eval\(\) on its"
    for part in (net.encode, with_dropout, with_statistics):
        with pytest.raises(ValueError, match=sentence):
            score(lambda x, part=part: part(x))
    with pytest.raises(ValueError, match=sentence):
        score(returning(lambda m: (Normal(m, 1).sample(), m)))
    net.eval()
    assert score(lambda x: net.encode(x)) == score(net)


def test_a_refused_function_is_asked_twice_and_no_more():
    sizes = []

    def sampled(x):
        sizes.append(len(x))
        return torch.randn(len(x), 3)

    with pytest.raises(ValueError, match="must follow from that image alone"):
        metrics.evaluate(sampled, table(600, [(i % 6, i % 7) for i in range(600)]), metrics="mig")
    assert sizes == [256, 128]


class Linear(nn.Module):
    """A network with means `way(mean)`, that has sizes of its batches."""

    def __init__(self, way):
        super().__init__()
        self.layer = nn.Linear(64, 3)
        self.way = way
        self.sizes = []

    def encode(self, x):
        self.sizes.append(len(x))
        return self.way(self.layer(x.flatten(1)))


def seeded_noise(m):
    """The same noise at each call, so that it depends on the place in the batch alone."""
    return m + torch.randn(m.shape, generator=torch.Generator().manual_seed(0))


UNLIKE = {
    "samples": lambda m: (m + torch.randn_like(m), m * 0),
    "noise by place": seeded_noise,
    "mean of the batch": lambda m: m - m.mean(0),
    "first of the batch": lambda m: m - m[:1],
    "batch norm without running statistics": nn.BatchNorm1d(3, track_running_stats=False),
}


@pytest.mark.parametrize("way", UNLIKE)
def test_a_network_that_samples_or_compares_images_is_refused_also_when_evaluated(way):
    net = Linear(UNLIKE[way])
    for model in (net, net.encode):
        with pytest.raises(
            ValueError,
            match=r"^the code of an image must follow from that image alone, but model gives .*: "
            r"return means, not samples, and use no statistics of the batch in evaluation mode\.$",
        ):
            score(model)
    assert net.sizes == [60, 30] * 2
    assert net.training


def test_a_run_of_a_network_that_samples_has_no_scores():
    net = Linear(UNLIKE["samples"])
    run = vd.training.Run(vd.RunSpec(latents=3), table(), net, vd.losses.get("mse"))
    with pytest.raises(ValueError, match="must follow from that image alone"):
        run.scores(["mcc"], protocol="fast")


def test_the_second_question_takes_nothing_from_the_random_state():
    net = Linear(lambda m: (m, m + torch.randn_like(m)))
    torch.manual_seed(5)
    score(net)
    found = torch.rand(1)
    assert net.sizes == [60, 30]
    torch.manual_seed(5)
    torch.randn(60, 3)
    assert torch.equal(found, torch.rand(1))


def test_a_network_may_write_into_its_images():
    net = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(64, 3))
    assert score(lambda x: net(x)) == score(net) == score(lambda x: net(x.clone()))


@pytest.mark.parametrize("own_layer", [False, True])
def test_a_network_of_vaedis_is_asked_once_unless_it_has_layers_of_someone_else(own_layer):
    net = vd.training.model.build("mlp", (8, 8, 1), 3, hidden=(8,))
    sizes = []
    net.encoder.register_forward_hook(lambda module, x, y: sizes.append(len(y)))
    if own_layer:
        net.encoder.append(Noise())
        with pytest.raises(ValueError, match="must follow from that image alone"):
            score(net)
    else:
        score(net)
    assert sizes == ([60, 30] if own_layer else [60])


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_observations_come_in_the_precision_of_the_network(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).to(dtype)
    assert 0 <= score(net)["score"] <= 1


class Numbered:
    """Its codes are the numbers of its images."""

    def __init__(self, n, **kinds):
        labels = np.stack([np.arange(n) // 20, np.arange(n) % 20], 1)
        if not kinds["grid"]:
            labels = np.random.default_rng(0).integers(0, 5, (n, 2))
        images = np.zeros((n, 1, 2, 1), np.float32)
        images[:, 0, :, 0] = np.stack([np.arange(n) // 256, np.arange(n) % 256], 1) / 256
        self.data = vd.LabelledImages(images, labels)
        assert self.data.grid == kinds["grid"]
        self.calls = {}

    def encode(self, x):
        pixels = (256 * self.data.denormalize(x)).flatten(1).round().double()
        return pixels[:, :1] * 256 + pixels[:, 1:]

    def record(self, name, codes, factors, test=None, seed=0):
        self.calls[name] = codes, factors, test
        return metrics.Score(0.0, (), ())


@pytest.mark.parametrize("grid", [True, False])
@pytest.mark.parametrize("n", [100, 2_000, 16_000])
def test_no_image_of_ones_own_is_tested_on_that_was_trained_on(grid, n, monkeypatch):
    numbered = Numbered(n, grid=grid)
    protocol = "fast" if n < 16_000 else "full"
    for name in _evaluate.PROTOCOLS:
        monkeypatch.setitem(metrics.SCORES, name, functools.partial(numbered.record, name))
    data = numbered.data
    metrics.evaluate(numbered, data, metrics=_evaluate.PROTOCOLS, protocol=protocol, seed=3)
    for name, (codes, factors, test) in numbered.calls.items():
        train, n_test = _evaluate.PROTOCOLS[name][protocol]
        held = codes[:0] if test is None else test[0]
        rows = torch.cat([codes, held])[:, 0]
        assert len(rows.unique()) == len(rows) == min(n, train + n_test), name
        assert len(held) == len(rows) * n_test // (train + n_test)
        assert torch.equal(torch.as_tensor(factors), data.to_factors(codes[:, 0].long()))


@pytest.mark.parametrize("n", [100, 1_000])
def test_codes_that_know_nothing_score_as_chance(n):
    random = np.random.default_rng(0)
    labels = np.stack([random.integers(0, k, n) for k in (4, 5, 3)], 1)
    scores = metrics.evaluate(
        returning(lambda m: m), table(n, labels), metrics=("mig", "dci"), protocol="fast"
    )
    # Of the test images; a third of n of them for each of three factors.
    error = 4 * 0.45 / np.sqrt(n)
    assert scores["dci"].informativeness == pytest.approx((1 / 4 + 1 / 5 + 1 / 3) / 3, abs=error)
    assert float(scores["mig"]) < 4 * scores["mig"].noise_floor


def test_large_grids_are_drawn_from_as_published():
    space = FactorSpace(("a", "b"), (150, 100))
    data = types.SimpleNamespace(
        factors=space, observations=lambda index: space.to_factors(index).float()
    )
    found = metrics.evaluate(lambda x: x, data, metrics=["mig"], protocol="fast", seed=1)["mig"]
    drawn = space.sample_index(3_000, generator=torch.Generator().manual_seed(1))[:2_000]
    factors = space.to_factors(drawn)
    assert summary(found) == summary(metrics.mig(factors.float(), factors, seed=1))


@pytest.mark.parametrize(
    ("name", "used", "fewest"),
    [
        ("mig", 500, "1,000"),
        ("modularity", 500, "1,000"),
        ("dci", 334, "1,500"),
        ("sap", 334, "1,500"),
    ],
)
def test_continuous_labels_are_refused_with_the_number_of_images_that_is_needed(name, used, fewest):
    labels = np.stack([np.random.default_rng(0).permutation(500) / 500, np.arange(500) % 2], 1)
    message = (
        f"^{name} of 500 images is computed from {used} of them, but factor 'factor_0' has 500 values and needs at least 1,000: "
        f"group its values into fewer classes, or give at least {fewest} images.$"
    )
    with pytest.raises(ValueError, match=message):
        metrics.evaluate(
            returning(lambda m: m),
            table(500, labels),
            metrics=name,
            protocol="fast" if name != "dci" else "full",
        )


@pytest.mark.parametrize("normalize", [True, False])
def test_a_function_gets_images_as_its_network_was_trained_on(tiny, normalize):
    run = vd.fit(
        vd.RunSpec(
            model="mlp",
            model_options={"hidden": [8]},
            latents=2,
            steps=3,
            batch=8,
            normalize=normalize,
        ),
        data=tiny,
        device="cpu",
    )

    def mine(x):
        return run.model.encode(x)[0]

    scores = metrics.evaluate(mine, tiny, protocol="fast", normalize=normalize)
    for name, score in run.scores(protocol="fast").items():
        assert score.score == scores[name].score
    other = metrics.evaluate(mine, tiny, protocol="fast", normalize=not normalize)
    assert other["dci"].score != scores["dci"].score
    with pytest.raises((TypeError, ValueError), match=r"^normalize must be"):
        metrics.evaluate(mine, tiny, normalize="no")


@pytest.mark.parametrize("loss", ["mse", "bce"])
@pytest.mark.parametrize("normalize", [True, False])
def test_a_run_and_its_network_have_one_score(loss, normalize):
    spec = vd.RunSpec(
        loss=loss,
        normalize=normalize,
        steps=20,
        batch=16,
        latents=3,
        model="mlp",
        model_options={"hidden": (8,)},
    )
    run = vd.fit(spec, data=table())
    ours, theirs = (
        run.scores(protocol="fast", seed=2),
        metrics.evaluate(run.model, run.data, protocol="fast", seed=2),
    )
    assert {name: summary(score) for name, score in ours.items()} == {
        name: summary(score) for name, score in theirs.items()
    }
    seen = run.observations(torch.arange(60))
    assert torch.equal(
        seen, run.data.observations(torch.arange(60), normalize=normalize and loss != "bce")
    )
    assert float(ours["mig"]) == pytest.approx(
        float(metrics.mig(run.model.encode(seen)[0], LABELS)), abs=0.02
    )


def test_a_sampling_latent_is_found_beside_a_large_one():
    def sampling(x):
        mean = x.flatten(1) @ WEIGHTS
        mean[:, 0] += torch.randn(len(x))
        return torch.cat([mean, 1e4 + mean[:, 1:2]], 1)

    with pytest.raises(ValueError, match="must follow from that image alone"):
        score(sampling)
    # rounding of large numbers is no sampling
    large = 1e4 * torch.ones(3)
    score(
        lambda x: torch.cat([(x.flatten(1) @ WEIGHTS + large) - large, large.expand(len(x), 3)], 1)
    )


def test_a_networks_own_attribute_does_not_decide_how_it_sees_images():
    data = table()
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
    index = torch.arange(60)
    before = _encoder.encoder(linear, data)(index)
    linear.normalize = False
    assert torch.equal(_encoder.encoder(linear, data)(index), before)
    linear._vaedis_normalize = False
    assert not torch.equal(_encoder.encoder(linear, data)(index), before)


def test_a_run_is_no_model():
    with pytest.raises(TypeError, match=r"not a Run: use run\.scores\(\), or pass run\.model\."):
        metrics.evaluate(vd.training.Run(vd.RunSpec(), table(), nn.Linear(1, 1), None), table())
