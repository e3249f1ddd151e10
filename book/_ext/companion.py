"""What this book adds to Sphinx: MathJax from an installed package, the paper's figure numbers, and
runs that are never stale.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from sphinx.errors import ExtensionError

from vaedis_companion.book import build, executions

MATHJAX = "sphinx-mathjax-offline"
MATHJAX_PARTS = (
    "tex-mml-chtml.js",
    "output/chtml/fonts/woff-v2/*.woff",
    "input/tex/extensions/*.js",
)
# Every extension in one file; MathJax loads the single ones by itself when a formula needs them.
MATHJAX_LEFT_OUT = {"all-packages.js"}

PAPER_LABEL = re.compile(r"(?:fig|table)-([a-z]?\d+[a-z]?)$")


def copy_mathjax(app, exception):
    """Copy the few files of MathJax that the pages need beside them, so that a reader without a
    network sees the formulas.
    """
    if exception is not None or app.builder.format != "html":
        return
    spec = importlib.util.find_spec(MATHJAX)
    if spec is None or not spec.submodule_search_locations:
        raise ExtensionError(
            f"The formulas need {MATHJAX}; install it with: pip install -c constraints.txt {MATHJAX}."
        )
    source = Path(spec.submodule_search_locations[0], "static", "mathjax")
    target = Path(app.outdir, "_static", "mathjax")
    for part in MATHJAX_PARTS:
        for path in source.glob(part):
            copy = target / path.relative_to(source)
            if path.name not in MATHJAX_LEFT_OUT and not copy.exists():
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


def use_the_one_table_of_contents(app, config):
    """Read the table of contents beside _config.yml, of which Jupyter Book wants a copy in book/;
    refuse another source folder.
    """
    root = executions.find_root(app.srcdir)
    if Path(app.srcdir).resolve() != (root / "book").resolve():
        # not an ExtensionError, whose sentence Jupyter Book hides above a traceback of its own
        raise SystemExit("vaedis: the chapters are in book/; run: jupyter-book build book/")
    if "external_toc_path" in config:
        try:
            executions.check_contents(root)
        except ValueError as problem:
            raise SystemExit(f"vaedis: {problem}") from None
        config["external_toc_path"] = (root / "_toc.yml").as_posix()


def drop_stale_runs(app):
    """Before anything is read, take runs out of the cache that the package, the results or the
    profile have left behind.
    """
    app.vaedis_root = executions.find_root(app.srcdir)
    # With --path-output this is not the folder beside book/, which may be one that cannot be
    # written to.
    app.vaedis_build = Path(app.env.mystnb_config.execution_cache_path).parent
    if "VAEDIS_EXECUTE" not in os.environ:
        # Held until the process ends; `vaedis book`, which sets this variable, holds it itself.
        app.vaedis_lock = executions.locked(app.vaedis_build)
        app.vaedis_lock.__enter__()
    try:
        build.get_profile()
    except ValueError as problem:
        raise ExtensionError(
            f"{problem} It comes from the environment variable VAEDIS_PROFILE."
        ) from None
    build.drop_stale(app.vaedis_root, app.vaedis_build)
    app.vaedis_facts = executions.read_facts(app.vaedis_build)
    if os.environ.get("VAEDIS_EXECUTE") == "no":
        left_out = [
            f"book/{name}.md"
            for name in executions.notebooks(app.vaedis_root)
            if name not in app.vaedis_facts
        ]
        app.env.mystnb_config = app.env.mystnb_config.copy(execution_excludepatterns=left_out)


def outdated_pages(app, env, added, changed, removed):
    """Name the pages whose run is not the one that they were built from; Sphinx itself looks at the
    page's text only.
    """
    known = getattr(env, "vaedis_run_dates", {})
    dates = {
        name: app.vaedis_facts.get(name, {}).get("date")
        for name in executions.notebooks(app.vaedis_root)
    }
    return [
        name
        for name, date in dates.items()
        if name in env.all_docs and (date is None or known.get(name) != date)
    ]


def record_runs(app, env):
    """After reading, store the facts of the notebooks that Jupyter Book has executed itself."""
    root, facts, executed = app.vaedis_root, app.vaedis_facts, []
    for name in executions.notebooks(root):
        data = env.nb_metadata.get(name, {}).get("exec_data")
        if name not in facts and data and data["succeeded"]:
            executed.append((name, data["runtime"] or 0.0))
    if executed:
        profile = build.get_profile().name
        machine, digest = executions.machine(), executions.project_digest(root)
        # The page that tells of the others comes last, since its key depends on their dates.
        for name, seconds in sorted(executed, key=lambda item: item[0] == executions.LAST):
            key = executions.run_key(root, name, profile, {}, digest, app.vaedis_build)
            facts[name] = executions.make_facts(root, key, profile, {}, seconds, machine)
            executions.write_facts(app.vaedis_build, facts)
    env.vaedis_run_dates = {name: entry["date"] for name, entry in facts.items()}
    return []


def number_like_the_paper(app, env):
    """Give figures and tables their number in the paper, which their label names (`fig-5`,
    `table-a1`); others are S1, S2, ...
    """
    extra = {"figure": 0, "table": 0}
    for docname in _reading_order(env):
        for kind in extra:
            for label in env.toc_fignumbers.get(docname, {}).get(kind, {}):
                match = PAPER_LABEL.match(label)
                if match is None:
                    extra[kind] += 1
                number = match[1].capitalize() if match else f"S{extra[kind]}"
                env.toc_fignumbers[docname][kind][label] = (number,)
    return []


def _reading_order(env):
    """Return the pages in the order of the table of contents."""
    return [
        name for name in executions.pages(executions.find_root(env.srcdir)) if name in env.all_docs
    ]


def tell_how_it_was_run(app, pagename, templatename, context, doctree):
    """Close each notebook's page with a line on the run that made its figures."""
    facts = app.vaedis_facts.get(pagename)
    if facts is None and pagename in executions.notebooks(app.vaedis_root):
        context["body"] += '<p class="run-facts">This page was not run: it shows no outputs.</p>'
    elif facts and "body" in context:
        day = datetime.fromisoformat(facts["date"]).astimezone(UTC).date().isoformat()
        parts = [
            f"profile {facts['profile']}",
            f"{facts['seconds']:.0f} s",
            facts["device"],
            f"torch {facts['torch']}",
        ]
        parts += [f"commit {facts['commit']}", day]
        context["body"] += (
            f'<p class="run-facts">How this page was run: {escape(" · ".join(parts))}</p>'
        )


def setup(app):
    """Connect all of it."""
    # Set for scripts without a display, it would keep every figure out of the notebooks that
    # Jupyter Book executes.
    os.environ.pop("MPLBACKEND", None)
    # Jupyter Book executes in the smoke profile unless another is asked for, and that one downloads
    # nothing.
    if os.environ.get("VAEDIS_PROFILE", "") in ("", "smoke"):
        os.environ.setdefault("VAEDIS_OFFLINE", "1")
    # Before sphinx_external_toc reads it.
    app.connect("config-inited", use_the_one_table_of_contents, priority=1)
    # After myst_nb has set itself up on the same event.
    app.connect("builder-inited", drop_stale_runs, priority=900)
    app.connect("env-get-outdated", outdated_pages)
    app.connect("env-updated", record_runs)
    # After Sphinx's own numbering, which is connected to the same event.
    app.connect("env-get-updated", number_like_the_paper, priority=900)
    app.connect("html-page-context", tell_how_it_was_run)
    app.connect("build-finished", copy_mathjax)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
