from disent.dataset import DisentDataset
from disent.dataset.data import XYSquaresData
from disent.dataset.transform import ToImgTensorF32
from disent.util.lightning.callbacks._callback_vis_dists import compute_factor_distances


def edges(a, b):
    return [(a - b).diff(dim=-1).square().mean((1, 2, 3))]


data = DisentDataset(
    XYSquaresData(grid_size=8, grid_spacing=8, num_squares=2), transform=ToImgTensorF32()
)
_, matrices = compute_factor_distances(data, edges, ["edges"], traversal_repeats=64)
for name, (_, matrix) in zip(data.gt_data.factor_names, matrices, strict=True):
    print(name, matrix.round(4), sep="\n")
