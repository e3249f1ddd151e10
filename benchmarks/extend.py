"""What it takes to extend a package, in lines and seconds: own loss, network, objective, score, and keeping a run.

    python benchmarks/keep.py extend.py --python disent-0.8.0=PEER --python disent-0.9.3=PEER --python pythae-0.1.2=PEER\
        --python disentanglement_lib-1.5=PEER

Each --python names a package, its version, and an interpreter that has it; without one, ours alone are measured.
The scripts lie in benchmarks/extend/, a folder for each package, and were written for this comparison: the shortest
that we found, each in the form that `ruff format` gives it. Lines are those that are neither blank nor a comment.

Each script runs in a process and an empty folder of its own, which has images, codes and factors as .npy files. In
each round all packages run a task one after the other. Seconds are those of the whole script, imports included; CPU
seconds hardly depend on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from machine import about

import vaedis as vd

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE / "extend"
OURS = f"vaedis-{vd.__version__}"
# all of these are for scores, and small, since one of the peers takes minutes for thousands of rows
ROWS, LATENTS, SIZES = 600, 9, (8, 8, 8, 8)


class Task(NamedTuple):
    """A task, what it is called in the tables, and what to know of peers that take part or do not."""

    script: str
    title: str
    notes: Mapping[str, str] = {}


BY_HAND = "the package has no function for it; the script does it itself, with torch"
NO_SCORES = "it has no scores of disentanglement"
NO_FACTORS = "its data sets have no factors"
TASKS = (
    Task("imports", "Nothing but the imports of a training"),
    Task("own_loss", "Train under a loss of one's own"),
    Task(
        "loss_distances",
        "Mean distances of that loss along each factor, 64 traversals each",
        {"pythae": NO_FACTORS},
    ),
    Task("own_network", "Train a network of one's own, the same perceptron in all"),
    Task("schedule", "Let β grow over the first 10 steps", {"pythae": BY_HAND}),
    Task(
        "more_steps",
        "Train 20 steps, and go on to 40",
        {"pythae": "its trainers store the optimizer's state and have no function that reads it"},
    ),
    Task("own_objective", "Train under an objective of one's own"),
    Task(
        "score_codes",
        f"MIG, DCI and SAP of {ROWS} stored codes",
        {
            "disent": "by private functions; the public ones take a data set and an encoder",
            "pythae": NO_SCORES,
        },
    ),
    Task("save_and_load", "Train, save, load, compare codes"),
    Task("export", "Write encoder and decoder as ONNX", {"disent": BY_HAND, "pythae": BY_HAND}),
    Task("progress", "Show the progress of a training"),
    Task("factor_traversals", "Draw what each factor does", {"pythae": NO_FACTORS}),
    Task("latent_traversals", "Draw what each latent does", {"pythae": BY_HAND}),
    Task(
        "every_score",
        f"Every score of {ROWS} stored codes, with InfoMEC, MCC, R², the β-VAE score and IRS",
        {
            "disent": "it has none of InfoMEC, MCC, R², the β-VAE score and IRS",
            "pythae": NO_SCORES,
            "disentanglement_lib": "it has the β-VAE score and IRS, and none of InfoMEC, MCC and R²",
        },
    ),
    Task(
        "diagnose",
        "Say which factors a VAE can find under a loss, and advise",
        {
            "disent": "`metric_distances` correlates distances of data and factors, for all factors together, and advises nothing",
            "pythae": NO_FACTORS,
        },
    ),
)


class Run(NamedTuple):
    """One run of a script: what it took, on what it ran, and what it printed."""

    seconds: float
    cpu: float
    versions: str
    printed: str


def package(name: str) -> str:
    """The package of a name such as "disent-0.9.3"."""
    return name.rpartition("-")[0]


def script(task: Task, name: str) -> Path:
    return SCRIPTS / package(name) / f"{task.script}.py"


def lines(path: Path) -> int:
    """How many lines are neither blank nor a comment."""
    stripped = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return sum(bool(line) and not line.startswith("#") for line in stripped)


def write_inputs(folder: Path) -> None:
    """Store what the scripts read: images for those that have no such data set, codes and factors."""
    data = vd.load("xysquares", grid_spacing=8, num_squares=2)
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    np.save(folder / "images.npy", data.images(order[:640]).permute(0, 3, 1, 2).numpy())
    random = np.random.default_rng(0)
    factors = random.integers(0, SIZES, (ROWS, len(SIZES)))
    mixing = np.eye(len(SIZES), LATENTS) + random.normal(0, 0.2, (len(SIZES), LATENTS))
    np.save(folder / "factors.npy", factors)
    np.save(folder / "codes.npy", factors @ mixing + random.normal(0, 0.3, (ROWS, LATENTS)))


def run(python: str, path: Path, inputs: Path) -> Run:
    """Run a script in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        for stored in inputs.iterdir():
            (Path(folder) / stored.name).symlink_to(stored)
        done = subprocess.run(
            [python, str(SCRIPTS / "timed.py"), str(path)],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(HERE.parent)},
        )
    if done.returncode:
        raise SystemExit(f"{path.parent.name}/{path.name} failed:\n{done.stderr[-3000:]}")
    *printed, times = done.stdout.strip().splitlines()
    return Run(**json.loads(times), printed="\n".join(printed).strip())


def stored(runs: Path) -> dict[tuple[str, str], list[Run]]:
    """The runs that a file holds; the key is a task's script and a package's name."""
    found: dict[tuple[str, str], list[Run]] = {}
    for line in runs.read_text(encoding="utf-8").splitlines() if runs.exists() else ():
        key, made = json.loads(line)
        found.setdefault(tuple(key), []).append(Run(**made))
    return found


def measure(tasks: list[Task], pythons: Mapping[str, str], rounds: int, runs: Path) -> None:
    """Run what there is and is not in the file yet, all packages in turn, and add it to the file."""
    with tempfile.TemporaryDirectory() as folder:
        write_inputs(Path(folder))
        for number in range(rounds):
            for task in tasks:
                for name, python in pythons.items():
                    key = (task.script, name)
                    if not script(task, name).exists() or len(stored(runs).get(key, ())) > number:
                        continue
                    print(f"round {number + 1}: {name} {task.script}", file=sys.stderr)
                    made = run(python, script(task, name), Path(folder))
                    with runs.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([key, made._asdict()]) + "\n")


def spread(values: list[float]) -> str:
    """Median, lowest and highest; a single value alone."""
    ends = f" ({min(values):.1f}–{max(values):.1f})" if len(values) > 1 else ""
    return f"{statistics.median(values):.1f}{ends}"


def table(tasks: list[Task], names: list[str], cell, *, title: str) -> list[str]:
    """A table of all tasks and packages in Markdown; `cell` makes what one of them holds."""
    text = [f"| {title} | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for task in tasks:
        cells = []
        for name in names:
            if script(task, name).exists():
                cells.append(cell(task, name))
            else:
                cells.append("not offered" if package(name) in task.notes else "not tried")
        text.append(f"| {task.title} | {' | '.join(cells)} |")
    return [*text, ""]


def notes(tasks: list[Task], names: list[str]) -> list[str]:
    """What the tables cannot say, one line for each task and peer."""
    packages = dict.fromkeys(map(package, names))
    return [
        f"- {task.title}, {peer}: {task.notes[peer]}."
        for task in tasks
        for peer in packages
        if peer in task.notes
    ]


def document(
    tasks: list[Task], names: list[str], found: dict[tuple[str, str], list[Run]], load: str
) -> list[str]:
    """Return the page: lines, seconds, CPU seconds, notes, and what ours print."""

    def timed(clock: str):
        def cell(task: Task, name: str) -> str:
            runs = found.get((task.script, name), ())
            return spread([getattr(made, clock) for made in runs]) if runs else "not measured"

        return cell

    rounds = max(map(len, found.values()), default=0)
    versions = {name: runs[0].versions for (_, name), runs in found.items()}
    text = [
        f"{load}.\n",
        "".join(f"- {name}: {versions.get(name, 'not measured')}\n" for name in names),
        f"Rounds: {rounds} at most; medians, lowest–highest. Images are XYSquares with two squares; "
        "training is 20 steps of 32 images unless the task says otherwise. vaedis, disent and "
        "disentanglement_lib train their convolutional network, pythae the perceptron that it has by default, "
        "each in its default precision. Builds of torch differ, which shows in the imports; seconds depend on the "
        "load, CPU seconds hardly.\n",
        # the book shows what lies between the marks
        "<!-- tables -->\n",
        *table(tasks, names, lambda task, name: str(lines(script(task, name))), title="lines"),
        *table(tasks, names, timed("cpu"), title="CPU seconds"),
        "<!-- end of tables -->\n",
        *table(tasks, names, timed("seconds"), title="seconds"),
        'What was looked for where a cell says "not offered", and what to know of some others:\n',
        *notes(tasks, names),
        "\n## What ours print\n",
    ]
    for task in tasks:
        runs = found.get((task.script, OURS), ())
        if not runs:
            continue
        shown = f"```text\n{runs[0].printed}\n```" if runs[0].printed else "It prints nothing."
        text.append(f"`extend/vaedis/{task.script}.py`:\n\n{shown}\n")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=PATH", help="a peer's interpreter"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--runs", type=Path, help="file to keep runs in; those that it holds are not made again"
    )
    parser.add_argument("--only", nargs="+", choices=[task.script for task in TASKS])
    options = parser.parse_args()
    peers = dict(words.split("=", 1) for words in options.python)
    unknown = [name for name in peers if not (SCRIPTS / package(name)).is_dir()]
    if unknown:
        parser.error(f"there are no scripts for {', '.join(unknown)}")
    pythons = {OURS: sys.executable, **peers}
    tasks = [task for task in TASKS if not options.only or task.script in options.only]
    before = about()
    with tempfile.TemporaryDirectory() as folder:
        runs = options.runs or Path(folder) / "runs.jsonl"
        measure(tasks, pythons, options.rounds, runs)
        print("\n".join(document(tasks, list(pythons), stored(runs), before)))


if __name__ == "__main__":
    main()
