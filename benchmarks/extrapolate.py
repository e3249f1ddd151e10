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

import argparse
import heapq
import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vaedis import spec as experiments
from vaedis.spec import RunSpec
from vaedis_companion import grids, store as results

GPUS = (1, 8, 64)


def images(spec: RunSpec) -> int:
    """Images that a run trains on."""
    return spec.steps * spec.batch * (2 if spec.framework == "ada-gvae" else 1)


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
            measurement = [row["images_per_second"] for row in self.of(framework)]
            parts.append(
                f"{framework} {self.rate(framework):,.0f} images/s ({min(measurement):,.0f}–{max(measurement):,.0f}, {len(measurement)} runs)"
            )
        values_of = {
            name: sorted({str(row[name]) for row in self.rows})
            for name in ("batch", "threads", "data", "torch", "commit", "date")
        }
        return (
            ", ".join(parts)
            + "; "
            + ", ".join(f"{name} {' and '.join(values)}" for name, values in values_of.items())
        )


def measured(device: str, store: results.Store | None = None) -> Measured | None:
    """The stored runs on devices whose name holds a word; None unless there are some of both
    frameworks.
    """
    store = store or results.Store()
    rows = [row for table in store.tables() for row in store.rows(*table)]
    # an equal run may be stored for more than one experiment
    fits = {
        r["key"]: r
        for r in rows
        if device in r["device"]
        and r["model"] == "conv"
        and r["status"] == "finished"
        and r["protocol"] == "full"
    }
    measurement = Measured(sorted(fits.values(), key=lambda row: row["key"]))
    return (
        measurement
        if all(measurement.of(framework) for framework in experiments.FRAMEWORKS)
        else None
    )


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
    lines = [
        work(),
        "",
        f"| hours for all | {' | '.join(f'{n} GPU{chr(115) * (n > 1)}' for n in GPUS)} |",
        f"|---|{'---|' * len(GPUS)}",
    ]
    card, cpu = measured(gpu, store), measured("cpu", store)
    if card:
        lines.append(
            _line(
                f"one run at a time on each {gpu}, at the speed that runs had while several shared one",
                specs,
                card.seconds,
                1,
            )
        )
        lines.append(
            _line(
                f"{shared} runs at a time on each {gpu}, each at that speed",
                specs,
                card.seconds,
                shared,
            )
        )
    for rate in rates:
        lines.append(
            _line(
                f"at {rate:,.0f} images/s a GPU: **not measured**, a goal",
                specs,
                lambda spec, r=rate: images(spec) / r,
                1,
            )
        )
    lines += ["", "Measured:", ""]
    for name, measurement in ((gpu, card), ("CPU", cpu)):
        lines.append(
            f"- {name}: {measurement}; beside its steps a run took {measurement.beside():.0f} s."
            if measurement
            else f"- {name}: no stored run."
        )
    if cpu:
        lines.append(
            f"- On one such CPU, one run at a time, the whole would take {hours(specs, 1, cpu.seconds) / 24 / 365.25:.2f} years."
        )
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--gpu", default="H100", help="a word in the name of the device of the stored runs to go by"
    )
    parser.add_argument(
        "--shared",
        type=int,
        default=6,
        help="processes that shared one GPU (rows do not say; benchmarks/gpu_runs.py has 6)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        nargs="*",
        default=[150_000],
        help="images/s of one GPU to show beside, though not measured",
    )
    options = parser.parse_args()
    print(report(options.gpu, options.shared, options.rate))


if __name__ == "__main__":
    main()
