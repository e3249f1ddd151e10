"""The four benchmark data sets of the paper: factors, published constants, and original files.

Sizes and SHA-256 sums are those that TensorFlow Datasets publishes for the same addresses. Of
Cars3D only the MD5 sum in the authors' ``disent/dataset/data/_groundtruth__cars3d.py`` is known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_ARCHIVE = "https://web.archive.org/web/2020id_/"


@dataclass(frozen=True)
class Original:
    """A file as the authors of a data set publish it."""

    file: str
    digest: str  # "sha256:…", or another algorithm
    size: int | None  # in bytes, if known
    urls: tuple[str, ...]  # the first is asked first


@dataclass(frozen=True)
class Benchmark:
    """A data set of the paper that is published as files."""

    name: str
    factors: dict[str, int]  # names and sizes, slowest first
    shape: tuple[int, int, int]  # height, width and channels of a converted image
    mean: tuple[float, ...]  # as in Table A2, like `std`
    std: tuple[float, ...]
    originals: tuple[Original, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of values of each factor."""
        return tuple(self.factors.values())

    @property
    def stored_shape(self) -> tuple[int, int, int, int]:
        """The shape of the converted array."""
        return (math.prod(self.sizes), *self.shape)


def _norb(part: str, sha256: str, size: int) -> Original:
    file = f"smallnorb-5x46789x9x18x6x2x96x96-training-{part}.mat.gz"
    path = f"cs.nyu.edu/~ylclab/data/norb-v1.0-small/{file}"
    urls = (f"https://{path}", f"http://www.{path}", f"{_ARCHIVE}https://{path}")
    return Original(file, f"sha256:{sha256}", size, urls)


_DSPRITES_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.hdf5"
_SHAPES3D_URL = "https://storage.googleapis.com/3d-shapes/3dshapes.h5"
_CARS3D_FILE = "nips2015-analogy-data.tar.gz"
_CARS3D_URL = f"http://www.scottreed.info/files/{_CARS3D_FILE}"

_DSPRITES = Benchmark(
    name="dsprites",
    factors={"shape": 3, "scale": 6, "orientation": 40, "position_x": 32, "position_y": 32},
    shape=(64, 64, 1),
    mean=(0.042494423521889584,),
    std=(0.19516645880626055,),
    originals=(
        Original(
            _DSPRITES_FILE,
            "sha256:729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb",
            28_024_106,
            (
                "https://raw.githubusercontent.com/deepmind/dsprites-dataset/master/"
                f"{_DSPRITES_FILE}",
                f"https://github.com/google-deepmind/dsprites-dataset/raw/master/{_DSPRITES_FILE}",
            ),
        ),
    ),
)
_SHAPES3D = Benchmark(
    name="shapes3d",
    factors={
        "floor_hue": 10,
        "wall_hue": 10,
        "object_hue": 10,
        "scale": 8,
        "shape": 4,
        "orientation": 15,
    },
    shape=(64, 64, 3),
    mean=(0.502584966788819, 0.5787597566089667, 0.6034499731859578),
    std=(0.2940814043555559, 0.3443979087517214, 0.3661685981524748),
    originals=(
        Original(
            "3dshapes.h5",
            "sha256:0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
            267_573_662,
            (_SHAPES3D_URL, _ARCHIVE + _SHAPES3D_URL),
        ),
    ),
)
_CARS3D = Benchmark(
    name="cars3d",
    factors={"elevation": 4, "azimuth": 24, "object_type": 183},
    shape=(64, 64, 3),
    mean=(0.8976676149976628, 0.8891658020067508, 0.885147515814868),
    std=(0.22503195531503034, 0.2399461278981261, 0.24792106319684404),
    originals=(
        Original(
            _CARS3D_FILE,
            "md5:4e866a7919c1beedf53964e6f7a23686",
            None,
            (
                _CARS3D_URL,
                f"http://www-personal.umich.edu/~reedscot/files/{_CARS3D_FILE}",
                _ARCHIVE + _CARS3D_URL,
            ),
        ),
    ),
)
_SMALLNORB = Benchmark(
    name="smallnorb",
    factors={"category": 5, "instance": 5, "elevation": 9, "rotation": 18, "lighting": 6},
    shape=(64, 64, 1),
    mean=(0.7520918401088603,),
    std=(0.09563879016827262,),
    originals=(
        _norb(
            "dat", "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873", 131_896_188
        ),
        _norb("cat", "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa", 348),
        _norb("info", "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32", 71_052),
    ),
)

BENCHMARKS = {one.name: one for one in (_DSPRITES, _SHAPES3D, _CARS3D, _SMALLNORB)}
