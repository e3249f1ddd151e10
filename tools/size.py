"""Measure how large and how tangled the packages are: ``python tools/size.py [CHECKOUT]``.

Prints one Markdown table: files, lines (all, code, docstrings), the longest file and function,
imports between modules, circles of imports, public names, and how long commands take to start.
Needs grimp, which comes with import-linter.
"""

from __future__ import annotations

import ast
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path


def docstring_lines(tree: ast.AST) -> int:
    """Return how many lines the docstrings of a module take."""
    lines = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            text = first.value if isinstance(first, ast.Expr) else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                lines += first.end_lineno - first.lineno + 1
    return lines


def measure(package: Path) -> dict[str, object]:
    """Return what can be counted in a package's files."""
    lengths = {}
    functions = {}
    docs = blank = comments = wide = names = 0
    listed: set[str] = set()
    for path in sorted(package.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree = ast.parse(text)
        name = str(path.relative_to(package.parent))
        lines = text.splitlines()
        lengths[name] = len(lines)
        docs += docstring_lines(tree)
        blank += sum(not line.strip() for line in lines)
        comments += sum(line.lstrip().startswith("#") for line in lines)
        wide += sum(len(line) > 100 for line in lines)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                functions[f"{name}:{node.name}"] = node.end_lineno - node.lineno + 1
        for node in tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                names += not node.name.startswith("_")
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                listed |= {element.value for element in node.value.elts}
    longest = max(lengths, key=lengths.__getitem__)
    longest_function = max(functions, key=functions.__getitem__)
    total = sum(lengths.values())
    return {
        "files": len(lengths),
        "files flat at its top": len(list(package.glob("*.py"))),
        "lines": total,
        "of these code": total - docs - blank - comments,
        "of these docstrings": docs,
        "files over 350 lines": sum(length > 350 for length in lengths.values()),
        "longest file": f"{longest}, {lengths[longest]}",
        "longest function": f"{longest_function}, {functions[longest_function]}",
        "lines over 100 columns": wide,
        "public classes and functions": names,
        "names in __all__": len(listed),
    }


def imports(root: Path, packages: list[str]) -> dict[str, object]:
    """Return how many imports between modules there are, and how many circles of modules."""
    script = (
        "import grimp, sys\n"
        f"graph = grimp.build_graph(*{packages!r}, cache_dir=None)\n"
        "modules = sorted(graph.modules)\n"
        "arrows = {m: graph.find_modules_directly_imported_by(m) for m in modules}\n"
        "def reach(start):\n"
        "    seen, todo = set(), list(arrows[start])\n"
        "    while todo:\n"
        "        m = todo.pop()\n"
        "        if m not in seen:\n"
        "            seen.add(m); todo += arrows[m]\n"
        "    return seen\n"
        "ways = {m: reach(m) for m in modules}\n"
        "circles = {frozenset(n for n in modules if n in ways[m] and m in ways[n])\n"
        "           for m in modules if m in ways[m]}\n"
        "print(sum(map(len, arrows.values())), len(circles), sum(map(len, circles)))\n"
    )
    words = [sys.executable, "-c", script]
    out = subprocess.run(words, cwd=root, env=path_of(root), capture_output=True, text=True)
    arrows, circles, members = out.stdout.split()
    return {"imports between modules": arrows, "circles": f"{circles}, of {members} modules"}


def path_of(root: Path) -> dict[str, str]:
    """Return the environment in which Python finds the packages of a checkout first."""
    return {**os.environ, "PYTHONPATH": str(root)}


def start_time(root: Path, words: list[str], repeats: int = 5) -> float:
    """Return the median seconds that a command takes."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(words, cwd=root, env=path_of(root), capture_output=True, check=True)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def main() -> None:
    """Print the table of a checkout, by default of this one."""
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1]).resolve()
    packages = [name for name in ("vaedis", "vaedis_companion") if (root / name).is_dir()]
    facts = {name: measure(root / name) for name in packages}
    print("| | " + " | ".join(packages) + " |")
    print("|---|" + "--:|" * len(packages))
    for fact in facts[packages[0]]:
        print(f"| {fact} | " + " | ".join(str(facts[name][fact]) for name in packages) + " |")
    for fact, value in imports(root, packages).items():
        print(f"| {fact}, in all | {value} |")
    command = packages[-1]
    print(f"| import vaedis | {start_time(root, [sys.executable, '-c', 'import vaedis']):.2f} s |")
    helping = [sys.executable, "-m", command, "--help"]
    print(f"| vaedis --help | {start_time(root, helping):.2f} s |")
    tests = sorted((root / "tests").rglob("*.py"))
    print(f"| lines of tests | {sum(len(p.read_text().splitlines()) for p in tests)} |")


if __name__ == "__main__":
    main()
