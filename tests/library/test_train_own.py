"""Networks, objectives, losses, optimizers and schedules of one's own."""

import copy
import math
import pickle
import threading

import numpy as np
import pytest
import torch
from torch import nn

import vaedis as vd
from vaedis import plots
from vaedis.training import objectives
from vaedis_companion import store

SPEC = vd.RunSpec(
    data_options={"image_size": 16, "square_size": 4, "grid_size": 4, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [32]},
    latents=2,
    steps=8,
    batch=6,  # 16 images: an epoch is 6, 6 and 4
)


class Net(nn.Module):
    """With batch statistics, and noise of torch's own generator."""

    def __init__(self, latents=2, side=16, seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(3 * side * side, 20))
            self.norm = nn.BatchNorm1d(20)
            self.drop = nn.Dropout(0.3)
            self.out = nn.Linear(20, 2 * latents)
            self.tail = nn.Linear(latents, 3 * side * side)
        self.side = side

    def encode(self, x):
        x = x.view(len(x), -1, self.side, self.side)  # fails unless pixels lie in their order
        return self.out(self.drop(self.norm(self.head(x)).relu())).chunk(2, 1)

    def decode(self, z):
        return self.tail(z).view(-1, 3, self.side, self.side)


class Absolute(vd.losses.Loss):
    def distance(self, a, b):
        return (a - b).abs().mean((-3, -2, -1))


def fit(spec=SPEC, **options):
    return vd.fit(spec, device="cpu", **options)


def same_bits(one, other):
    pairs = zip(one.model.state_dict().values(), other.model.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs) and all(
        np.array_equal(one.history[name], other.history[name]) for name in one.history
    )


def stop_after(steps):
    calls = iter(range(10**6))
    return lambda: next(calls) >= steps


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)


def adamw(parameters):
    return torch.optim.AdamW(parameters, lr=0.01)


def twice_the_kl(model, x, noise, *, loss, beta):
    return objectives.beta_vae(model, x, noise, loss=loss, beta=2 * beta)


class Halving(torch.optim.Optimizer):
    """An optimizer without a learning rate."""

    def __init__(self, parameters):
        super().__init__(parameters, {})

    def step(self, closure=None):
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data *= 0.5


def test_a_network_of_ones_own_is_trained_as_a_copy_and_again_to_the_same_bits():
    network = Net()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(1)
    one = fit(model=network)
    expected = torch.rand(1)
    torch.manual_seed(1)
    two = fit(model=network)
    # the dropout follows from the seed, and the program's own numbers are as without it
    assert torch.equal(torch.rand(1), expected)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), expected)
    assert same_bits(one, two)
    assert not same_bits(one, fit(SPEC.replace(seed=1), model=network))
    assert all(torch.equal(network.state_dict()[name], before[name]) for name in before)
    assert not torch.equal(one.model.out.weight, network.out.weight)
    assert isinstance(one.model, Net)
    assert not one.model.training
    assert one.posterior([0, 4])[0].shape == (2, 2)
    assert one.decode_images(torch.zeros(3, 2)).shape == (3, 16, 16, 3)
    assert 0 <= float(one.scores(["mig"])["mig"]) <= 1


@pytest.mark.parametrize("step", [0, 1, 5, 8])
@pytest.mark.parametrize(
    "own",
    [
        {"model": Net()},
        {"objective": twice_the_kl},
        {"optimizer": sgd},
        {"optimizer": adamw, "lr": lambda step: 0.01 / (1 + step)},
        {"optimizer": torch.optim.Adagrad, "model": Net()},
        {"beta": lambda step: 0.1 * step, "lr": lambda step: 1e-3 * step},
    ],
    ids=["model", "objective", "sgd", "adamw", "adagrad", "schedules"],
)
def test_what_was_given_in_person_goes_on_from_checkpoints(tmp_path, own, step):
    spec = SPEC if step < 8 else SPEC.replace(steps=99)
    with pytest.raises(vd.TrainingStopped):
        fit(spec, checkpoint=tmp_path, deadline=stop_after(step), **own)
    steps = []
    run = fit(checkpoint=tmp_path, every=1, callback=lambda n, _: steps.append(n), **own)
    assert len(steps) == 8 - step
    assert same_bits(run, fit(**own))


@pytest.mark.parametrize(
    ("own", "other"),
    [
        ({"model": Net()}, {"model": Net(seed=1)}),
        ({"model": Net()}, {}),
        ({"objective": twice_the_kl}, {"objective": objectives.beta_vae}),
        ({"optimizer": sgd}, {"optimizer": lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9)}),
        ({"lr": lambda step: 0.01}, {"lr": lambda step: 0.02}),
        ({"loss": Absolute()}, {"loss": "mae"}),
    ],
    ids=["weights", "none", "objective", "rate", "schedule", "loss"],
)
def test_a_checkpoint_of_something_else_is_not_taken_up_and_runs_say_what_they_were_given(
    tmp_path, own, other
):
    one = fit(checkpoint=tmp_path, **own)
    steps = []
    two = fit(checkpoint=tmp_path, every=1, callback=lambda n, _: steps.append(n), **other)
    assert len(steps) == 8
    assert len({SPEC.key, one.spec.key, two.spec.key}) == (2 if other == {} else 3)
    assert not same_bits(one, two) or "loss" in own
    assert set(one.spec.custom) == set(own) - {"loss"}
    with pytest.raises(ValueError, match="cannot be stored"):
        store.make_row(one.spec, "fig9", "laptop")


def test_the_run_of_a_network_of_ones_own_names_it_and_asks_for_it_again():
    run = fit(model=Net())
    assert run.spec.model == "custom"
    assert run.spec.custom["model"].startswith("Net ")
    assert vd.RunSpec.from_dict(run.spec.to_dict()) == run.spec
    assert same_bits(fit(run.spec, model=Net()), run)
    with pytest.raises(ValueError, match="is of a run with its own model; give that again, as in"):
        fit(run.spec)


def test_a_run_shows_what_was_given_and_no_number_that_was_not_used():
    run = fit(model=Net(), objective=twice_the_kl, optimizer=sgd, beta=lambda step: 0.5)
    assert "beta-vae, Net, objective twice_the_kl, 2 latents" in repr(run)
    assert "beta <lambda>(step)" in repr(run)
    assert "steps of 6 images, optimizer sgd, seed 0" in repr(run)
    assert "0.001" not in repr(run)
    titles = plots.training(run).get_suptitle(), plots.latent_traversals(run).get_suptitle()
    assert titles[0] == "xysquares, twice_the_kl after 8 steps, β = <lambda>(step)"
    assert titles[1].startswith("xysquares, twice_the_kl after 8 steps: ")
    assert "lr <lambda>(step), seed" in repr(fit(lr=lambda step: 0.01))
    assert "lr 0.001, seed 0" in repr(fit())


def test_the_specification_of_a_run_on_ones_own_data_asks_for_them():
    spec = fit(data=vd.load("xysquares", **SPEC.data_options)).spec
    with pytest.raises(ValueError, match=r"data of your own, 'given: xysquares'; .*data=mine"):
        fit(spec)


def test_a_given_loss_is_the_one_of_the_specification():
    named = fit(SPEC.replace(loss="box-blur", loss_options={"radius": 1}))
    assert same_bits(fit(loss=vd.losses.BoxBlur(radius=1)), named)
    assert fit(SPEC.replace(loss="bce"), loss="mae").spec.key == SPEC.replace(loss="mae").key
    runs = fit([SPEC, SPEC.replace(seed=1)], loss=vd.losses.MAE())
    assert [run.loss for run in runs] == [vd.losses.MAE()] * 2


@pytest.mark.parametrize("framework", ["beta-vae", "ada-gvae"])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_the_objective_of_the_package_given_in_person_takes_the_same_steps(framework, precision):
    spec = SPEC.replace(framework=framework)
    given = {"beta-vae": objectives.beta_vae, "ada-gvae": objectives.ada_gvae}[framework]
    one, two = fit(spec, precision=precision), fit(spec, objective=given, precision=precision)
    assert all(np.array_equal(one.history[name], two.history[name]) for name in one.history)


class Scaled(Net):
    """Called as a whole, with what else its parts take, and with a number that may be set."""

    scale = 1.0

    def encode(self, x, *, shift=0.0):
        mean, logvar = super().encode(x)
        return mean * self.scale + shift, logvar

    def forward(self, x):
        mean, logvar = self.encode(x)
        return {"x": self.decode(mean)}, [mean, logvar]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_an_objective_uses_a_network_alike_in_every_precision(precision):
    dtypes, teachers = [], []

    def objective(model, x, noise, *, loss, beta):
        if not teachers:
            teachers.append(copy.deepcopy(model))
            model.scale = 2.0
            both = [one.eval().encode(x)[0] for one in (teachers[0], model)]
            torch.testing.assert_close(both[1], 2 * both[0])
            model.train()
        outputs, (mean, _) = model(x)
        shifted, _ = model.encode(x, shift=1.0)
        dtypes.append((outputs["x"].dtype, mean.dtype, shifted.dtype))
        return objectives.beta_vae(model, x, noise, loss=loss, beta=beta)

    run = vd.fit(SPEC, model=Scaled(), objective=objective, precision=precision, device="cpu")
    assert run.model.scale == 2.0
    assert type(run.model) is Scaled
    assert dtypes == [(torch.float32,) * 3] * SPEC.steps


def test_an_objective_with_a_state_that_training_changes_has_no_checkpoints(tmp_path):
    counter = nn.Linear(1, 1)

    def counting(model, x, noise, *, loss, beta):
        with torch.no_grad():
            counter.bias += 1
        return objectives.beta_vae(model, x, noise, loss=loss, beta=beta)

    assert fit(objective=counting).steps_taken == 8
    with pytest.raises(ValueError, match="objective holds something that changes as it trains"):
        fit(objective=counting, checkpoint=tmp_path)
    lock = threading.Lock()

    def unknown(model, x, noise, *, loss, beta):
        with lock:
            return objectives.beta_vae(model, x, noise, loss=loss, beta=beta)

    # it is told from others by its name and its first losses
    assert fit(objective=unknown, checkpoint=tmp_path).spec.custom == {"objective": "unknown"}


def test_schedules_by_name_are_their_formulas():
    spec = SPEC.replace(steps=100, beta=0.8, warmup=10, beta_schedule="cyclic", lr=0.2)
    # Fu et al. (2019), equation 6, with T / M = 20 steps a cycle and R = 0.5
    for step in range(100):
        tau = (step % 20) / 20
        assert spec.beta_at(step) == pytest.approx(0.8 * (tau / 0.5 if tau <= 0.5 else 1))
        cosine = spec.replace(lr_schedule="cosine").lr_at(step)
        assert cosine == pytest.approx(0.1 * (1 + math.cos(math.pi * step / 100)))
    assert spec.lr_at(99) == 0.2
    assert vd.RunSpec().key == "cbf62e4384d74986"
    assert vd.RunSpec(lr_schedule="constant", beta_schedule="linear", custom={}) == vd.RunSpec()


@pytest.mark.parametrize(
    ("named", "given"),
    [
        ({"warmup": 2, "beta_schedule": "cyclic"}, {"beta": lambda n: (0, 0.5, 1, 1)[n % 4] * 0.3}),
        ({"warmup": 4}, {"beta": lambda n: min(n / 4, 1) * 0.3}),
        ({"lr_schedule": "cosine"}, {"lr": lambda n: 5e-4 * (1 + math.cos(math.pi * n / 8))}),
    ],
)
def test_schedules_by_name_and_as_functions_take_the_same_steps(named, given):
    spec = SPEC.replace(beta=0.3)
    run = fit(spec.replace(**named))
    assert same_bits(run, fit(spec, **given))
    assert not same_bits(run, fit(spec))
    # a population has them too; its products round otherwise
    (member, other) = fit([spec.replace(**named), spec.replace(seed=1)])
    np.testing.assert_allclose(member.history["loss"], run.history["loss"], rtol=1e-4)
    assert same_bits(other, fit([spec.replace(seed=1)])[0])


def test_an_optimizer_of_ones_own_takes_its_steps():
    run = fit(optimizer=lambda parameters: torch.optim.Adam(parameters, lr=SPEC.lr))
    np.testing.assert_allclose(run.history["loss"], fit().history["loss"], rtol=1e-4)
    # at a rate of 0 nothing moves
    still = fit(optimizer=sgd, lr=lambda step: 0.0)
    start = vd.training.model.build("mlp", (16, 16, 3), 2, hidden=[32])
    assert all(
        torch.equal(a, b) for a, b in zip(still.model.parameters(), start.parameters(), strict=True)
    )
    assert not same_bits(fit(optimizer=sgd), still)


class Wrong(Net):
    """A network that returns what `encode` or `decode` is set to."""

    def __init__(self, encode=None, decode=None, **options):
        super().__init__(**options)
        self.changed = encode, decode

    def encode(self, x):
        found = super().encode(x)
        return found if self.changed[0] is None else self.changed[0](found)

    def decode(self, z):
        found = super().decode(z)
        return found if self.changed[1] is None else self.changed[1](found)


class Frozen(Net):
    def __init__(self):
        super().__init__()
        self.requires_grad_(False)


def wrong_objective(change):
    def objective(model, x, noise, *, loss, beta):
        return change(twice_the_kl(model, x, noise, loss=loss, beta=beta))

    return objective


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"model": "mlp"}, r"not a str; a name goes as in RunSpec\(model='mlp'"),
        ({"model": Net}, "must be a torch.nn.Module with encode.*, not the class Net"),
        ({"model": nn.Linear(2, 2)}, "must be a torch.nn.Module with encode.*, not a Linear"),
        ({"model": Frozen()}, "has no parameters to train"),
        ({"model": Net().double()}, "must be float32, but head.1.weight is torch.float64"),
        (
            {"model": Net(latents=3)},
            r"must return \(mean, logvar\) .* latents=2, each torch.float32 of shape \(2, 2\) on "
            r"cpu, but it returned torch.float32 of shape \(2, 3\) on cpu and torch.float32 of",
        ),
        (
            {"model": Wrong(lambda found: found[0])},
            r"but it returned torch.float32 of shape \(2, 2",
        ),
        ({"model": Wrong(lambda found: None)}, "but it returned a NoneType"),
        (
            {"model": Wrong(lambda found: torch.distributions.Normal(found[0], found[1].exp()))},
            "but it returned a Normal",
        ),
        (
            {"model": Wrong(lambda found: (found[0].double(), found[1]))},
            "but it returned torch.float64 of",
        ),
        (
            {"model": Wrong(lambda found: (found[0].to("meta"), found[1]))},
            r"but it returned torch.float32 of shape \(2, 2\) on meta",
        ),
        (
            {"model": Net(side=8)},
            r"model.encode does not take torch.float32 of shape \(2, 3, 16, 16\) on cpu: ",
        ),
        (
            {"model": Wrong(decode=lambda x: x[:, :1])},
            r"model.decode must return images, .* returned torch.float32 of shape \(2, 1, 16",
        ),
        ({"model": Wrong(decode=lambda x: [x])}, "but it returned a list"),
        ({"objective": "beta-vae"}, "must be a function as objectives.beta_vae is, not 'beta-vae'"),
        ({"objective": wrong_objective(lambda t: t.loss)}, "returned torch.float32 of shape ()"),
        (
            {"objective": wrong_objective(lambda t: (t.loss[None], t.recon, t.kl))},
            r"three tensors of one real number each, but it returned torch.float32 of shape \(1,\) on cpu, ",
        ),
        (
            {"objective": wrong_objective(lambda t: (t.loss, t.recon.item(), 3))},
            "on cpu, a float, a int",
        ),
        (
            {"objective": wrong_objective(lambda t: (t.loss.detach(), t.recon, t.kl))},
            "return a loss with a gradient, but it has none",
        ),
        (
            {"objective": wrong_objective(lambda t: (t.loss * math.nan, t.recon, t.kl))},
            "finite numbers, but before the first step its loss is nan",
        ),
        (
            {"objective": lambda *_, **__: [torch.ones((), requires_grad=True)] * 3},
            "the loss that objective returns does not depend on the network",
        ),
        ({"optimizer": "sgd"}, "optimizer must be a function of the parameters that returns"),
        ({"optimizer": lambda p: None}, "but it returned a NoneType"),
        (
            {"optimizer": Halving, "lr": lambda step: 0.1},
            r"the optimizer has no learning rate 'lr' to set; leave lr out",
        ),
        (
            {"optimizer": lambda p: sgd(Net().parameters())},
            "must train the parameters that it is called with",
        ),
        ({"beta": 0.1}, r"function of the step; a number goes as in RunSpec\(beta=0.1\), not 0.1"),
        (
            {"callback": lambda step: None, "every": 1},
            "callback must be a function of step and run, but",
        ),
        ({"beta": lambda: 1.0}, "beta must be a function of the step; .* too many positional"),
        ({"objective": lambda model, x: x}, "as objectives.beta_vae is, but of yours: too many"),
        ({"optimizer": torch.optim.SGD(Net().parameters())}, r"returns a torch.*, not SGD .*…\.$"),
        (
            {"optimizer": torch.optim.LBFGS},
            "other than LBFGS and SparseAdam, but it returned a LBFGS",
        ),
        ({"model": Wrong(lambda found: 1 / 0)}, "model.encode does not take .*: division by zero"),
        (
            {"model": Wrong(lambda found: (found[0] * math.nan, found[1]))},
            "model.encode must return finite numbers before it is trained",
        ),
        ({"beta": lambda step: 5 - step}, "beta at step 6 must be a finite number of at least 0"),
        ({"lr": lambda step: math.inf}, "lr at step 0 must be a finite number of at least 0"),
    ],
)
def test_bad_input_is_one_sentence(own, says):
    with pytest.raises((TypeError, ValueError), match=says) as caught:
        fit(**own)
    assert str(caught.value).count(". ") == 0


@pytest.mark.parametrize(
    ("spec", "own", "says"),
    [
        (SPEC.replace(warmup=2), {"beta": lambda step: 1}, "so warmup must be 0"),
        (SPEC.replace(lr_schedule="cosine"), {"lr": lambda step: 1}, "leave it 'constant'"),
        (SPEC.replace(lr_schedule="cosine"), {"optimizer": sgd}, "leave it 'constant'"),
        ([SPEC], {"model": Net()}, "model is given to one run, and this is a sequence"),
        ([SPEC], {"lr": lambda step: 1}, "lr is given to one run, and this is a sequence"),
    ],
)
def test_what_does_not_go_together_is_refused(spec, own, says):
    with pytest.raises(ValueError, match=says):
        fit(spec, **own)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "custom"}, "Unknown model 'custom'; choose one of: conv, mlp"),
        ({"beta_schedule": "cyclic"}, "needs warmup, the steps over which beta grows"),
        ({"beta_schedule": "cosine"}, "Unknown schedule of beta 'cosine'; choose one of: linear"),
        ({"lr_schedule": "linear"}, "Unknown schedule of lr 'linear'; choose one of: constant"),
        ({"model": Net()}, r"model must be a name .*, not a Net; .* fit\(spec, model=mine\)"),
        ({"loss": sgd}, r"not a function; give your own as in fit\(spec, loss=mine\)"),
        ({"lr": sgd}, r"not a function; give your own as in fit\(spec, lr=mine\)"),
        ({"custom": "model"}, "custom must be a mapping from names to values, not 'model'"),
    ],
)
def test_a_specification_refuses_schedules_that_do_not_exist(changes, says):
    with pytest.raises(ValueError, match=says):
        SPEC.replace(**changes)


def test_what_a_checkpoint_cannot_hold_is_refused_before_training(tmp_path):
    network = Net()
    network.register_buffer("turns", torch.ones(3, dtype=torch.complex128))
    sentence = r"cannot have a checkpoint, since turns is of the type torch\.complex128, which"
    with pytest.raises(ValueError, match=sentence):
        fit(model=network, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="cannot be saved, since turns is of the type"):
        fit(model=network).save(tmp_path)
    network.turns = network.turns.to(torch.complex64)
    run = fit(model=network, checkpoint=tmp_path / "checkpoints")
    run.save(tmp_path / "run")
    loaded = vd.load_run(tmp_path / "run", model=network, device="cpu")
    assert torch.equal(loaded.model.turns, run.model.turns)


class Shrinking(Net):
    """Returns one number in place of many after some steps, which torch would spread over all."""

    def __init__(self, part, steps):
        super().__init__()
        self.part = part
        self.steps = steps
        self.calls = 0

    def is_small(self, part):
        return self.training and self.part == part and self.calls > self.steps

    def encode(self, x):
        self.calls += self.training
        mean, logvar = super().encode(x)
        return mean, logvar[:, :1] if self.is_small("encode") else logvar

    def decode(self, z):
        x = super().decode(z)
        return x.mean((2, 3), keepdim=True) if self.is_small("decode") else x


@pytest.mark.parametrize("steps", [0, 1, 6])
@pytest.mark.parametrize(
    ("part", "shapes"),
    [("encode", r".*\(., 1\) .* \(., 2\)"), ("decode", r".*\(., 3, 1, 1\) .* \(., 3, 16, 16\)")],
)
def test_other_shapes_in_training_are_refused_at_every_step(part, shapes, steps):
    sentence = rf"model\.{part} must return the same types and shapes in training {shapes}"
    with pytest.raises(ValueError, match=sentence):
        fit(model=Shrinking(part, steps))
    assert fit(model=Shrinking(None, 0)).steps_taken == 8


@pytest.mark.parametrize("step", [1, 5])
@pytest.mark.parametrize("term", ["recon", "kl"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_part_of_the_loss_that_is_not_finite_stops_the_run_and_says_which(term, step, value):
    calls = []

    def objective(model, x, noise, *, loss, beta):
        calls.append(1)
        terms = objectives.beta_vae(model, x, noise, loss=loss, beta=beta)
        return terms._replace(**{term: terms.kl * 0 + value}) if len(calls) > step else terms

    with pytest.raises(vd.TrainingFailed) as caught:
        fit(objective=objective)
    failure = caught.value
    assert (failure.term, failure.step) == (term, step + 1)
    before = fit(SPEC).history[term][step - 1]
    assert failure.last_finite == pytest.approx(before, rel=1e-5)
    assert str(failure).startswith(f"The {term} became {value} at step {step + 1} of 8 (the last")
    assert pickle.loads(pickle.dumps(failure)).term == term
