"""Saved runs: what is loaded is what was saved, in another process too, or it is refused in a
sentence.
"""

import dataclasses
import hashlib
import json
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import torch
from failing import fail_each
from safetensors.torch import load_file, save_file
from torch import nn

import vaedis as vd
from vaedis import spec as specs
from vaedis.metrics import _encoder
from vaedis.training import saved

TINY = vd.RunSpec(
    data_options={"image_size": 8, "square_size": 2, "grid_size": 3, "num_squares": 1},
    model="mlp",
    model_options={"hidden": [8]},
    latents=2,
    steps=3,
    batch=4,
)


def fit(spec=TINY, **options):
    return vd.fit(spec, device="cpu", **options)


def load(folder, **options):
    return vd.load_run(folder, device="cpu", **options)


@pytest.fixture(scope="module")
def run():
    return fit()


@pytest.fixture
def folder(run, tmp_path):
    run.save(tmp_path / "run")
    return tmp_path / "run"


def record_of(folder):
    return json.loads((folder / "run.json").read_text())


def rewrite(folder, **changes):
    """Change a record as one who also mends its digest."""
    record = record_of(folder) | changes
    record["digest"] = saved.digest(record)
    (folder / "run.json").write_text(json.dumps(record))


def rewrite_tensors(folder, change):
    """Change the tensors as one who also mends the digests."""
    (path,) = folder.glob("run-*.safetensors")
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.rename(folder / f"run-{digest[:16]}.safetensors")
    rewrite(folder, arrays=digest)


def assert_same(loaded, run):
    index = torch.arange(len(run.data))
    for ours, theirs in zip(loaded.posterior(index), run.posterior(index), strict=True):
        assert torch.equal(ours, theirs)
    z = run.posterior(index)[0]
    assert torch.equal(loaded.decode(z), run.decode(z))
    assert torch.equal(loaded.decode_images(z), run.decode_images(z))
    assert (loaded.spec, loaded.precision) == (run.spec, run.precision)
    assert (loaded.seconds, loaded.steps_taken) == (run.seconds, run.steps_taken)
    assert list(loaded.history) == ["loss", "recon", "kl"]
    for name, values in run.history.items():
        assert loaded.history[name].dtype == np.float32
        assert np.array_equal(loaded.history[name], values)
    assert not loaded.model.training
    assert loaded.model.normalize == run.normalize


def test_a_loaded_run_is_the_saved_one(run, folder):
    loaded = load(folder)
    assert_same(loaded, run)
    assert loaded.spec.key == run.spec.key
    assert loaded.record["versions"] == {"vaedis": vd.__version__, "torch": torch.__version__}


def test_another_process_gets_the_same_bits(run, folder):
    code = (
        "import sys, torch, vaedis as vd; torch.set_num_threads(1);"
        "mean, _ = vd.load_run(sys.argv[1], device='cpu').posterior([0, 4]);"
        "print(mean.numpy().tobytes().hex())"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, folder], capture_output=True, text=True
    )
    assert done.stderr == ""
    assert done.stdout.strip() == run.posterior([0, 4])[0].numpy().tobytes().hex()


@pytest.mark.parametrize(
    "change",
    [
        {"data_options": {"num_squares": 1}, "model": "conv", "model_options": {}, "steps": 1},
        {"framework": "ada-gvae", "loss": "bce"},
        {"loss": "box-blur", "loss_options": {"radius": 1}, "normalize": False},
        {"data": "coordinates"},
    ],
    ids=["conv", "bce", "blur", "coordinates"],
)
def test_networks_losses_and_data_of_all_kinds_come_back(change, tmp_path):
    run = fit(TINY.replace(**change))
    run.save(tmp_path)
    assert_same(load(tmp_path), run)


def test_a_member_of_a_population_is_a_run_like_any_other(tmp_path):
    _, run = fit([TINY, TINY.replace(seed=1)])
    run.save(tmp_path)
    assert_same(load(tmp_path), run)


def test_scores_are_kept_as_numbers(run, tmp_path):
    scores = run.scores(["mig"], protocol="fast")
    run.save(tmp_path, scores=scores | {"mine": np.float32(0.5), "undefined": float("nan")})
    loaded = load(tmp_path)
    kept = {"mig": float(scores["mig"]), "mine": 0.5, "undefined": None}
    assert loaded.record["scores"] == kept
    assert "mine 0.500" in repr(loaded)
    with pytest.raises(ValueError, match=r"scores must be numbers .* 'mig' is a list"):
        run.save(tmp_path, scores={"mig": [1, 2]})


class TestDataInPerson:
    @pytest.fixture
    def mine(self, listed):
        return listed[1]

    @pytest.fixture
    def run(self, mine):
        return fit(TINY, data=mine)

    @pytest.fixture
    def folder(self, run, tmp_path):
        run.save(tmp_path)
        return tmp_path

    def test_with_the_data_all_of_it_works(self, run, mine, folder):
        assert_same(load(folder, data=mine), run)

    def test_without_the_data_tensors_go_through(self, run, folder):
        loaded = load(folder)
        x = run.observations([0, 1])
        assert torch.equal(loaded.model.encode(x)[0], run.model.encode(x)[0])
        z = torch.zeros(3, 2)
        assert torch.equal(loaded.decode_images(z), run.decode_images(z))
        assert len(loaded.data) == len(run.data)
        assert loaded.images_per_second == run.images_per_second

    @pytest.mark.parametrize(
        "use",
        [
            lambda run: run.posterior([0]),
            lambda run: run.data.images([0]),
            lambda run: run.data.to_factors([0]),
            lambda run: run.data.traversals(0),
            lambda run: run.scores(["mig"], protocol="fast"),
            lambda run: run.save("elsewhere"),
        ],
    )
    def test_without_the_data_what_needs_images_says_so(self, folder, use):
        sentence = r"the images of 'mine' are not saved .* load_run\(folder, data=mine\)"
        with pytest.raises(ValueError, match=sentence):
            use(load(folder))

    def test_other_images_are_refused(self, folder, listed):
        images, labels = np.zeros((128, 12, 12, 1), np.uint8), listed[1].codes
        other = vd.LabelledImages(images, labels, listed[1].factors.names, name="mine")
        with pytest.raises(
            ValueError, match="trained on other images or labels than those of 'mine'"
        ):
            load(folder, data=other)

    @pytest.mark.parametrize("name", ["mean", "std", "pixel_range"])
    def test_the_same_images_normalized_otherwise_are_refused(self, folder, mine, name):
        other = mine.to("cpu")  # a copy
        load(folder, data=other)
        setattr(other, name, (0.1, 0.9) if name == "pixel_range" else (0.1,))
        sentence = rf"made ready for the network otherwise than those of 'mine': their {name} was "
        with pytest.raises(ValueError, match=sentence):
            load(folder, data=other)

    def test_a_way_of_its_own_to_show_images_needs_the_data(self, tmp_path):
        data = vd.load("coordinates", num_squares=1)
        run = fit(TINY, data=data)
        run.save(tmp_path)
        with pytest.raises(ValueError, match="are not saved with the run"):
            load(tmp_path).decode_images(torch.zeros(1, 2))
        assert_same(load(tmp_path, data=data), run)


def test_a_data_set_that_is_made_otherwise_here_is_refused(folder, monkeypatch):
    monkeypatch.setattr(
        vd.data.XYSquares, "_images", lambda _, index: torch.zeros(len(index), 8, 8, 3).byte()
    )
    with pytest.raises(
        ValueError, match=r"other images or labels than those of 'xysquares' \(generated\)"
    ):
        load(folder)


class Net(nn.Module):
    """A network of one's own, with a buffer of integers."""

    def __init__(self, hidden=4):
        super().__init__()
        self.first = nn.Sequential(nn.Flatten(), nn.Linear(192, hidden), nn.BatchNorm1d(hidden))
        self.last = nn.Linear(hidden, 4)
        self.back = nn.Sequential(nn.Linear(2, 192), nn.Unflatten(1, (3, 8, 8)))

    def encode(self, x):
        return self.last(self.first(x)).chunk(2, -1)

    def decode(self, z):
        return self.back(z)


class TestNetworkInPerson:
    @pytest.fixture
    def folder(self, run, tmp_path):
        self.run = dataclasses.replace(run, model=Net().eval())
        self.run.save(tmp_path)
        return tmp_path

    def test_it_is_given_and_left_alone(self, folder):
        mine = Net()
        before = mine.last.weight.clone()
        loaded = load(folder, model=mine)
        assert torch.equal(loaded.posterior([1])[0], self.run.posterior([1])[0])
        assert torch.equal(mine.last.weight, before)

    def test_without_it_or_with_another_a_sentence_says_what_is_missing(self, folder):
        with pytest.raises(ValueError, match=r"a network of your own, .*Net; .* model=\.\.\."):
            load(folder)
        with pytest.raises(
            ValueError, match=r"do not fit the network: .*size mismatch for first\.1\.weight"
        ):
            load(folder, model=Net(hidden=5))
        with pytest.raises(ValueError, match=r"Unexpected key.*back\.0\.bias"):
            load(folder, model=nn.Linear(2, 2))
        with pytest.raises(TypeError, match="model must be a torch module, not a type"):
            load(folder, model=Net)


class Twice(vd.losses.Loss):
    factor = 2

    def distance(self, a, b):
        return self.factor * (a - b).square().mean((-3, -2, -1))


def test_a_loss_in_person_is_given_again(tmp_path):
    run = fit(TINY.replace(loss=Twice()))
    run.save(tmp_path)
    with pytest.raises(ValueError, match=r"a loss of your own, 'Twice'; .* loss=\.\.\."):
        load(tmp_path)
    with pytest.raises(ValueError, match="trained with another loss than the one given, 'Twice'"):
        load(tmp_path, loss="mse")
    loaded = load(tmp_path, loss=Twice())
    assert_same(loaded, run)
    assert loaded.spec.key == run.spec.key


def test_what_json_cannot_hold_is_refused(run, tmp_path):
    odd = dataclasses.replace(run, spec=TINY.replace(loss_options={"of": object}))
    with pytest.raises(ValueError, match="its RunSpec holds more than names and numbers"):
        odd.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_no_use_is_not_saved(run, tmp_path):
    failed = dataclasses.replace(run, failure=vd.TrainingFailed(TINY, 1, float("nan"), None))
    with pytest.raises(ValueError, match="a run that failed is not saved"):
        failed.save(tmp_path / "run")
    broken = fit()
    with torch.no_grad():
        next(broken.model.parameters())[0] = float("inf")
    with pytest.raises(ValueError, match=r"weights that are not finite, in encoder\.1\.weight"):
        broken.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_mask_of_minus_infinity_is_no_broken_weight(run, tmp_path):
    network = Net()
    network.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))
    dataclasses.replace(run, model=network.eval()).save(tmp_path)
    other = Net()
    other.register_buffer("mask", torch.zeros(2, 2))
    assert torch.equal(load(tmp_path, model=other).model.mask, network.mask)


def test_a_failed_run_has_no_method_that_uses_its_network(run, tmp_path):
    failed = dataclasses.replace(run, failure=vd.TrainingFailed(TINY, 1, float("nan"), None))
    arguments = {
        "scores": [],
        "posterior": [[0]],
        "decode": [torch.zeros(1, 2)],
        "decode_images": [torch.zeros(1, 2)],
        "save": [tmp_path],
        "export_onnx": [tmp_path],
    }
    methods = {name for name, one in vars(vd.training.Run).items() if callable(one)}
    public = {name for name in methods if not name.startswith("_")}
    assert public - arguments.keys() == {"images_in", "observations"}
    for name, given in arguments.items():
        with pytest.raises(ValueError, match=r"network is of no use"):
            getattr(failed, name)(*given)
    assert not list(tmp_path.iterdir())


def test_scores_follow_the_run_and_not_its_network(run):
    network = vd.training.model.build("mlp", run.data.shape, 2, hidden=[8])
    network.normalize = False
    by_hand = dataclasses.replace(run, model=network.eval())
    codes = by_hand.posterior(range(9))[0]
    labels = run.data.to_factors(torch.arange(9))
    assert float(by_hand.scores(["mig"])["mig"]) == float(vd.metrics.mig(codes, labels))


def cut(path, share=0.5):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def arrays_of(folder):
    return next(folder.glob("run-*.safetensors"))


def with_pair(folder):
    """Put the weights of another run in place of a run's."""
    other = folder.parent / "other"
    fit(TINY.replace(seed=1)).save(other)
    shutil.copy(arrays_of(other), arrays_of(folder))


def flip(folder):
    content = bytearray(arrays_of(folder).read_bytes())
    content[-1] ^= 1
    arrays_of(folder).write_bytes(content)


def write_record(text):
    return lambda folder: (folder / "run.json").write_text(text)


def set_record(**changes):
    return lambda folder: rewrite(folder, **changes)


def change_tensors(change):
    return lambda folder: rewrite_tensors(folder, change)


def other_beta(folder):
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace('"beta": 0.001', '"beta": 0.002'))


BIAS = "model.encoder.1.bias"
NO_RUN = "There is no saved run in .*: run.json is missing, cut short, or not written by vaedis"
CHANGED = (
    r"was cut short or changed after it was saved, or lacks its file run-\w+\.safetensors; take"
)
NEWER = "a record that this vaedis does not understand .*; update vaedis"
UNFIT = "do not fit the network: .*"
DAMAGE = {
    "no folder": (shutil.rmtree, NO_RUN),
    "no record": (lambda f: (f / "run.json").unlink(), NO_RUN),
    "an empty record": (write_record(""), NO_RUN),
    "a record cut short": (lambda f: cut(f / "run.json"), NO_RUN),
    "nested without end": (write_record("[" * 10**5), NO_RUN),
    "another program's": (write_record('{"runs": []}'), NO_RUN),
    "a number that was changed": (other_beta, CHANGED),
    "no weights": (lambda f: arrays_of(f).unlink(), CHANGED),
    "weights cut short": (lambda f: cut(arrays_of(f)), CHANGED),
    "a bit that flipped": (flip, CHANGED),
    "another run's weights": (with_pair, CHANGED),
    "a newer layout": (set_record(layout=2), "a newer vaedis, in layout 2, and this one reads 1;"),
    "a path for a digest": (set_record(arrays="../../etc/passwd"), "names no file of weights"),
    "a newer field": (set_record(spec={"colour": 1}), NEWER),
    "a field that is missing": (set_record(data={}), NEWER),
    "weights that are NaN": (
        change_tensors(lambda tensors: tensors[BIAS].fill_(float("nan"))),
        r"has weights that are not finite, in encoder\.1\.bias",
    ),
    "a weight too many": (
        change_tensors(lambda tensors: tensors.update(extra=torch.zeros(1))),
        f'{UNFIT}Unexpected key.* "extra"',
    ),
    "a weight too few": (
        change_tensors(lambda tensors: tensors.pop(BIAS)),
        rf'{UNFIT}Missing key.* "encoder\.1\.bias"',
    ),
    "another shape": (
        change_tensors(lambda tensors: tensors.update({BIAS: torch.ones(9)})),
        rf"{UNFIT}size mismatch for encoder\.1\.bias: .*\[9\].*\[8\]",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_no_whole_run_is_refused_in_a_sentence(damage, folder):
    do, sentence = DAMAGE[damage]
    do(folder)
    with pytest.raises(ValueError, match=sentence) as error:
        load(folder)
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")


def test_where_a_specification_means_something_else_by_now_one_sentence_says_so(
    run, folder, monkeypatch
):
    monkeypatch.setattr("vaedis.training.load.MEANING", specs.MEANING + 1)
    with pytest.warns(UserWarning, match=r"meaning 1 then, 2 today\): trained again, it gives"):
        loaded = load(folder)
    assert_same(loaded, run)


def test_an_earlier_run_is_replaced_and_other_files_are_left_alone(folder):
    (folder / "notes.txt").write_text("mine")
    other = fit(TINY.replace(seed=1))
    other.save(folder)
    assert_same(load(folder), other)
    files = sorted(path.name for path in folder.iterdir())
    assert files == ["notes.txt", arrays_of(folder).name, "run.json"]


def test_weights_of_another_program_are_left_alone(folder):
    theirs = ["run-best.safetensors", "run-0123.safetensors", ".run-mine.tmp"]
    ours = ["run-0123456789abcdef.safetensors", ".run.json.0123abcd.tmp"]
    for name in [*theirs, *ours]:
        (folder / name).touch()
    earlier = record_of(folder)["arrays"][:16]
    other = fit(TINY.replace(seed=1))
    other.save(folder)
    assert_same(load(folder), other)
    now = record_of(folder)["arrays"][:16]
    assert now != earlier
    files = {path.name for path in folder.iterdir()}
    assert files == {*theirs, "run.json", f"run-{now}.safetensors"}


def test_a_record_of_another_program_is_not_replaced(run, tmp_path):
    (tmp_path / "run.json").write_text('{"runs": 3}')
    with pytest.raises(ValueError, match=r"There is no saved run in .* not written by vaedis"):
        run.save(tmp_path)
    assert [path.name for path in tmp_path.glob("run*")] == ["run.json"]
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError, match="file"):
        run.save(tmp_path / "file")


def test_whatever_call_to_the_disk_fails_the_folder_holds_one_whole_run(run, tmp_path):
    folder = tmp_path / "disk"
    old = fit(TINY.replace(seed=1))

    def start():
        shutil.rmtree(folder, ignore_errors=True)
        old.save(folder)

    def check(done):
        loaded = load(folder)
        assert_same(loaded, run if done or loaded.spec == run.spec else old)
        assert not list(folder.glob("*.tmp"))

    calls = fail_each(folder, start, lambda: run.save(folder), check)
    assert {"open", "write", "fsync", "replace"} <= set(calls)


def test_two_that_save_at_once_leave_one_whole_run(run, tmp_path):
    runs = [run, fit(TINY.replace(seed=1))]
    threads = [
        threading.Thread(target=lambda one=one: [one.save(tmp_path) for _ in range(10)])
        for one in runs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    loaded = load(tmp_path)
    assert_same(loaded, runs[loaded.spec.seed])
    assert len(list(tmp_path.glob("run*"))) == 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_run_of_a_cpu_goes_to_a_gpu(run, folder):
    loaded = vd.load_run(folder)
    assert loaded.data.device.type == "cuda"
    assert torch.allclose(loaded.posterior([0])[0].cpu(), run.posterior([0])[0], atol=1e-4)


class Mlp(nn.Module):
    """Has a layer called as an attribute of the package's networks."""

    def __init__(self, activation):
        super().__init__()
        self.normalize = nn.Identity()
        self.activation = activation
        self.head = nn.Linear(192, 8)
        self.out = nn.Linear(8, 4)
        self.tail = nn.Linear(2, 192)

    def encode(self, x):
        return self.out(self.activation(self.head(self.normalize(x).flatten(1)))).chunk(2, 1)

    def decode(self, z):
        return self.tail(z).view(-1, 3, 8, 8)


def test_a_network_that_computes_something_else_with_the_same_weights_is_refused(tmp_path):
    trained = fit(TINY.replace(normalize=False), model=Mlp(nn.GELU()))
    trained.save(tmp_path)
    with pytest.raises(ValueError, match=r"but computes other numbers with them than .*Mlp did"):
        load(tmp_path, model=Mlp(nn.SiLU()))
    narrow = Mlp(nn.GELU())
    narrow.decode = lambda z: narrow.tail(z).view(-1, 3, 8, 8)[..., :4]
    with pytest.raises(ValueError, match=r"but computes other numbers with them than .*Mlp did"):
        load(tmp_path, model=narrow)
    without_decode = Mlp(nn.GELU())
    without_decode.decode = None
    with pytest.raises(ValueError, match=r"but computes other numbers with them than .*Mlp did"):
        load(tmp_path, model=without_decode)
    loaded = load(tmp_path, model=Mlp(nn.GELU()))
    index = torch.arange(9)
    mean = trained.posterior(index)[0]
    # that it was trained on images in [0, 1] is known, though it has a `normalize` of its own
    for network in (trained.model, loaded.model):
        assert torch.equal(_encoder.encoder(network, trained.data)(index), mean)
    rewrite(tmp_path, probe=["x"])
    with pytest.raises(ValueError, match="a record that this vaedis does not understand"):
        load(tmp_path, model=Mlp(nn.GELU()))
    # one of an earlier version has none
    rewrite(tmp_path, probe=None)
    earlier = load(tmp_path, model=Mlp(nn.GELU()))
    assert torch.equal(earlier.posterior(index)[0], mean)


def test_a_program_whose_numbers_are_float64_saves_the_same_record(run, folder):
    before = record_of(folder)
    torch.set_default_dtype(torch.float64)
    try:
        run.save(folder)
    finally:
        torch.set_default_dtype(torch.float32)
    after = record_of(folder)
    assert after["probe"] == before["probe"]
    assert after["probe"]
    assert after["loss"] == before["loss"]


def test_a_loaded_run_that_is_saved_again_keeps_its_scores(run, tmp_path):
    run.save(tmp_path / "one", scores={"mig": 0.25, "dci": float("nan")})
    load(tmp_path / "one").save(tmp_path / "two")
    assert load(tmp_path / "two").record["scores"] == {"mig": 0.25, "dci": None}
    with pytest.raises(TypeError, match=r"scores must be what Run.scores returns, not a list\."):
        run.save(tmp_path / "three", scores=[0.25])
    assert not (tmp_path / "three").exists()


def test_a_loss_that_cannot_be_told_from_others_is_known_by_its_name(tmp_path):
    lock = threading.Lock()

    def locked(a, b):
        with lock:
            return (a - b).abs().mean((1, 2, 3))

    def other(a, b):
        return locked(a, b)

    trained = fit(loss=locked)
    trained.save(tmp_path)
    loaded = load(tmp_path, loss=locked)
    assert loaded.loss.function is locked
    assert torch.equal(loaded.posterior([0, 4])[0], trained.posterior([0, 4])[0])
    with pytest.raises(ValueError, match="was trained with another loss than the one given"):
        load(tmp_path, loss=other)


def test_other_labels_of_the_same_images_are_refused(tmp_path):
    images = np.arange(6, dtype=np.uint8)[:, None, None] * np.full((8, 8), 40, np.uint8)
    labels = np.array([(0, 0), (0, 1), (1, 0), (1, 2), (2, 1), (2, 2)])
    trained = fit(data=(images, labels))
    trained.save(tmp_path)
    assert not trained.data.grid
    assert load(tmp_path, data=(images, labels)).steps_taken == 3
    with pytest.raises(ValueError, match="was trained on other images or labels than those of"):
        load(tmp_path, data=(images, labels[::-1]))


def test_a_folder_of_a_saved_run_holds_its_two_files_only(folder):
    assert len(list(folder.iterdir())) == 2
