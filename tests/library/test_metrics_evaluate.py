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
    "three": lambda m: (m, m * 0, m + 1),
    "list of tensors": lambda m: [m, m * 0],
    "named tuple": lambda m: Posterior(m, m * 0),
    "tensor": lambda m: m,
    "tensor with a gradient": lambda m: m.clone().requires_grad_(),
    "ordered dict": lambda m: collections.OrderedDict(embedding=m, log_covariance=m * 0),
    "object": lambda m: types.SimpleNamespace(embedding=m, log_covariance=m * 0),
    "normal": lambda m: Normal(m, torch.ones_like(m)),
    "independent": lambda m: Independent(Normal(m, torch.ones_like(m)), 1),
    "distribution first": lambda m: (Normal(m, torch.ones_like(m)), m + 1),
    "numpy": lambda m: m.numpy(),
    "pair of numpy": lambda m: (m.numpy(), m.numpy() * 0),
    "lists of numbers": lambda m: m.tolist(),
    "double": lambda m: m.double(),
}


@pytest.mark.parametrize("way", RIGHT)
@pytest.mark.parametrize("batch_size", [256, 2, 1])
def test_what_models_return_is_taken(way, batch_size, monkeypatch):
    monkeypatch.setattr(_encoder, "CPU_BATCH", batch_size)
    direct = metrics.mig(table().observations(torch.arange(60)).flatten(1) @ WEIGHTS, table().codes)
    found = score(returning(RIGHT[way]))
    # Batches of other sizes round sums otherwise, and then a code may cross the edge of a bin.
    assert found["score"] == pytest.approx(float(direct), abs=1e-9 if batch_size == 256 else 0.02)
    assert found["n_samples"] == 60


@pytest.mark.parametrize(
    "way", [lambda m: m.half(), lambda m: m.bfloat16(), lambda m: (m.half(), m.half())]
)
def test_means_in_half_precision_are_taken(way):
    assert score(returning(way))["score"] == pytest.approx(
        score(returning(lambda m: m))["score"], abs=0.1
    )


WRONG = {
    "nothing": (lambda m: None, "it returned a NoneType."),
    "words": (lambda m: "mean", "it returned a str."),
    "empty tuple": (lambda m: (), "it returned a tuple with an array of shape (0,)."),
    "dict without embedding": (lambda m: {"mu": m}, "it returned a dict."),
    "flat": (lambda m: m.flatten(), "it returned a Tensor with an array of shape (180,)."),
    "transposed": (lambda m: m.T, "it returned a Tensor with an array of shape (3, 60)."),
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
        match=rf"^encode\(x\) must return the means of 60 observations as an array of .*{re.escape(end)}$",
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


GLOBAL = Net()


@pytest.mark.parametrize("kind", ["module", "method", "attribute", "closure", "global"])
def test_networks_are_evaluated_and_every_part_gets_its_mode_back(kind):
    net = GLOBAL if kind == "global" else Net()
    wrapper = types.SimpleNamespace(net=net, encode=lambda x: wrapper.net.encode(x))
    model = {
        "module": net,
        "method": net.encode,
        "attribute": wrapper,
        "closure": lambda x: net.encode(x),
        "global": lambda x: GLOBAL.encode(x),
    }[kind]
    modes, statistics = (
        [part.training for part in net.modules()],
        net.layers[0].running_mean.clone(),
    )
    assert score(model) == score(model)
    assert [part.training for part in net.modules()] == modes
    assert torch.equal(net.layers[0].running_mean, statistics)
    net.eval()
    right = score(net)
    net.train()
    assert score(model) == right
    with pytest.raises(ValueError, match="no such"):
        score(_failing(net))
    assert net.training


def _failing(net):
    def fail(x):
        net.encode(x)
        raise ValueError("no such thing")

    return fail


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_observations_come_in_the_precision_of_the_network(dtype):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 3)).to(dtype)
    assert 0 <= score(net)["score"] <= 1


@pytest.mark.parametrize("grid", [True, False])
@pytest.mark.parametrize("n", [100, 300, 2_000])
def test_no_image_is_tested_on_that_was_trained_on(grid, n, monkeypatch):
    labels = (
        np.stack([np.arange(n) // 20, np.arange(n) % 20], 1)
        if grid
        else np.random.default_rng(0).integers(0, 5, (n, 2))
    )
    data = vd.LabelledImages(np.arange(n * 16).reshape(n, 4, 4).astype(np.uint8), labels)
    assert data.grid == grid
    calls = {}

    def record(name):
        def call(codes, factors, test=None, seed=0):
            calls[name] = codes, factors, test
            return metrics.Score(0.0, (), ())

        return call

    for name, metric in _evaluate.PROTOCOLS.items():
        monkeypatch.setitem(
            _evaluate.PROTOCOLS,
            name,
            _evaluate.Protocol(record(name), metric.full, metric.fast),
        )
    # The code of an image is its number, as it is looked up.
    monkeypatch.setattr(_evaluate, "encoder", lambda *args: lambda index: index[:, None])
    metrics.evaluate(None, data, metrics=_evaluate.PROTOCOLS, protocol="fast", seed=3)
    for name, (codes, factors, test) in calls.items():
        rows = codes[:, 0].tolist()
        assert torch.equal(torch.as_tensor(factors), data.to_factors(codes[:, 0]))
        assert len(set(rows)) == len(rows), name
        if test is None:
            assert len(rows) == n
            continue
        held = test[0][:, 0].tolist()
        assert len(set(held)) == len(held)
        assert not set(rows) & set(held), name
        assert torch.equal(torch.as_tensor(test[1]), data.to_factors(test[0][:, 0]))
        train, n_test = _evaluate.PROTOCOLS[name].fast
        assert len(rows) + len(held) == min(n, train + n_test)
        assert len(held) == min(n, train + n_test) // 3


def test_of_images_of_ones_own_each_is_drawn_once_however_many(monkeypatch):
    n = 15_600
    data = vd.LabelledImages(
        np.zeros((n, 1, 1), np.uint8), np.stack([np.arange(n) // 100, np.arange(n) % 100], 1)
    )
    assert data.grid
    monkeypatch.setattr(_evaluate, "encoder", lambda *args: lambda index: index[:, None])
    drawn = []
    monkeypatch.setitem(
        _evaluate.PROTOCOLS,
        "dci",
        _evaluate.Protocol(
            lambda codes, factors, test, seed: drawn.extend((codes, test[0])),
            (10_000, 5_000),
            (1_000, 500),
        ),
    )
    metrics.evaluate(None, data, metrics="dci")
    assert [len(part) for part in drawn] == [10_000, 5_000]
    assert len(torch.cat(drawn).unique()) == 15_000


@pytest.mark.parametrize("n", [100, 300, 1_000])
def test_codes_that_know_nothing_score_as_chance(n):
    random = np.random.default_rng(0)
    data = vd.LabelledImages(
        random.integers(0, 256, (n, 8, 8)).astype(np.uint8),
        np.stack([random.integers(0, k, n) for k in (4, 5, 3)], 1),
    )
    names = ("mig", "dci") if n != 300 else ("mig", "dci", "explicitness")
    scores = metrics.evaluate(returning(lambda m: m), data, metrics=names, protocol="fast")
    # Of the test images; a third of n of them for each of three factors.
    error = 4 * 0.45 / np.sqrt(n)
    assert scores["dci"].informativeness == pytest.approx((1 / 4 + 1 / 5 + 1 / 3) / 3, abs=error)
    assert scores["mig"].n_samples == n
    assert float(scores["mig"]) < 4 * scores["mig"].noise_floor
    if "explicitness" in names:
        assert float(scores["explicitness"]) == pytest.approx(0.5, abs=0.1)


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


def test_more_values_than_the_protocol_has_samples_for():
    labels = np.stack([np.arange(3_200) // 2, np.arange(3_200) % 2, np.zeros(3_200)], 1)
    labels[0] = 5
    with pytest.raises(
        ValueError,
        match=r"has 1,600 values and needs at least 3,200: group its values into fewer classes\.$",
    ):
        metrics.evaluate(
            returning(lambda m: m), table(3_200, labels), metrics="mig", protocol="fast"
        )


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


class Holder:
    """Holds a network as people's own classes do."""

    def __init__(self, net):
        self.parts = {"nets": [net]}

    def encode(self, x):
        return self.parts["nets"][0].encode(x)


def _encode_with(net, x):
    return net.encode(x)


@pytest.mark.parametrize(
    "kind",
    [
        "in a collection",
        "method of what holds it",
        "partial",
        "function of it",
        "inner function",
        "default",
    ],
)
def test_networks_deep_in_a_model_are_evaluated(kind):
    net, holder = Net(), Holder(Net())
    holder.parts["nets"][0] = net
    model = {
        "in a collection": holder,
        "method of what holds it": holder.encode,
        "partial": functools.partial(_encode_with, net),
        "function of it": lambda x: holder.encode(x),
        "inner function": lambda x: torch.stack([net.encode(x) for _ in range(2)]).mean(0),
        "default": lambda x, net=net: net.encode(x),
    }[kind]
    assert score(model) == score(model)
    assert net.training
    net.eval()
    assert score(net)["score"] == pytest.approx(score(model)["score"], abs=0.02)
