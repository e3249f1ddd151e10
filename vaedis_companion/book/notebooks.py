"""One notebook at a time: from MyST to .ipynb, through papermill, and into Jupyter Book's cache.

Imports of the extra ``book`` are inside the functions, so that the command line loads without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaedis import _files
from vaedis._support import cpus, text
from vaedis_companion.book import display, executions

ADDED_BY_PAPERMILL = {"injected-parameters", "papermill-error-cell-tag"}

# the heap of a notebook gives memory back to the system, as in `vaedis.training.step`
MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    "MALLOC_ARENA_MAX": "1",
}


class NotebookError(RuntimeError):
    """A notebook stopped; the message names the cell."""


def as_the_book_reads_it(root: Path, name: str) -> Any:
    """Return a chapter as Jupyter Book reads it; its cache compares exactly these cells."""
    from myst_nb.core.read import read_myst_markdown_notebook

    path = root / "book" / f"{name}.md"
    return read_myst_markdown_notebook(executions.read_page(root, name), path=path)


def read(path: Path) -> Any:
    """Read an .ipynb file."""
    import nbformat

    return nbformat.read(path, as_version=4)


def write(notebook: Any, path: Path) -> None:
    """Write an .ipynb file."""
    import nbformat

    _files.write_text(path, nbformat.writes(notebook))


def parameters(notebook: Any) -> list[str]:
    """Return the names in a notebook's parameter cell."""
    from papermill.translators import PythonTranslator

    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    return [parameter.name for cell in cells for parameter in PythonTranslator.inspect(cell)]


def execute(
    source: Path,
    target: Path,
    folder: Path,
    profile: str,
    params: Mapping[str, Any],
    workers: int,
    build_pipe: int,
) -> None:
    """Run a notebook in a process of its own; raise a NotebookError if it stops.

    It runs in a folder with a share of the processors, and ends when the other end of the pipe
    closes. If a cell fails, the target holds what ran before it.
    """
    import yaml

    values = dict(params)
    if "profile" in parameters(read(source)):
        values["profile"] = profile
    # by its path and with -P: no module in the current folder can replace one of these
    script = Path(__file__).with_name("run_notebook.py")
    command = [sys.executable, "-P", str(script), str(source), str(target)]
    command += ["--kernel", "python3", "--cwd", str(folder), "--no-progress-bar"]
    command += ["--parameters_yaml", yaml.safe_dump(values)]
    process = subprocess.run(
        command,
        env={**_environment(profile, workers), "IPYTHONDIR": str(ipython_folder(target))},
        stdin=build_pipe,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if process.returncode != 0:
        raise NotebookError(text.plain(why_stopped(target, process.returncode, process.stderr)))


def ipython_folder(target: Path) -> Path:
    """Make a folder of IPython settings beside the target: figures carry their numbers.

    A user's own settings and history stay out of the book.
    """
    folder = target.parent / "ipython"
    startup = folder / "profile_default" / "startup" / "figures.py"
    startup.parent.mkdir(parents=True, exist_ok=True)
    startup.write_text(display.STARTUP)
    return folder


def _environment(profile: str, workers: int) -> dict[str, str]:
    """Return the environment variables of a notebook; those that the user has set win."""
    # more threads than processors make every notebook slower
    threads = str(max(1, cpus.usable_cpus() // workers))
    limits = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    # nobody looks on, so progress would stay on the page
    environment = {**dict.fromkeys(limits, threads), **MALLOC, "TQDM_DISABLE": "1"}
    if profile == "smoke":  # seconds a notebook leave no time for a download
        environment["VAEDIS_OFFLINE"] = "1"
    environment |= os.environ
    environment["VAEDIS_PROFILE"] = profile
    if environment.get("VAEDIS_RESULTS"):  # notebooks run in another folder
        environment["VAEDIS_RESULTS"] = str(Path(environment["VAEDIS_RESULTS"]).resolve())
    # the kernel of this environment, not one of the same name elsewhere
    environment["JUPYTER_PREFER_ENV_PATH"] = "1"
    # set for scripts without a display, it would keep every figure out of the notebooks
    environment.pop("MPLBACKEND", None)
    return environment


def why_stopped(target: Path, code: int, stderr: str) -> str:
    """Return one line on why a run ended, from its half-run copy and from papermill's output."""
    # the file may be absent, and on a full disk it is incomplete
    with contextlib.suppress(OSError, ValueError):
        for number, cell in enumerate(own_code_cells(read(target)), start=1):
            for output in cell.outputs:
                if output.output_type == "error":
                    name = f"code cell {number} ({_first_line(cell.source)})"
                    return f"{name}: {output.ename}: {_first_line(output.evalue)}"
    last_line = [f"papermill ended with exit code {code}", *stderr.strip().splitlines()][-1]
    if code >= 0 and "DeadKernelError" not in last_line:
        return last_line
    return "the notebook: it was killed; out of memory is the usual cause"


def _first_line(source: str) -> str:
    return next(iter(source.strip().splitlines()), "")


def own_code_cells(notebook: Any) -> list[Any]:
    """Return a chapter's own code cells, without those that papermill adds."""
    return [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and not ADDED_BY_PAPERMILL & set(cell.metadata.get("tags", []))
    ]


def with_outputs(notebook: Any, run: Any) -> Any:
    """Copy the outputs of a run into a notebook with the same code cells, and return it."""
    cells, executed = own_code_cells(notebook), own_code_cells(run)
    if [cell.source.strip() for cell in cells] != [cell.source.strip() for cell in executed]:
        raise RuntimeError(
            "A run does not match its notebook: the chapter was edited while it ran; run it again."
        )
    for count, (cell, source) in enumerate(zip(cells, executed, strict=True), start=1):
        cell.outputs = source.outputs
        cell.execution_count = count
    return notebook


def standard_error(notebook: Any) -> str | None:
    """Return the cell and the first line that a run wrote to standard error, if any."""
    for number, cell in enumerate(own_code_cells(notebook), start=1):
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr" and output.text.strip():
                return text.plain(f"code cell {number}: {_first_line(output.text)}", longest=300)
    return None


def digest(notebook: Any, facts: Mapping[str, Any]) -> str:
    """Return a hash of a run's cells and facts, which shows damage to its file."""
    content = json.dumps([notebook.cells, facts], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def cache_path(build: Path) -> Path:
    """Return the folder of Jupyter Book's cache."""
    return build / ".jupyter_cache"


def _cache(build: Path) -> Any:
    from jupyter_cache import get_cache

    return get_cache(str(cache_path(build)))


def add_to_cache(root: Path, build: Path, name: str, run: Any, seconds: float) -> None:
    """Put a run into Jupyter Book's cache, in place of an older one."""
    from jupyter_cache.base import CacheBundleIn

    notebook = with_outputs(as_the_book_reads_it(root, name), run)
    path = str(root / "book" / f"{name}.md")
    bundle = CacheBundleIn(notebook, path, data={"execution_seconds": seconds})
    _cache(build).cache_notebook_bundle(bundle, check_validity=False, overwrite=True)


def from_cache(root: Path, build: Path, name: str) -> Any:
    """Return a chapter with the outputs that Jupyter Book has made of it."""
    cache = _cache(build)
    record = cache.match_cache_notebook(as_the_book_reads_it(root, name))
    return with_outputs(executions.read_chapter(root, name), cache.get_cache_bundle(record.pk).nb)
