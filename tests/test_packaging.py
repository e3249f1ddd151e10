"""pyproject.toml, constraints.txt and environment.yml say the same; `make` refuses what cannot work
in one sentence.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
CONDA_NAMES = {"pytorch-cpu": "torch"}


def pins() -> dict[str, str]:
    lines = [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), (
        "constraints.txt holds exact versions only"
    )
    versions = [tuple(line.split("==")) for line in lines]
    assert len({canonicalize_name(name) for name, _ in versions}) == len(versions)
    return {canonicalize_name(name): version for name, version in versions}


def direct(*extras: str) -> list[Requirement]:
    stated = PROJECT["dependencies"] + [text for extra in extras for text in EXTRAS[extra]]
    return [r for r in map(Requirement, stated) if r.name != "vaedis"]


def test_core_needs_torch_and_numpy_only():
    assert {r.name for r in direct()} == {"torch", "numpy"}
    assert PROJECT["requires-python"] == ">=3.11"
    assert pins()["torch"] == "2.13.0"


@pytest.mark.parametrize("requirement", direct(*EXTRAS), ids=str)
def test_pins_lie_within_the_ranges(requirement):
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_everything_installed_for_the_book_is_pinned():
    pinned = pins()
    todo = [(r.name, frozenset(r.extras)) for r in direct(*EXTRAS)]
    checked = set()
    while todo:
        name, extras = todo.pop()
        if (name, extras) in checked:
            continue
        checked.add((name, extras))
        assert canonicalize_name(name) in pinned, (
            f"{name} is needed, but constraints.txt does not pin it"
        )
        for text in metadata.requires(name) or []:
            requirement = Requirement(text)
            markers = [{"extra": extra} for extra in extras or {""}]
            wanted = requirement.marker is None or any(
                requirement.marker.evaluate(values) for values in markers
            )
            # A CUDA build of torch brings libraries of its own version, which torch itself pins.
            if wanted and not (
                name == "torch" and re.match(r"nvidia-|cuda-|triton", requirement.name)
            ):
                todo.append((requirement.name, frozenset(requirement.extras)))
    unused = set(pinned) - {canonicalize_name(name) for name, _ in checked}
    assert not unused, "constraints.txt pins what nothing needs"


def test_every_pin_exists_for_the_oldest_python():
    needs = {name: metadata.metadata(name).get("Requires-Python") for name in pins()}
    refused = {
        name: text
        for name, text in needs.items()
        if text and not SpecifierSet(text).contains("3.11.0")
    }
    assert not refused, (
        "some distributions stay at an early 3.11, for which pip would find no such version"
    )


def test_environment_yml_has_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    plain = dict(
        entry.split("=")
        for entry in environment["dependencies"]
        if isinstance(entry, str) and entry != "pip"
    )
    assert plain.pop("python") == "3.11"
    [with_pip] = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    stated = {CONDA_NAMES.get(name, name): version for name, version in plain.items()}
    stated |= dict(entry.split("==") for entry in with_pip)
    extras = ("data", "metrics", "plots", "checkpoints", "notebooks", "book")
    assert {canonicalize_name(r.name) for r in direct(*extras)} == set(stated)
    assert all(pins()[name] == version for name, version in stated.items())


def test_no_file_names_another_package_index():
    for name in (
        "pyproject.toml",
        "constraints.txt",
        "requirements.lock.txt",
        "environment.yml",
        "postBuild",
        "Makefile",
        ".ci/run",
        ".github/workflows/book.yml",
    ):
        text = (ROOT / name).read_text()
        assert not re.search(
            r"index-url|find-links|--extra-index|\s-f\s|download\.pytorch", text
        ), name


def test_workflows_name_each_action_by_its_commit_and_leave_no_token():
    for path in (ROOT / ".github" / "workflows").glob("*.yml"):
        text = path.read_text()
        actions = re.findall(r"uses: *(.*)", text)
        assert actions
        for action in actions:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action
        for job in yaml.safe_load(text)["jobs"].values():
            for step in job["steps"]:
                if step.get("uses", "").startswith("actions/checkout@"):
                    assert step["with"]["persist-credentials"] is False


def locked() -> dict[str, tuple[str, list[str]]]:
    """Return version and hashes of each package in requirements.lock.txt."""
    text = (ROOT / "requirements.lock.txt").read_text().replace("\\\n", " ")
    entries = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    packages = {}
    for requirement, *hashes in entries:
        name, version = requirement.split("==")
        assert canonicalize_name(name) not in packages
        packages[canonicalize_name(name)] = (version, hashes)
    return packages


def test_the_file_with_hashes_has_the_same_pins():
    packages = locked()
    assert {name: version for name, (version, _) in packages.items()} == pins()
    for name, (_, hashes) in packages.items():
        assert hashes, name
        assert len(set(hashes)) == len(hashes), name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", text) for text in hashes), name


def test_every_test_has_a_time_limit(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("timeout")
    assert float(pytestconfig.getini("timeout")) > 0


def test_citation_names_the_paper_and_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == metadata.version("vaedis")
    assert [a["family-names"] for a in citation["preferred-citation"]["authors"]] == [
        "Michlo",
        "Klein",
        "James",
    ]
    assert citation["preferred-citation"]["year"] == 2023


def test_scripts_can_be_executed():
    for name in (".ci/run", "postBuild"):
        assert os.access(ROOT / name, os.X_OK), name
        assert "set -euo pipefail" in (ROOT / name).read_text()


@pytest.mark.parametrize(
    "module",
    ["vaedis", "vaedis_companion.cli", "vaedis_companion.book.build", "vaedis_companion.grids"],
)
def test_import_needs_nothing_from_the_extras(module):
    heavy = [
        "sklearn",
        "scipy",
        "h5py",
        "PIL",
        "numba",
        "matplotlib",
        "pandas",
        "jupyter_book",
        "papermill",
        "jupytext",
        "yaml",
    ]
    code = f"import sys; sys.modules.update(dict.fromkeys({heavy})); import {module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def make(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    return subprocess.run(
        [shutil.which("make"), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def checkout(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def one_sentence(done: subprocess.CompletedProcess) -> str:
    assert done.returncode != 0
    [line] = [
        line
        for line in done.stderr.splitlines()
        if line.startswith("make: ") and not line.startswith("make: ***")
    ]
    return line


@needs_make
def test_make_refuses_an_old_python(checkout):
    old = checkout / "python3.8"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    line = one_sentence(make(checkout, "book", f"PYTHON={old}"))
    assert "3.11 or newer is needed" in line
    assert str(old) in line
    assert not (checkout / ".venv").exists()


@needs_make
def test_make_refuses_where_there_is_no_python(checkout):
    shell = Path(shutil.which("sh"))
    (checkout / "bin").mkdir()
    (checkout / "bin" / "sh").symlink_to(shell)
    assert "3.11 or newer is needed" in one_sentence(
        make(checkout, "test", path=str(checkout / "bin"))
    )


@needs_make
def test_make_refuses_without_constraints(checkout):
    (checkout / "constraints.txt").unlink()
    line = one_sentence(make(checkout, "book"))
    assert "constraints.txt is missing" in line
    assert "git checkout constraints.txt" in line
    assert not (checkout / ".venv").exists()


def environment_without_pip(folder: Path, can_get_pip: bool) -> Path:
    """Make a .venv whose python tells nothing but what it was asked for; pip is there only after
    ensurepip.
    """
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    get = f"touch {folder}/pip" if can_get_pip else "exit 1"
    python.write_text(
        f'#!/bin/sh\necho "$*" >> {folder}/calls\ncase "$*" in\n*ensurepip*) {get};;\n*"-m pip"*) test -e {folder}/pip;;\nesac\n'
    )
    python.chmod(0o755)
    return folder / "calls"


@needs_make
def test_make_gets_pip_for_an_environment_that_uv_made(checkout):
    calls = environment_without_pip(checkout, can_get_pip=True)
    make(checkout, ".venv/.installed", f"PYTHON={sys.executable}")
    words = calls.read_text().splitlines()
    assert words[-3] == "-m ensurepip"
    assert words[-2].startswith("-m pip install")
    assert words[-1].startswith("-m compileall")


@needs_make
def test_make_says_that_an_environment_cannot_get_pip(checkout):
    environment_without_pip(checkout, can_get_pip=False)
    line = one_sentence(make(checkout, ".venv/.installed", f"PYTHON={sys.executable}"))
    assert ".venv has no pip" in line
    assert "rm -rf .venv" in line


@needs_make
def test_make_refuses_an_environment_with_an_old_python(checkout):
    python = checkout / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    line = one_sentence(make(checkout, "book", f"PYTHON={sys.executable}"))
    assert ".venv has a Python older than 3.11" in line


@needs_make
def test_make_sets_up_only_once(checkout):
    stamp = checkout / ".venv" / ".installed"
    stamp.parent.mkdir()
    stamp.touch()
    done = make(checkout, "-n", "book")
    assert "pip install" not in done.stdout
    os.utime(checkout / "constraints.txt", (stamp.stat().st_mtime + 10,) * 2)
    assert "pip install" in make(checkout, "-n", "book").stdout
