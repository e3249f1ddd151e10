"""Losses, objectives and optimizers of one's own, as people write them: told apart by what they
compute, and by nothing else.
"""

import copy
import datetime
import functools
import logging
import os
import subprocess
import sys
import types

import numpy as np
import pytest
import torch

import vaedis as vd
from vaedis import losses
from vaedis.losses.fingerprint import fingerprint

log = logging.getLogger(__name__)
SPEC = vd.RunSpec(
    data_options={"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [4]},
    latents=2,
    steps=6,
    batch=9,
)


class Weight:
    """A descriptor."""

    def __init__(self, weight):
        self.weight = weight

    def __get__(self, instance, owner=None):
        return self.weight


class Times:
    """A decorator that is an object."""

    def __init__(self, function, weight):
        functools.update_wrapper(self, function)
        self.function, self.weight = function, weight

    def __call__(self, a, b):
        return self.weight * self.function(a, b)


def difference(a, b):
    return (a - b).abs().mean((1, 2, 3))


def with_cache(n):
    class Mine(losses.MSE):
        @functools.lru_cache  # noqa: B019
        def weight(self):
            return 1.0 * n

    return Mine()


def with_partial_method(n):
    class Mine(losses.MSE):
        def scaled(self, weight):
            return weight

        weight = functools.partialmethod(scaled, n)

    return Mine()


def with_descriptor(n):
    class Mine(losses.MSE):
        weight = Weight(n)

    return Mine()


def with_metaclass(n):
    class Meta(type(losses.MSE)):
        @property
        def weight(cls):
            return 1.0 * n

    class Mine(losses.MSE, metaclass=Meta):
        pass

    return Mine()


def with_gradients_off(n):
    class Mine(losses.MSE):
        @torch.no_grad()
        def weight(self):
            return 1.0 * n

    return Mine()


MAKERS = {
    "a method with a cache": with_cache,
    "a partial method": with_partial_method,
    "a descriptor": with_descriptor,
    "a property of the class": with_metaclass,
    "a method without gradients": with_gradients_off,
    "a decorator that is an object": lambda n: losses.get(Times(difference, n)),
}


@pytest.mark.parametrize("name", MAKERS)
def test_losses_that_compute_something_else_are_not_equal(name):
    one, same, other = map(MAKERS[name], (1, 1, 2))
    assert one.fingerprint() == same.fingerprint() != other.fingerprint()
    assert one == copy.deepcopy(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (True, np.bool_(True)),
        (np.bool_(True), None),
        (10**400, 10**400 + 1),
        (torch.eye(3).to_sparse(), 2 * torch.eye(3).to_sparse()),
        (log, logging.getLogger("another")),
        (np.float32(0.5), 0.25),
        ({torch.tensor([0.12341])}, {torch.tensor([0.12342])}),
        ({difference, 1}, {difference, 2}),
        ({datetime.date(2026, 1, 1)}, {datetime.date(2026, 1, 2)}),
    ],
)
def test_what_a_loss_may_hold_is_told(one, other):
    same = one is not None and isinstance(other, np.bool_)
    assert fingerprint(one) == fingerprint(copy.copy(one))
    assert (fingerprint(one) == fingerprint(other)) == same


def test_functions_that_call_many_others_are_read_once():
    module = types.ModuleType("own_code")
    lines = ["def f0(a, b): return a"]
    for k in range(1, 60):
        calls = " + ".join(f"f{k - j}(a, b)" for j in (1, 2, 3) if j <= k)
        lines.append(f"def f{k}(a, b): return {calls}")
    exec("\n".join(lines), vars(module))
    before = fingerprint(module.f59)
    exec("def f0(a, b): return b", vars(module))
    assert fingerprint(module.f59) != before


def by_environment(a, b):
    return float(os.environ.get("WEIGHT", 1)) * difference(a, b)


def by_getenv(a, b):
    return float(os.getenv("WEIGHT", "1")) * difference(a, b)


@pytest.mark.parametrize("loss", [by_environment, by_getenv])
def test_the_environment_does_not_count_as_it_differs_from_job_to_job(loss, monkeypatch):
    before = fingerprint(loss)
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert fingerprint(loss) == before


SCRIPT = """
import vaedis as vd
class Weighted(vd.losses.Loss):
    name = "weighted"
    def distance(self, a, b): return {weight} * (a - b).abs().mean((-1, -2, -3))
def weighted(a, b): return {weight} * (a - b).abs().mean((1, 2, 3))
print(vd.losses.get(weighted).fingerprint(), Weighted().fingerprint())
"""


def test_a_loss_of_a_script_is_that_of_the_module_of_its_name(tmp_path):
    def printed(*words):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
        command = [sys.executable, *words]
        text = subprocess.check_output(command, text=True, cwd=tmp_path, env=environment)
        return text.split()[1::2]  # each comes after its name

    (tmp_path / "own_training.py").write_text(SCRIPT.format(weight=2))
    as_script = printed("own_training.py")
    assert len(as_script) == 2
    assert printed("-c", "import own_training") == as_script
    assert printed("-m", "own_training") == as_script
    (tmp_path / "own_training.py").write_text(SCRIPT.format(weight=3))
    assert not set(printed("own_training.py")) & set(as_script)


def logged(network, x, noise, *, loss, beta):
    log.debug("a step")
    return vd.training.objectives.beta_vae(network, x, noise, loss=loss, beta=beta)


def with_an_iterator(network, x, noise, *, loss, beta, numbers=iter([])):  # noqa: B008
    return logged(network, x, noise, loss=loss, beta=beta)


@pytest.mark.parametrize("objective", [logged, with_an_iterator])
def test_an_objective_may_hold_what_takes_no_part_in_training(tmp_path, objective):
    assert vd.fit(SPEC, objective=objective, checkpoint=tmp_path, device="cpu").steps_taken == 6
