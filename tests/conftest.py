"""What the tests share: one thread, hypothesis without luck, and small data sets."""

import signal

import pytest
import torch
from hypothesis import settings

from vaedis.data import LabelledImages, XYSquares

torch.set_num_threads(1)
# the same examples in every run, and no clock: a test that fails must fail again
settings.register_profile("vaedis", deadline=None, max_examples=25, derandomize=True, database=None)
settings.load_profile("vaedis")

# a shell that starts tests in the background makes them, and all that they start, ignore these
for _name, _handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", signal.SIG_DFL)):
    _number = getattr(signal, _name, None)  # Windows has no SIGHUP
    if _number and signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch, tmp_path_factory):
    """Neither a reader's environment nor a network must decide what a test sees."""
    for name in ("VAEDIS_PROFILE", "VAEDIS_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("VAEDIS_OFFLINE", "1")
    monkeypatch.setenv("VAEDIS_DATA", str(tmp_path_factory.getbasetemp() / "data"))


@pytest.fixture
def tiny():
    """16 images of 16×16 pixels: one square in 4×4 places that do not overlap."""
    return XYSquares(image_size=16, square_size=4, grid_size=4, num_squares=1)


@pytest.fixture
def small():
    """81 images of 10×10 pixels: two squares in 3×3 places that overlap."""
    return XYSquares(image_size=10, square_size=4, grid_spacing=3, grid_size=None, num_squares=2)


@pytest.fixture
def listed():
    """64 images of one square in 8×8 places; and a table that has each of them twice in random
    order, so that it is no grid.
    """
    data = XYSquares(image_size=12, square_size=4, grid_spacing=1, num_squares=1, rgb=False)
    index = torch.randperm(128, generator=torch.Generator().manual_seed(0)) % 64
    table = LabelledImages(
        data.images(index).numpy(),
        data.factors.to_factors(index).numpy(),
        data.factors.names,
        name="mine",
    )
    return data, table
