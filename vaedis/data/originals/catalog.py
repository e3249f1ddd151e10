"""What is known of the four benchmark data sets: factors, published constants, and where their
originals lie. Plain data.

Sizes and SHA-256 sums of dSprites, 3D Shapes and SmallNORB are those that TensorFlow Datasets
publishes for the same addresses; of Cars3D only the MD5 sum in the authors'
``disent/dataset/data/_groundtruth__cars3d.py`` is known. No mirror need be trusted: what does not
match its sum is thrown away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

_ARCHIVE = "https://web.archive.org/web/2020id_/"
_NORB = "cs.nyu.edu/~ylclab/data/norb-v1.0-small/"


@dataclass(frozen=True)
class Original:
    """One file as its authors publish it.

    Attributes
    ----------
    file : str
        Its name.
    digest : str
        Algorithm and hexadecimal digest of the whole file, as in ``"md5:4e86…"``.
    size : int or None
        In bytes, where it is known.
    urls : tuple of str
        Where it lies, the best place first.
    """

    file: str
    digest: str
    size: int | None
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Benchmark:
    """A data set of the paper that is published as files.

    Attributes
    ----------
    name : str
    factors : dict of str to int
        Names and sizes, slowest first.
    shape : (int, int, int)
        Height, width and channels of an image, as converted.
    mean, std : tuple of float
        The published constants of Table A2.
    originals : tuple of tuple of Original
        The files that make the data set; where it is published in several formats, one group for
        each, and any will do.
    """

    name: str
    factors: dict[str, int]
    shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    originals: tuple[tuple[Original, ...], ...]

    @property
    def stored_shape(self) -> tuple[int, int, int, int]:
        """The shape of the converted array."""
        return (math.prod(self.factors.values()), *self.shape)


def _norb(part: str, digest: str, size: int) -> Original:
    file = f"smallnorb-5x46789x9x18x6x2x96x96-training-{part}.mat.gz"
    return Original(
        file,
        digest,
        size,
        (f"https://{_NORB}{file}", f"http://www.{_NORB}{file}", f"{_ARCHIVE}https://{_NORB}{file}"),
    )


def _dsprites(suffix: str, digest: str, size: int | None) -> Original:
    file = f"dsprites_ndarray_co1sh3sc6or40x32y32_64x64.{suffix}"
    places = (
        "raw.githubusercontent.com/deepmind/dsprites-dataset/master",
        "github.com/google-deepmind/dsprites-dataset/raw/master",
    )
    return Original(file, digest, size, tuple(f"https://{place}/{file}" for place in places))


_SHAPES3D = "https://storage.googleapis.com/3d-shapes/3dshapes.h5"
_CARS3D = "http://www.scottreed.info/files/nips2015-analogy-data.tar.gz"

BENCHMARKS = {
    b.name: b
    for b in (
        Benchmark(
            "dsprites",
            {"shape": 3, "scale": 6, "orientation": 40, "position_x": 32, "position_y": 32},
            (64, 64, 1),
            (0.042494423521889584,),
            (0.19516645880626055,),
            (
                (
                    _dsprites(
                        "hdf5",
                        "sha256:729fa22e884c9c500e1f17415d580746b4c5894fbbb780a1319bbcfa39a745bb",
                        28_024_106,
                    ),
                ),
                (_dsprites("npz", "md5:7da33b31b13a06f4b04a70402ce90c2e", None),),
            ),
        ),
        Benchmark(
            "shapes3d",
            {
                "floor_hue": 10,
                "wall_hue": 10,
                "object_hue": 10,
                "scale": 8,
                "shape": 4,
                "orientation": 15,
            },
            (64, 64, 3),
            (0.502584966788819, 0.5787597566089667, 0.6034499731859578),
            (0.2940814043555559, 0.3443979087517214, 0.3661685981524748),
            (
                (
                    Original(
                        "3dshapes.h5",
                        "sha256:0a0f6ed98baff276a50f3a081a7434d788da63cb135a98189b2a5b5769be1785",
                        267_573_662,
                        (_SHAPES3D, _ARCHIVE + _SHAPES3D),
                    ),
                ),
            ),
        ),
        Benchmark(
            "cars3d",
            {"elevation": 4, "azimuth": 24, "object_type": 183},
            (64, 64, 3),
            (0.8976676149976628, 0.8891658020067508, 0.885147515814868),
            (0.22503195531503034, 0.2399461278981261, 0.24792106319684404),
            (
                (
                    Original(
                        "nips2015-analogy-data.tar.gz",
                        "md5:4e866a7919c1beedf53964e6f7a23686",
                        None,
                        (
                            _CARS3D,
                            "http://www-personal.umich.edu/~reedscot/files/nips2015-analogy-data.tar.gz",
                            _ARCHIVE + _CARS3D,
                        ),
                    ),
                ),
            ),
        ),
        Benchmark(
            "smallnorb",
            {"category": 5, "instance": 5, "elevation": 9, "rotation": 18, "lighting": 6},
            (64, 64, 1),
            (0.7520918401088603,),
            (0.09563879016827262,),
            (
                (
                    _norb(
                        "dat",
                        "sha256:5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873",
                        131_896_188,
                    ),
                    _norb(
                        "cat",
                        "sha256:2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa",
                        348,
                    ),
                    _norb(
                        "info",
                        "sha256:de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32",
                        71_052,
                    ),
                ),
            ),
        ),
    )
}
