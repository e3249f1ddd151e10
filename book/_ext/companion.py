"""What this book adds to Sphinx.

MathJax from an installed package, the paper's figure numbers, links to the API reference, and runs
that are never stale.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.util.nodes import make_refnode

from vaedis_companion import grids
from vaedis_companion.book import executions, notebooks, stored

MATHJAX = "sphinx-mathjax-offline"
MATHJAX_PARTS = (
    "tex-mml-chtml.js",
    "output/chtml/fonts/woff-v2/*.woff",
    "input/tex/extensions/*.js",
)
# every extension in one file; MathJax loads the single ones by itself when a formula needs them
MATHJAX_BUNDLE = "all-packages.js"

# a name of the library, as in `vd.fit` or `vd.metrics.mig(codes, factors)`
LIBRARY_NAME = re.compile(r"(?:(?:vd|vaedis)\.)?([A-Za-z][\w.]*)(?:\(.*\))?", re.DOTALL)

# literals and lines of examples, in a docstring
VERBATIM = re.compile(r"(``.*?``|^ *(?:>>>|\.\.\.) [^\n]*)", re.DOTALL | re.MULTILINE)

PAPER_LABEL = re.compile(r"(?:fig|table)-([a-z]?\d+[a-z]?)$")


def copy_mathjax(app, exception):
    """Copy the files of MathJax that the pages need, so that they show formulas offline."""
    if exception is not None or app.builder.format != "html":
        return
    spec = importlib.util.find_spec(MATHJAX)
    if spec is None or not spec.submodule_search_locations:
        raise ExtensionError(
            f"The formulas need {MATHJAX}; install it with: "
            f"pip install -c constraints.txt {MATHJAX}."
        )
    source = Path(spec.submodule_search_locations[0], "static", "mathjax")
    target = Path(app.outdir, "_static", "mathjax")
    for part in MATHJAX_PARTS:
        for path in source.glob(part):
            copy = target / path.relative_to(source)
            if path.name != MATHJAX_BUNDLE and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


def use_the_one_table_of_contents(app, config):
    """Read the _toc.yml beside _config.yml, not its copy; refuse another source folder."""
    root = executions.find_root(app.srcdir)
    if Path(app.srcdir).resolve() != (root / "book").resolve():
        # Jupyter Book hides the sentence of an ExtensionError above a traceback of its own
        raise SystemExit("vaedis: the chapters are in book/; run: jupyter-book build book/")
    if "external_toc_path" in config:
        try:
            executions.pages(root)
        except ValueError as problem:
            raise SystemExit(f"vaedis: {problem}") from None
        config["external_toc_path"] = (root / "_toc.yml").as_posix()


def drop_stale_runs(app):
    """Before anything is read, withdraw the runs that are not current."""
    # nobody looks on while chapters run, so progress would stay on the page
    os.environ.setdefault("TQDM_DISABLE", "1")
    app.vaedis_root = executions.find_root(app.srcdir)
    # with --path-output not the folder beside book/, which may be read-only
    app.vaedis_build = Path(app.env.mystnb_config.execution_cache_path).parent
    if "VAEDIS_EXECUTE" not in os.environ:
        # held until the process ends; `vaedis book`, which sets this variable, holds it itself
        app.vaedis_lock = executions.locked(app.vaedis_build)
        app.vaedis_lock.__enter__()
    try:
        grids.profile(None)
    except ValueError as problem:
        raise ExtensionError(
            f"{problem} It comes from the environment variable VAEDIS_PROFILE."
        ) from None
    app.vaedis_notebooks = executions.notebooks(app.vaedis_root)
    app.vaedis_facts = stored.show(app.vaedis_root, app.vaedis_build)
    if os.environ.get("VAEDIS_EXECUTE") == "no":
        not_run = [name for name in app.vaedis_notebooks if name not in app.vaedis_facts]
        patterns = [f"book/{name}.md" for name in not_run]
        app.env.mystnb_config = app.env.mystnb_config.copy(execution_excludepatterns=patterns)


def outdated_pages(app, env, added, changed, removed):
    """Return the pages whose run is not the one they were built from; Sphinx compares text only."""
    built_from = getattr(env, "vaedis_run_dates", {})
    outdated = []
    for name in app.vaedis_notebooks:
        date = app.vaedis_facts.get(name, {}).get("date")
        if name in env.all_docs and (date is None or built_from.get(name) != date):
            outdated.append(name)
    return outdated


def record_runs(app, env):
    """After reading, store the facts of the notebooks that Jupyter Book has executed itself."""
    facts = app.vaedis_facts
    executed = {}
    for name in app.vaedis_notebooks:
        data = env.nb_metadata.get(name, {}).get("exec_data")
        if name not in facts and data and data["succeeded"]:
            executed[name] = data["runtime"] or 0.0
    if executed:
        profile = grids.profile(None).name
        machine = executions.machine()
        digest = executions.project_digest(app.vaedis_root)
        # the page that lists the others comes last: its key depends on their dates
        for name in sorted(executed, key=lambda name: name == executions.LAST):
            key = executions.run_key(app.vaedis_root, name, profile, {}, digest, app.vaedis_build)
            facts[name] = executions.make_facts(key, profile, {}, executed[name], machine)
            executions.write_facts(app.vaedis_build, facts)
            run = notebooks.from_cache(app.vaedis_root, app.vaedis_build, name)
            file = app.vaedis_build / "notebooks" / profile / f"{name}.ipynb"
            stored.store(file, run, facts[name])
    env.vaedis_run_dates = {name: entry["date"] for name, entry in facts.items()}
    return []


def number_like_the_paper(app, env):
    """Number figures and tables by their label (`fig-5`, `table-a1`); others are S1, S2, ..."""
    n_extra = {"figure": 0, "table": 0}
    for name in executions.pages(app.vaedis_root):
        numbers = env.toc_fignumbers.get(name, {})
        for kind in n_extra:
            for label in numbers.get(kind, {}):
                match = PAPER_LABEL.match(label)
                if match is None:
                    n_extra[kind] += 1
                number = match[1].capitalize() if match else f"S{n_extra[kind]}"
                numbers[kind][label] = (number,)
    return []


def keep_bars(app, what, name, obj, options, lines):
    """Keep |i - j| in docstrings, which reStructuredText takes for a substitution.

    Literals and examples are kept as they are anyway.
    """
    parts = VERBATIM.split("\n".join(lines))
    parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
    lines[:] = "".join(parts).split("\n")


def leave_out_fields(app, what, name, obj, skip, options):
    """Leave out the fields of named tuples, of which autodoc knows nothing but the number."""
    about = getattr(obj, "__doc__", None) or ""
    return True if about.startswith("Alias for field number") else None


def link_names(app, doctree, docname):
    """Link names of the library in the text to the API reference."""
    objects = app.env.get_domain("py").objects
    # backticks are literals in Markdown, and title references in docstrings
    for node in [*doctree.findall(nodes.literal), *doctree.findall(nodes.title_reference)]:
        match = LIBRARY_NAME.fullmatch(node.astext())
        entry = objects.get(f"vaedis.{match[1]}") if match else None
        if entry is not None and not isinstance(node.parent, nodes.reference):
            link = make_refnode(app.builder, docname, entry.docname, entry.node_id, node.deepcopy())
            node.replace_self(link)


def show_how_it_was_run(app, pagename, templatename, context, doctree):
    """Close each notebook's page with a line on the run that made its figures."""
    facts = app.vaedis_facts.get(pagename)
    if pagename not in app.vaedis_notebooks or "body" not in context:
        return
    line = "This page was not run: it shows no outputs."
    if facts is not None:
        day = datetime.fromisoformat(facts["date"]).astimezone(UTC).date().isoformat()
        parts = (
            f"profile {facts['profile']}",
            f"{facts['seconds']:.0f} s",
            facts["device"],
            f"torch {facts['torch']}",
            f"commit {facts['commit']}",
            day,
        )
        line = f"How this page was run: {escape(' · '.join(parts))}"
    context["body"] += f'<p class="run-facts">{line}</p>'


def setup(app):
    """Connect all of it."""
    # set for scripts without a display, it would keep every figure out of the notebooks
    os.environ.pop("MPLBACKEND", None)
    # Jupyter Book executes in the smoke profile by default, and that one downloads nothing
    if os.environ.get("VAEDIS_PROFILE", "") in ("", "smoke"):
        os.environ.setdefault("VAEDIS_OFFLINE", "1")
    # before sphinx_external_toc reads it
    app.connect("config-inited", use_the_one_table_of_contents, priority=1)
    # after myst_nb has set itself up on the same event
    app.connect("builder-inited", drop_stale_runs, priority=900)
    app.connect("env-get-outdated", outdated_pages)
    app.connect("env-updated", record_runs)
    # after Sphinx's own numbering, which is connected to the same event
    app.connect("env-get-updated", number_like_the_paper, priority=900)
    # after numpydoc, which reads the docstring as it is
    app.connect("autodoc-process-docstring", keep_bars, priority=900)
    app.connect("autodoc-skip-member", leave_out_fields)
    app.connect("doctree-resolved", link_names)
    app.connect("html-page-context", show_how_it_was_run)
    app.connect("build-finished", copy_mathjax)
    app.setup_extension("figure_receipts")
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
