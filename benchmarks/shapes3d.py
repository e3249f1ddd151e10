"""How close the rendered 3D Shapes come to what is known of the originals: Tables A1 and A2, Figure 3, and original images.

    python benchmarks/shapes3d.py                                      # exact, over all 480,000 images: minutes
    python benchmarks/shapes3d.py --traversals 1000                    # from random traversals
    python benchmarks/shapes3d.py --panels panels.npz --picture a.png  # beside originals: `imgs`, uint8 of shape (N, 64, 64, 3)

Panels are taken to begin at the second row of the originals, as those do that the geometry was fitted to (`vaedis/data/shapes3d.py`); first
and last column and the last two rows are left out. Their factors are searched for.
"""

from __future__ import annotations

import csv
import time
from pathlib import Path

import numpy as np
import torch
from machine import parser
from torch import Tensor

import vaedis as vd
from vaedis.data import FactorData
from vaedis.distances import factor_distances, random_pairs

PUBLISHED = Path(__file__).parents[1] / "results" / "published"
GEOMETRIES, COLOURINGS = 480, 1_000


def published(name: str, **fixed: str) -> list[dict[str, str]]:
    """Rows of a published table that have the values given."""
    with (PUBLISHED / f"{name}.csv").open() as file:
        return [row for row in csv.DictReader(file) if all(row[k] == v for k, v in fixed.items())]


def figure_3(factor: str, size: int) -> np.ndarray:
    """The published matrix of a factor, scaled to 0 … 1; nan where it could not be read."""
    matrix = np.zeros((size, size))
    for row in published("fig3_perceived_matrices", dataset="shapes3d", factor=factor):
        i, j = int(row["i"]), int(row["j"])
        matrix[i, j] = matrix[j, i] = float(row["perceived_distance_scaled_0_1"] or "nan")
    return matrix


def normalisation(data: FactorData, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mean, and mean over images of the unbiased std, of each channel."""
    total = torch.zeros(2, 3, dtype=torch.float64)
    for part in index.split(1024):
        x = data.observations(part, normalize=False).double().flatten(2)
        total += torch.stack([x.mean(-1).sum(0), x.std(-1).sum(0)])
    mean, std = total / len(index)
    return mean, std


def distances(data: FactorData, traversals: int | None) -> None:
    """Print distances along each factor beside Table A1 and Figure 3."""
    print(
        "| factor | mean distance | Table A1 | ratio | sd | Table A1 | correlation with Figure 3 |\n|---|---|---|---|---|---|---|"
    )
    table = {
        row["factor"]: (float(row["mean_distance"]), float(row["distance_std"]))
        for row in published("table_a1_factor_importance", dataset="shapes3d")
    }
    found = factor_distances(data, traversals=traversals)
    for name, ours in sorted(found.items(), key=lambda item: -item[1].mean):
        mean, sd = table[name]
        upper = np.triu_indices(len(ours.matrix), 1)
        correlation = np.corrcoef(ours.matrix[upper], figure_3(name, len(ours.matrix))[upper])[0, 1]
        print(
            f"| {name} | {ours.mean:.4f} | {mean:.4f} | {ours.mean / mean:.3f} | {ours.sd:.4f} | {sd:.4f} | {correlation:.4f} |"
        )
    pairs = random_pairs(data, pairs=20_000, exact_mean=traversals is None)
    mean, sd = table["random"]
    print(
        f"| random pairs | {pairs.mean:.4f} | {mean:.4f} | {pairs.mean / mean:.3f} | {pairs.sd:.4f} | {sd:.4f} | |"
    )


def find(data: FactorData, panel: Tensor) -> tuple[int, float, float]:
    """The index of the image most like a panel, how far it is from it, and how far the best of
    another geometry is (RMSE, of 0 … 1).
    """

    def errors(index: Tensor) -> Tensor:
        squares = (data.images(index)[:, 1:63, 1:63].float() - panel).square()
        return squares.mean((1, 2, 3)).sqrt() / 255

    geometry = 0
    seen = -1
    colouring = int(errors(torch.arange(COLOURINGS) * GEOMETRIES + 247).argmin())
    while geometry != seen:
        seen = geometry
        by_geometry = errors(colouring * GEOMETRIES + torch.arange(GEOMETRIES))
        geometry = int(by_geometry.argmin())
        colouring = int(errors(torch.arange(COLOURINGS) * GEOMETRIES + geometry).argmin())
    best, second = by_geometry.topk(2, largest=False).values.tolist()
    return colouring * GEOMETRIES + geometry, best, second


def originals(data: FactorData, panels: np.ndarray, picture: Path | None) -> None:
    """Print how close the best image comes to each panel, and draw both and twice their difference."""
    print("| panel | factors | RMSE | RMSE of the next geometry |\n|---|---|---|---|")
    shown = []
    total = 0.0
    for k, panel in enumerate(torch.from_numpy(panels)[:, :62, 1:63].float()):
        index, best, second = find(data, panel)
        total += best**2
        image = data.images(torch.tensor([index]))[0, 1:63, 1:63].float()
        shown.append(torch.stack([panel, image, (128 + 2 * (image - panel)).clamp(0, 255)]))
        values = data.factors.to_factors(torch.tensor([index]))[0].tolist()
        print(f"| {k} | {' '.join(map(str, values))} | {best:.4f} | {second:.4f} |")
    print(f"\nRoot mean square over all panels: {(total / len(panels)) ** 0.5:.4f}.")
    if picture is not None:
        import matplotlib.image

        whole = torch.stack(shown).repeat_interleave(3, 2).repeat_interleave(3, 3).byte()
        rows = [
            part.permute(1, 2, 0, 3, 4).flatten(0, 1).flatten(1, 2)
            for part in whole.split(5)
            if len(part) == 5
        ]
        matplotlib.image.imsave(picture, torch.cat(rows).numpy())


def main() -> None:
    """Print everything."""
    arguments = parser(__doc__)
    arguments.add_argument("--traversals", type=int)
    arguments.add_argument("--panels", type=Path)
    arguments.add_argument("--picture", type=Path)
    args = arguments.parse_args()
    started = time.perf_counter()
    data = vd.load("shapes3d")
    data.images(torch.tensor([0]))
    seconds = time.perf_counter() - started
    print(
        f"first image after {seconds:.1f} s; torch {torch.__version__}, {torch.get_num_threads()} threads.\n"
    )
    if args.panels is not None:
        with np.load(args.panels, allow_pickle=False) as file:
            originals(data, file["imgs"], args.picture)
        return
    index = torch.arange(len(data))
    if args.traversals is not None:
        generator = torch.Generator().manual_seed(0)
        index = data.factors.sample_index(8_000, generator=generator)
    print("| channel | mean | Table A2 | std | Table A2 |\n|---|---|---|---|---|")
    for c, mean, std, a, b in zip(
        "RGB", *normalisation(data, index), data.mean, data.std, strict=True
    ):
        print(f"| {c} | {mean:.4f} | {a:.4f} | {std:.4f} | {b:.4f} |")
    print()
    distances(data, args.traversals)


if __name__ == "__main__":
    main()
