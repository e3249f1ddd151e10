"""What the benchmarks compute without measuring: sums, schedules, the page that lists them, and
that both sides of one do the same.
"""

import importlib
import json
import re
import sys
from pathlib import Path

import pytest
import torch

from vaedis import spec as experiments
from vaedis.training import model
from vaedis_companion import store as results

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    """Import a script as its neighbours do."""
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return importlib.import_module


def test_every_script_is_named_on_the_page_and_the_page_is_up_to_date(script):
    keep, page = script("keep"), (FOLDER / "README.md").read_text(encoding="utf-8")
    named = {
        name for pattern in re.findall(r"`([\w*]+\.py)", page) for name in FOLDER.glob(pattern)
    }
    assert named == set(FOLDER.glob("*.py"))
    # the extrapolation changes with each stored run, and says which it rests on
    for name, made in (("scripts", keep.scripts()), ("ways", keep.ways())):
        part = re.search(
            f"<!-- {name}: made by benchmarks/keep.py -->\n\n(.*?)\n\n<!-- end of {name} -->",
            page,
            re.DOTALL,
        )
        assert part, "run python benchmarks/keep.py"
        assert part[1] == made, "run python benchmarks/keep.py"


def test_the_papers_sweep_is_360_different_runs_of_11_and_a_half_billion_images(script):
    extrapolate = script("extrapolate")
    every = extrapolate.published()
    assert [len(specs) for specs in every.values()] == [160, 80, 80, 40]
    assert len({spec.key for spec in extrapolate.whole()}) == 360
    # half of all runs take pairs; Table A4
    assert (
        sum(map(extrapolate.images, extrapolate.whole()))
        == 160 * 115_200 * 256 * 3 // 2 + 200 * 57_600 * 256 * 3 // 2
    )
    assert all(
        {s.beta for s in every["Figure 9, as shown"]} == {s.beta for s in specs}
        for name, specs in every.items()
        if "other" in name
    )


@pytest.mark.parametrize(("places", "expected"), [(1, 12), (2, 7), (3, 5), (5, 3), (64, 3)])
def test_runs_are_handed_out_the_longest_first(script, places, expected):
    specs = [experiments.RunSpec(steps=steps) for steps in (2, 3, 2, 3, 2)]
    assert script("extrapolate").hours(specs, places, lambda spec: 3600 * spec.steps) == expected


def store_of(root, rates):
    """Runs of 1,000 seconds of training and 5 more, at given rates."""
    store = results.Store(root)
    for framework, values in rates.items():
        for seed, rate in enumerate(values):
            steps = int(rate * 1000) // 64 // (2 if framework == "ada-gvae" else 1)
            spec = experiments.RunSpec(framework=framework, steps=steps, batch=64, seed=seed)
            made = {
                "device": "a GPU X1",
                "protocol": "full",
                "threads": 1,
                "images_per_second": float(rate),
                "seconds": 1005.0,
            }
            store.add(
                results.make_row(spec, "fig9", "laptop", scores={"mig": 0.1, "dci": 0.5}, **made)
            )
    return store


def test_hours_follow_from_the_medians_of_stored_runs(tmp_path, script):
    extrapolate = script("extrapolate")
    store = store_of(tmp_path, {"beta-vae": (640, 1280, 6400), "ada-gvae": (1280, 2560, 12800)})
    failed = experiments.RunSpec(seed=9)
    store.add(
        results.make_row(
            failed, "fig9", "laptop", status="failed: x", device="a GPU X1", protocol="full"
        )
    )
    found = extrapolate.measured("X1", store)
    assert [found.rate(f) for f in experiments.FRAMEWORKS] == [1280, 2560]
    assert found.beside() == 5
    spec = experiments.RunSpec(steps=100, batch=256)
    assert found.seconds(spec) == 20 + 5
    assert found.seconds(spec.replace(framework="ada-gvae")) == 20 + 5
    seconds = sum(map(found.seconds, extrapolate.whole()))
    page = extrapolate.report("X1", 2, [1e6], store)
    (first,) = re.findall(
        r"^\| one run at a time on each X1, .* \| ([\d,.]+) \| [\d,.]+ \| [\d,.]+ \|$",
        page,
        re.MULTILINE,
    )
    assert first == f"{seconds / 3600:,.1f}"
    assert "beta-vae 1,280 images/s (640–6,400, 3 runs)" in page
    assert "- CPU: no stored run." in page
    assert extrapolate.measured("X2", store) is None
    assert "one run at a time" not in extrapolate.report("X2", 2, [], store)


def test_ratios_are_read_from_the_columns_that_hold_them(script):
    page = """
| | seconds | ratio | vs x | of the peak |
|---|---|---|---|---|
| a | 900 | 2.50 (2–3) | 1,200.5× | 57% |
| b | 0.1 | 0.5 (1–1) | 3× | |
| itself | 5 | 1.00 (1.00–1.00) | | 61% |

Load at the end 0.4, 1.2, 3.0.
"""
    key_ratios = script("keep").key_ratios
    assert (
        key_ratios(page)
        == "ratio (seconds) 0.5–2.5; vs x 3–1200.5; of the peak 57%–61%; Load at the end 0.4, 1.2, 3.0"
    )
    assert key_ratios("No table.") == "no ratio"


@pytest.mark.parametrize(("code", "printed"), [(0, "| a |"), (3, "| a |"), (0, "no table")])
def test_a_table_is_kept_unless_its_script_fails_or_prints_none(
    tmp_path, monkeypatch, script, capfd, code, printed
):
    keep = script("keep")
    monkeypatch.setattr(keep, "HERE", tmp_path)
    (tmp_path / "toy.py").write_text(
        f'"""Toys: beside others.\n\nMore."""\nimport sys\nprint({printed!r}, sys.argv[1:])\nsys.exit({code})\n'
    )
    assert keep.keep(["toy.py", "--peer-python", "some/python", "--rounds", "2"]) == code
    expected = f"{printed} ['--peer-python', 'some/python', '--rounds', '2']\n"
    assert capfd.readouterr().out == expected
    kept = code == 0 and printed.startswith("|")
    assert (tmp_path / "toy.md").exists() == kept
    if kept:
        title, made, table = (tmp_path / "toy.md").read_text().split("\n\n")
        assert title == "# Toys"
        assert made.startswith(
            "Made by `python benchmarks/toy.py --peer-python PEER --rounds 2` at commit "
        )
        assert table == expected


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_grouped_networks_are_their_members_side_by_side(script, layout):
    networks = [model.build("conv", (64, 64, 3), 4, seed=seed).double() for seed in range(2)]
    for k, bias in enumerate(
        p for network in networks for p in network.parameters() if p.dim() == 1
    ):
        torch.nn.init.normal_(bias, std=0.1, generator=torch.Generator().manual_seed(k))
    stack = script("grouped").Grouped(networks, layout)
    x = torch.randn(
        2, 3, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    (mean, logvar), parts = (
        stack.encode(x),
        [network.encode(one) for network, one in zip(networks, x, strict=True)],
    )
    torch.testing.assert_close(
        mean, torch.stack([part[0] for part in parts]), rtol=1e-10, atol=1e-12
    )
    torch.testing.assert_close(
        logvar, torch.stack([part[1] for part in parts]), rtol=1e-10, atol=1e-12
    )
    decoded = torch.stack(
        [network.decode(part[0]) for network, part in zip(networks, parts, strict=True)]
    )
    torch.testing.assert_close(stack.decode(mean), decoded, rtol=1e-10, atol=1e-12)
    assert sum(w.numel() for w in stack.weights) == sum(
        model.count_parameters(network) for network in networks
    )


def test_scripts_that_extend_are_counted_named_and_explained(script, tmp_path):
    extend = script("extend")
    path = tmp_path / "toy.py"
    path.write_text("# a comment\nimport vaedis\n\n\nprint(1)  # noqa: X\n    # another\n")
    assert extend.lines(path) == 2
    names = [extend.OURS, "disent-0.9.3", "pythae-0.1.2", "disentanglement_lib-1.5"]
    assert [extend.package(name) for name in names[1:]] == [
        "disent",
        "pythae",
        "disentanglement_lib",
    ]
    stored = {path.stem for path in extend.SCRIPTS.glob("*/*.py")}
    assert stored == {task.script for task in extend.TASKS}
    # ours do all of them, and where a peer's script is missing, the page says why or that it was not tried
    assert all(extend.script(task, extend.OURS).exists() for task in extend.TASKS)
    lines = extend.table(extend.TASKS, names, lambda task, name: "done", title="x")
    rows = {row.split(" | ")[0][2:]: row.split(" | ")[1:] for row in lines[2:-1]}
    assert rows["Draw what each factor does"] == ["done", "done", "not offered", "not tried |"]


def test_a_script_that_extends_runs_apart_and_tells_its_time(script, tmp_path):
    extend = script("extend")
    inputs = tmp_path / "inputs"
    inputs.mkdir()
    (inputs / "codes.npy").write_text("seven")
    path = tmp_path / "toy.py"
    path.write_text(
        "import time\nprint(open('codes.npy').read())\nopen('left', 'w').close()\ntime.sleep(0.05)\n"
    )
    made = extend.run(sys.executable, path, inputs)
    assert made.printed == "seven"
    assert made.seconds >= 0.05
    assert made.versions.startswith("Python 3")
    assert [left.name for left in inputs.iterdir()] == ["codes.npy"]
    runs = tmp_path / "runs.jsonl"
    runs.write_text(json.dumps([["toy", "disent-0.9.3"], made._asdict()]) + "\n")
    assert extend.stored(runs) == {("toy", "disent-0.9.3"): [made]}
    path.write_text("raise ValueError('no')\n")
    with pytest.raises(SystemExit, match="no"):
        extend.run(sys.executable, path, inputs)


def test_a_kept_page_names_no_folder_of_the_machine(script):
    keep = script("keep")
    words = ["extend.py", "--python", "disent-0.9.3=/some/python", "--peer-python", "/other"]
    words += ["--runs", "/some/file"]
    shown = [keep.without_path(*pair) for pair in zip(["", *words], words, strict=False)]
    expected = ["extend.py", "--python", "disent-0.9.3=PEER", "--peer-python", "PEER"]
    assert shown == [*expected, "--runs", "RUNS"]
