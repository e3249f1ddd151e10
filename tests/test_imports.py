"""`import vaedis` and `fit` need torch and numpy only; whatever else is missing is named with the
extra that brings it.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# what the extras install, and what that brings along
OTHERS = (
    "scipy sklearn numba llvmlite joblib matplotlib pandas IPython ipykernel jupyter jupyter_book "
    "jupyter_client nbformat nbclient jupytext papermill nbval sphinx numpydoc yaml pytest "
    "hypothesis h5py PIL requests safetensors distributed dask"
)
BLOCK = f"""
import sys

def hide(finder):
    class Blind:
        def find_spec(name, path=None, target=None):
            return None if name.split(".")[0] in {OTHERS.split()!r} else finder.find_spec(name, path, target)
    return Blind

sys.meta_path[:] = [hide(finder) for finder in sys.meta_path]
"""


def run(code: str, warnings: str = "error") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-W", warnings, "-c", BLOCK + code],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_the_package_depends_on_torch_and_numpy_alone():
    assert sorted(d.split(">")[0] for d in PROJECT["dependencies"]) == ["numpy", "torch"]


def test_importing_loading_measuring_and_training_need_torch_and_numpy_alone():
    done = run(
        """
import vaedis as vd, torch
data = vd.load("xysquares", grid_spacing=8)
matrices = vd.distances.traversal_matrices(data, loss="box-blur", factors=["x_R"])
vd.distances.agreement(matrices["x_R"])
vd.load("dsprites").images(torch.arange(2))
run = vd.fit(vd.RunSpec(steps=1, batch=4, framework="ada-gvae"), device="cpu")
run.posterior(torch.arange(3))
import vaedis_companion as vc
vc.grids.grid("fig9"), vc.store.Store().rows("fig9", "laptop"), vc.sweep.describe_missing("fig9")
print("fine")
try:
    import scipy
except ModuleNotFoundError:
    print("blocked")
"""
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "fine\nblocked\n"


@pytest.mark.parametrize(
    ("code", "extra"),
    [
        (
            "import numpy as np, vaedis as vd; vd.metrics.dci(np.eye(60)[:, :2], np.arange(120).reshape(60, 2) % 3)",
            "metrics",
        ),
        ("import vaedis.plots", "plots"),
        ("import vaedis_companion as vc; vc.published.table('fig9_scores')", "plots"),
        ("import vaedis_companion as vc; vc.store.Store().best('fig9').frame", "plots"),
        ("import vaedis as vd; vd.load('cars3d', origin='original')", "data"),
    ],
)
def test_what_is_missing_is_named_with_its_extra(code, extra):
    assert extra in PROJECT["optional-dependencies"]
    done = run(code, "ignore")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(("ImportError: ", "ModuleNotFoundError: "))
    assert f"vaedis[{extra}]" in last
