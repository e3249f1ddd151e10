"""One notebook at a time: from MyST to .ipynb, through papermill, and into the cache that Jupyter Book
looks into.

Everything here needs the extra ``book``; the imports are inside the functions, so that `vaedis`
itself loads without it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vaedis._support import cpus, text
from vaedis_companion.book import executions

ADDED_BY_PAPERMILL = {"injected-parameters", "papermill-error-cell-tag"}


class NotebookError(RuntimeError):
    """A notebook stopped; the message names the cell."""


def from_markdown(root: Path, name: str) -> Any:
    """Return a chapter as a notebook without outputs, as Jupytext reads it."""
    import jupytext

    return jupytext.reads(executions.read_page(root / "book" / f"{name}.md"), fmt="md:myst")


def read(path: Path) -> Any:
    """Read an .ipynb file."""
    import nbformat

    return nbformat.read(path, as_version=4)


def write(notebook: Any, path: Path) -> None:
    """Write an .ipynb file."""
    import nbformat

    from vaedis import _files

    _files.write_text(path, nbformat.writes(notebook))


def check_value(name: str, value: Any) -> None:
    """Raise a ValueError for a value that a parameter cell cannot hold."""
    if isinstance(value, list | tuple):
        for item in value:
            check_value(name, item)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ValueError(
                    f"Parameter {name!r} cannot have the key {key!r}; give text, as in {{'key': 1}}."
                )
            check_value(name, item)
    elif (
        isinstance(value, str) and not value.isprintable() and re.search("[\0\ud800-\udfff]", value)
    ):
        raise ValueError(f"Parameter {name!r} cannot be {value!r}, which no file of text can hold.")
    elif value is not None and not isinstance(value, bool | int | float | str):
        kind = type(value).__name__
        raise ValueError(
            f"Parameter {name!r} cannot be {value!r}, a {kind}; give a number, text, True, False, None, a list or a mapping."
        )


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
    build_is_gone: int,
) -> None:
    """Run a notebook in a process of its own.

    Parameters
    ----------
    source, target : Path
        The .ipynb without and with outputs. When a cell fails, the target holds what ran before it.
    folder : Path
        The folder in which it runs.
    profile : str
        Given to the notebook as its parameter ``profile``, where it has one, and as
        ``VAEDIS_PROFILE``.
    params : mapping
        Its other parameters.
    workers : int
        How many notebooks run at a time; each gets its share of the processors.
    build_is_gone : int
        The reading end of a pipe. The notebook and all that it started end when the other end is
        closed.

    Raises
    ------
    NotebookError
        If a cell failed or the kernel died.
    """
    import yaml

    values = dict(params)
    if "profile" in parameters(read(source)):
        values["profile"] = profile
    # More threads than processors make every notebook slower.
    threads = str(max(1, cpus.usable_cpus() // workers))
    environment = {
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), threads),
        # what `vaedis._support.memory.keep_memory` sets, of kernels too
        **{
            "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
            "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
            "MALLOC_ARENA_MAX": "1",
        },
        # seconds a notebook leave no time for a download; an original that is on disk is used all
        # the same
        **({"VAEDIS_OFFLINE": "1"} if profile == "smoke" else {}),
        **os.environ,
        "VAEDIS_PROFILE": profile,
        # The kernel of this environment, not one of the same name that a user has installed
        # elsewhere.
        "JUPYTER_PREFER_ENV_PATH": "1",
    }
    # Set for scripts without a display, it would keep every figure out of the notebooks.
    environment.pop("MPLBACKEND", None)
    # By its path and with -P: no module in the current folder can take the place of one of these.
    command = [
        sys.executable,
        "-P",
        str(Path(__file__).with_name("run_notebook.py")),
        str(source),
        str(target),
        "--kernel",
        "python3",
    ]
    command += [
        "--cwd",
        str(folder),
        "--no-progress-bar",
        "--parameters_yaml",
        yaml.safe_dump(values),
    ]
    done = subprocess.run(
        command,
        env=environment,
        stdin=build_is_gone,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        half_run = None
        # on a full disk there is only a part of a file
        with contextlib.suppress(OSError, ValueError):
            half_run = read(target)
        raise NotebookError(text.plain(what_stopped(half_run, done.returncode, done.stderr)))


def what_stopped(notebook: Any, code: int, stderr: str) -> str:
    """Return one line on why a run ended: the cell's number among the code cells, its first line, and
    the reason.

    Parameters
    ----------
    notebook : NotebookNode or None
        The half-run copy, if there is one.
    code : int
        Exit code of papermill; negative after a signal, for instance when memory ran out.
    stderr : str
        What papermill wrote; its last line is told where no cell raised an exception.
    """
    last_line = next(
        iter(stderr.strip().splitlines()[::-1]), f"papermill ended with exit code {code}"
    )
    if code < 0:
        last_line = f"killed by signal {-code}; out of memory is the usual cause"
    elif "DeadKernelError" in last_line:
        last_line = "the kernel died; out of memory is the usual cause"
    started = ""
    for number, cell in enumerate(own_code_cells(notebook) if notebook else [], start=1):
        place = f"code cell {number} ({next(iter(cell.source.strip().splitlines()), '')})"
        for output in cell.outputs:
            if output.output_type == "error":
                return f"{place}: {output.ename}: {next(iter(output.evalue.splitlines()), '')}"
        # papermill marks every cell "completed" when the kernel dies, but only those that began
        # have a start
        if cell.metadata.get("papermill", {}).get("start_time"):
            started = place
    return f"{started}: {last_line}" if started and "usual cause" in last_line else last_line


def own_code_cells(notebook: Any) -> list[Any]:
    """Return the code cells that the chapter itself has, without those that papermill puts between
    them.
    """
    return [
        c
        for c in notebook.cells
        if c.cell_type == "code" and not ADDED_BY_PAPERMILL & set(c.metadata.get("tags", []))
    ]


def as_the_book_reads_it(root: Path, name: str) -> Any:
    """Return a chapter as Jupyter Book reads it; its cache knows a notebook by exactly these cells
    and their options.
    """
    from myst_nb.core.read import read_myst_markdown_notebook

    path = root / "book" / f"{name}.md"
    return read_myst_markdown_notebook(executions.read_page(path), path=path)


def with_outputs(notebook: Any, run: Any) -> Any:
    """Copy the outputs of a run into a notebook, cell by cell, and return it.

    Raises
    ------
    RuntimeError
        If the two do not have the same code.
    """
    own, ran = [c for c in notebook.cells if c.cell_type == "code"], own_code_cells(run)
    if [c.source.strip() for c in own] != [c.source.strip() for c in ran]:
        raise RuntimeError(
            "A run does not match its notebook: the chapter was edited while it ran; run it again."
        )
    for count, (cell, done) in enumerate(zip(own, ran, strict=True), start=1):
        cell.outputs = done.outputs
        cell.execution_count = count
    return notebook


def standard_error(notebook: Any) -> str | None:
    """Return the first line that a run wrote to standard error and its cell, or None if it wrote
    nothing there.
    """
    for number, cell in enumerate(own_code_cells(notebook), start=1):
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr" and output.text.strip():
                return text.plain(
                    f"code cell {number}: {output.text.strip().splitlines()[0]}", longest=300
                )
    return None


def digest(notebook: Any) -> str:
    """Return a hash of a run's cells, which tells whether its file is as it was written."""
    return hashlib.sha256(json.dumps(notebook.cells, sort_keys=True).encode()).hexdigest()


def cache_path(build: Path) -> Path:
    """Return the folder of Jupyter Book's cache."""
    return build / ".jupyter_cache"


def mend_cache(build: Path) -> None:
    """Remove Jupyter Book's cache if it cannot be read; the runs are put into a new one from where
    they are kept.
    """
    from jupyter_cache import get_cache

    path = cache_path(build)
    if not path.exists():
        return
    cache = get_cache(str(path))
    try:
        with contextlib.closing(sqlite3.connect(path / "global.db")) as database:
            if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise ValueError("its database is not whole")
        for record in cache.list_cache_records():
            cache.get_cache_bundle(record.pk)
        cache.get_version()
        cache.get_cache_limit()
        cache.list_project_records()
    except (
        Exception
    ) as error:  # a database and files of others: whatever they raise, the cache is of no use
        executions.say(
            f"{path} is damaged ({type(error).__name__}) and was removed; it is made again."
        )
        shutil.rmtree(path)


def remember(root: Path, build: Path, name: str, run: Any, seconds: float) -> None:
    """Put a run into Jupyter Book's cache, in the place of an older one."""
    from jupyter_cache import get_cache
    from jupyter_cache.base import CacheBundleIn

    notebook = with_outputs(as_the_book_reads_it(root, name), run)
    bundle = CacheBundleIn(
        notebook, str(root / "book" / f"{name}.md"), data={"execution_seconds": seconds}
    )
    get_cache(str(cache_path(build))).cache_notebook_bundle(
        bundle, check_validity=False, overwrite=True
    )


def is_remembered(root: Path, build: Path, name: str) -> bool:
    """Tell whether Jupyter Book's cache holds outputs for a chapter."""
    if not cache_path(build).exists():
        return False
    from jupyter_cache import get_cache

    cache = get_cache(str(cache_path(build)))
    try:
        cache.get_cache_bundle(cache.match_cache_notebook(as_the_book_reads_it(root, name)).pk)
    except KeyError:
        return False
    return True


def forget(root: Path, build: Path, name: str) -> bool:
    """Take a chapter's outputs out of Jupyter Book's cache, which cannot see that the package or the
    profile changed.

    Returns
    -------
    bool
        Whether there were any.
    """
    if not is_remembered(root, build, name):
        return False
    from jupyter_cache import get_cache

    cache = get_cache(str(cache_path(build)))
    cache.remove_cache(cache.match_cache_notebook(as_the_book_reads_it(root, name)).pk)
    return True
