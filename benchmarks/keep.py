"""Run a benchmark and keep its table beside it, then bring README.md up to date.

``python benchmarks/keep.py sweep.py --rounds 3`` shows what the script prints, and writes
benchmarks/sweep.md. Without a script, README.md alone is brought up to date.

The three parts of README.md between markers are made here: the list of scripts, with the ratios of
the tables that are kept, the ways to train convolutional populations, and the extrapolation of
``benchmarks/extrapolate.py`` from the stored results.
"""

from __future__ import annotations

import ast
import datetime
import re
import subprocess
import sys
from pathlib import Path

import extrapolate

from vaedis import _files
from vaedis_companion import project

HERE = Path(__file__).parent
README = HERE / "README.md"

_PEER = "--peer-python PEER"
# each benchmark, what it compares with, and how it is run; PEER is an interpreter that has the peer,
# disent 0.8.0 where it is not named
SCRIPTS = {
    "train.py": ("disent 0.8.0's own loop; matrix product and convolution of the machine", _PEER),
    "speed.py": ("disent 0.8.0, data and training", _PEER),
    "data.py": ("disent 0.8.0's data classes, h5py", _PEER),
    "reading.py": ("an HDF5 file as disent stores it", ""),
    "own_files.py": ("h5py, batch by batch", ""),
    "distances.py": ("numpy, scipy and torch", ""),
    "metrics.py": ("disent 0.8.0 and scikit-learn", _PEER),
    "disent_versions.py": ("disent 0.8.0 and 0.9.3", "--python 0.8.0=PEER --python 0.9.3=PEER"),
    "extend.py": (
        "disent 0.8.0, disent 0.9.3, pythae and disentanglement_lib",
        "--python NAME=PEER",
    ),
    "metrics_agreement.py": ("disent 0.8.0, scores only; a part of `metrics.py`", ""),
    "population.py": ("one after the other, and torch.func.vmap", ""),
    "conv_population.py": ("one after the other", ""),
    "growth.py": ("itself at other sizes", ""),
    "sweep.py": ("itself without workers", ""),
    "precision.py": ("itself in float32", ""),
    "layers.py": ("torch's own layers", ""),
    "train_gpu.py": ("the GPU's own matrix product and copy", ""),
    "shapes3d.py": ("the published constants of 3D Shapes", ""),
}


def first_sentence(script: Path) -> str:
    """What a script says it is."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def key_ratios(page: str) -> str:
    """The lowest and highest value of each column of ratios in a page's tables, and the load that the
    page tells.

    A column counts if its name says that it holds ratios or shares; a row that is compared with
    itself does not.
    """
    ratios = []
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        header, _, *rows = (
            [cell.strip() for cell in line.strip()[1:-1].split("|")] for line in table.splitlines()
        )
        for column, name in enumerate(header):
            if not re.search(r"\bratio\b|^vs |/HDF5|as fast|^of the ", name):
                continue
            cells = [row[column] for row in rows if row[column] != "1.00 (1.00–1.00)"]
            values = list(filter(None, (re.match(r"([\d.,]+)(%?)", cell) for cell in cells)))
            if values:
                numbers = [float(value[1].replace(",", "")) for value in values]
                column_before = f" ({header[column - 1]})" if name == "ratio" and column else ""
                ends = [f"{end:g}{values[0][2]}" for end in (min(numbers), max(numbers))]
                ratios.append(f"{name}{column_before} {'–'.join(dict.fromkeys(ends))}")
    load = re.search(r"[Ll]oad(?: averages?)?[^|\n;]*?\d+\.\d[\d., ]*", page)
    if load:
        ratios.append(load[0].strip(" .,"))
    return "; ".join(ratios) or "no ratio"


def scripts() -> str:
    """The list of scripts, in Markdown."""
    lines = [
        "| script | what it measures | beside | last kept table: ratios, lowest–highest |",
        "|---|---|---|---|",
    ]
    for name, (peers, words) in SCRIPTS.items():
        page = HERE / name.replace(".py", ".md")
        kept = "none kept"
        if page.exists():
            kept = f"[{page.name}]({page.name}): {key_ratios(page.read_text(encoding='utf-8'))}"
        command = f"{name} {words}".strip()
        lines.append(f"| `{command}` | {first_sentence(HERE / name)} | {peers} | {kept} |")
    return "\n".join(lines)


def ways() -> str:
    """What conv_population.md says of each way beside the loop, and how it was measured."""
    page = HERE / "conv_population.md"
    if not page.exists():
        return "No table is kept."
    provenance, about, table = page.read_text(encoding="utf-8").split("\n\n")[1:4]
    ratios: dict[str, list[str]] = {}
    for line in table.splitlines()[2:]:
        members, way, _, ratio = (cell.strip() for cell in line.strip()[1:-1].split("|"))
        if way != "loop":
            ratios.setdefault(members, []).append(f"{way} {ratio}")
    lines = [
        f"- {members} members: {'; '.join(each)} times the loop" for members, each in ratios.items()
    ]
    return "\n".join([f"{provenance} {about}", "", *lines])


def with_part(text: str, name: str, content: str) -> str:
    """A page with what lies between the markers of a part replaced."""
    begin = f"<!-- {name}: made by benchmarks/keep.py -->"
    end = f"<!-- end of {name} -->"
    head = text.split(begin)[0]
    tail = text.split(end)[1]
    return f"{head}{begin}\n\n{content}\n\n{end}{tail}"


def refresh() -> None:
    """Make the parts of README.md anew."""
    text = README.read_text(encoding="utf-8")
    text = with_part(text, "scripts", scripts())
    text = with_part(text, "ways", ways())
    text = with_part(text, "extrapolation", extrapolate.report("H100", 6, [150_000]))
    _files.write_text(README, text)


def without_path(before: str, word: str) -> str:
    """A word of a command line, without the path of an interpreter or of runs if it names one."""
    if before == "--python":
        return f"{word.split('=')[0]}=PEER"
    return {"--peer-python": "PEER", "--runs": "RUNS"}.get(before, word)


def keep(words: list[str]) -> int:
    """Run a script, pass on what it prints, and write it to its page unless it fails or prints no
    table.
    """
    script = HERE / words[0]
    command = [sys.executable, str(script), *words[1:]]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    # some scripts write their pages themselves
    if process.returncode or not any(line.startswith("|") for line in lines):
        return process.returncode
    shown = [without_path(before, word) for before, word in zip(["", *words], words, strict=False)]
    day = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    provenance = (
        f"Made by `python benchmarks/{' '.join(shown)}` at commit {project.commit()}, {day}."
    )
    title = first_sentence(script).rstrip(".").split(": ")[0].split(", ")[0]
    _files.write_text(script.with_suffix(".md"), f"# {title}\n\n{provenance}\n\n{''.join(lines)}")
    return 0


def main() -> int:
    """Run what was asked for, and bring README.md up to date."""
    code = keep(sys.argv[1:]) if len(sys.argv) > 1 else 0
    if not code:
        refresh()
    return code


if __name__ == "__main__":
    sys.exit(main())
