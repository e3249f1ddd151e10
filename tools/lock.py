"""Write requirements.lock.txt: the pins of constraints.txt with the hashes of their files.

    python tools/lock.py [--only torch]

Pip itself is asked which file it would install here for each pin, by a dry run. A run adds its
hashes to those that the file has for the same versions, so that it can be made on several machines,
one after another, and with several sources of one package.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock.txt"
HEADER = """\
# The versions of constraints.txt with the SHA-256 of their files, made by tools/lock.py. Pip then
# installs nothing else:
#   pip install --require-hashes --no-deps -r requirements.lock.txt
#   pip install --no-deps --no-build-isolation -e .
# Hashes of compiled packages are those of these machines; the file was made for: {machines}.
# torch: the CPU build and, where it is known, the one of the default index, which on Linux needs
# CUDA's own packages too.
"""

Hashes = dict[str, set[str]]


def entries(text: str) -> list[str]:
    """Return the lines of a file of requirements that are no comments."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def read_pins() -> list[str]:
    """Return the lines of constraints.txt that are pins."""
    return entries((ROOT / "constraints.txt").read_text())


def read_lock() -> tuple[list[str], Hashes]:
    """Return the machines and the hashes, by pin, that the file has already."""
    if not LOCK.exists():
        return [], {}
    text = LOCK.read_text()
    machines = re.search(r"was made for: (.*)\.\n", text)[1].split("; ")
    lines = [line.split() for line in entries(text.replace("\\\n", " "))]
    return machines, {
        pin: {word.removeprefix("--hash=sha256:") for word in hashes} for pin, *hashes in lines
    }


def ask_pip(pins: list[str]) -> Hashes:
    """Return the hash of the file that pip would install for each pin."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        requirements = Path(folder, "requirements.txt")
        requirements.write_text("\n".join(pins))
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--no-deps"]
        command += ["--ignore-installed", "--report", str(report), "-r", str(requirements)]
        subprocess.run(command, check=True)
        files = json.loads(report.read_text())["install"]
    by_name = {}
    for file in files:
        hashes = file["download_info"]["archive_info"]["hashes"]
        by_name[canonical(file["metadata"]["name"])] = hashes["sha256"]
    return {pin: {by_name[canonical(pin.split("==")[0])]} for pin in pins}


def canonical(name: str) -> str:
    """Return the form of a package's name in which different spellings are equal."""
    return re.sub(r"[-_.]+", "-", name).lower()


def write_lock(machines: list[str], hashes: Hashes) -> None:
    """Write the file, in the order of constraints.txt."""
    lines = [HEADER.format(machines="; ".join(machines))]
    for pin in read_pins():
        words = [f"    --hash=sha256:{value}" for value in sorted(hashes[pin])]
        lines.append(" \\\n".join([pin, *words]) + "\n")
    LOCK.write_text("".join(lines))


def main() -> None:
    """Add the hashes for one machine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="this package alone, the others as they are")
    args = parser.parse_args()
    pins = [pin for pin in read_pins() if args.only in (None, pin.split("==")[0])]
    machines, known = read_lock()
    new = ask_pip(pins)
    machine = f"{sysconfig.get_platform()} with Python {sysconfig.get_python_version()}"
    if args.only is None and machine not in machines:
        machines.append(machine)
    write_lock(machines, {pin: known.get(pin, set()) | new.get(pin, set()) for pin in read_pins()})


if __name__ == "__main__":
    main()
