from disent.dataset import DisentDataset
from disent.dataset.data import XYSquaresData
from disent.util.visualize.plot import visualize_dataset_traversal
from PIL import Image

data = DisentDataset(XYSquaresData(grid_size=8, grid_spacing=8, num_squares=2))
Image.fromarray(visualize_dataset_traversal(data)[1]).save("factors.png")
