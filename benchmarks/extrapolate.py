"""What the paper's whole sweep would take on 1, 8 and 64 GPUs, from the speeds that stored runs had.

    python benchmarks/extrapolate.py [--gpu H100] [--shared 6] [--rate 150000]

Nothing is trained. Runs and images come from the paper's grids (`vaedis_companion.grids`), speeds
from the rows under ``results/``. Standard output is two tables in Markdown and what they rest on.

A run of S steps takes S × batch images, twice as many for Ada-GVAE, whose batch is of pairs. It
takes images / r + s seconds: r, the median images/s of stored runs of its framework, and s, the
median of what they took beside training: scores, figures' arrays, data. Runs are handed out the
longest first to the free places of n GPUs; the last to end gives the hours.
"""

from __future__ import annotations

import heapq
import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from machine import parser

from vaedis import spec as experiments
from vaedis.spec import RunSpec
from vaedis_companion import grids, store as results
from vaedis_companion.sweep.missing import n_images as images

GPUS = (1, 8, 64)


def published() -> dict[str, list[RunSpec]]:
    """The runs of the paper, by figure: Table A4 crosses Figure 9's with two betas, of which the
    figure shows one each.
    """
    fig9 = grids.grid("fig9", "paper")
    betas = sorted({spec.beta for spec in fig9})
    other_beta = [spec.replace(beta=betas[spec.beta == betas[0]]) for spec in fig9]
    return {
        "Figure 6": grids.grid("fig6", "paper"),
        "Figure 9, as shown": fig9,
        "Figure 9, the other beta": other_beta,
        "Figure 11": grids.grid("fig11", "paper"),
    }


def whole() -> list[RunSpec]:
    """All of them."""
    return list(itertools.chain.from_iterable(published().values()))


@dataclass
class Measured:
    """What stored runs of the convolutional network on one kind of device say."""

    rows: list[results.Row]

    def of(self, framework: str) -> list[results.Row]:
        """The rows of one framework."""
        return [row for row in self.rows if row["framework"] == framework]

    def rate(self, framework: str) -> float:
        """Median images/s of a run's steps."""
        return statistics.median(row["images_per_second"] for row in self.of(framework))

    def beside(self) -> float:
        """Median seconds of a run that were not its steps."""
        return statistics.median(
            row["seconds"] - images(results.spec_of(row)) / row["images_per_second"]
            for row in self.rows
        )

    def seconds(self, spec: RunSpec) -> float:
        """What a run would take at that rate."""
        return images(spec) / self.rate(spec.framework) + self.beside()

    def __str__(self) -> str:
        parts = []
        for framework in experiments.FRAMEWORKS:
            rates = [row["images_per_second"] for row in self.of(framework)]
            parts.append(
                f"{framework} {self.rate(framework):,.0f} images/s ({min(rates):,.0f}–{max(rates):,.0f}, {len(rates)} runs)"
            )
        facts = []
        for name in ("batch", "threads", "data", "torch", "commit", "date"):
            values = sorted({str(row[name]) for row in self.rows})
            facts.append(f"{name} {' and '.join(values)}")
        return f"{', '.join(parts)}; {', '.join(facts)}"


def measured(device: str, store: results.Store | None = None) -> Measured | None:
    """The stored runs on devices whose name holds a word; None unless there are some of both
    frameworks.
    """
    store = store or results.Store()
    rows = [row for table in store.tables() for row in store.rows(*table)]
    wanted = {"model": "conv", "status": "finished", "protocol": "full"}
    # an equal run may be stored for more than one experiment
    fits = {
        row["key"]: row
        for row in rows
        if device in row["device"] and all(row[name] == value for name, value in wanted.items())
    }
    measurement = Measured([fits[key] for key in sorted(fits)])
    return measurement if all(map(measurement.of, experiments.FRAMEWORKS)) else None


def hours(specs: Sequence[RunSpec], places: int, seconds: Callable[[RunSpec], float]) -> float:
    """When the last run ends, if runs are handed out the longest first to so many places."""
    end_times = [0.0] * places
    for spec in sorted(specs, key=seconds, reverse=True):
        heapq.heapreplace(end_times, end_times[0] + seconds(spec))
    return max(end_times) / 3600


def work() -> str:
    """Table of runs and images."""
    lines = ["| runs of the paper | runs | images, G |", "|---|---|---|"]
    every = published()
    for name, specs in [*every.items(), ("all", whole())]:
        lines.append(f"| {name} | {len(specs)} | {sum(map(images, specs)) / 1e9:.2f} |")
    return "\n".join(lines)


def _line(
    name: str, specs: Sequence[RunSpec], seconds: Callable[[RunSpec], float], places: int
) -> str:
    cells = [f"{hours(specs, n * places, seconds):,.1f}" for n in GPUS]
    return f"| {name} | {' | '.join(cells)} |"


def report(
    gpu: str, shared: int, rates: Sequence[float], store: results.Store | None = None
) -> str:
    """Both tables and what they rest on, in Markdown."""
    specs = whole()
    heads = [f"{n} GPU" if n == 1 else f"{n} GPUs" for n in GPUS]
    lines = [work(), "", f"| hours for all | {' | '.join(heads)} |", f"|---|{'---|' * len(GPUS)}"]
    card = measured(gpu, store)
    cpu = measured("cpu", store)
    if card:
        name = (
            f"one run at a time on each {gpu}, at the speed that runs had while several shared one"
        )
        lines.append(_line(name, specs, card.seconds, 1))
        name = f"{shared} runs at a time on each {gpu}, each at that speed"
        lines.append(_line(name, specs, card.seconds, shared))
    for rate in rates:
        name = f"at {rate:,.0f} images/s a GPU: **not measured**, a goal"
        lines.append(_line(name, specs, lambda spec, r=rate: images(spec) / r, 1))
    lines += ["", "Measured:", ""]
    for name, measurement in ((gpu, card), ("CPU", cpu)):
        said = "no stored run."
        if measurement:
            said = f"{measurement}; beside its steps a run took {measurement.beside():.0f} s."
        lines.append(f"- {name}: {said}")
    if cpu:
        years = hours(specs, 1, cpu.seconds) / 24 / 365.25
        lines.append(
            f"- On one such CPU, one run at a time, the whole would take {years:.2f} years."
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    arguments = parser(__doc__)
    add = arguments.add_argument
    help_gpu = "a word in the name of the device of the stored runs to go by"
    help_shared = "processes that shared one GPU (rows do not say; benchmarks/gpu_runs.py has 6)"
    help_rate = "images/s of one GPU to show beside, though not measured"
    add("--gpu", default="H100", help=help_gpu)
    add("--shared", type=int, default=6, help=help_shared)
    add("--rate", type=float, nargs="*", default=[150_000], help=help_rate)
    options = arguments.parse_args()
    print(report(options.gpu, options.shared, options.rate))


if __name__ == "__main__":
    main()
