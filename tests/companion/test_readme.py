"""The README's example runs, and prints what the README says."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[2] / "README.md"
# training ends in other bits on other processors
_DCI = 0.25


@pytest.mark.timeout(240)
def test_the_example_runs_and_prints_what_the_readme_says(capsys):
    text = README.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    exec(compile(code, README.name, "exec"), {"__name__": "example"})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(printed.splitlines())
    for line, said in zip(lines, printed.splitlines(), strict=True):
        distances, dci = line.rsplit(" ", 1)
        said_distances, said_dci = said.rsplit(" ", 1)
        assert distances == said_distances
        assert float(dci) == pytest.approx(float(said_dci), abs=_DCI)


def test_the_picture_is_there():
    (picture,) = re.findall(r"!\[[^\]]+\]\((book/[^)]+)\)", README.read_text(encoding="utf-8"))
    assert (README.parent / picture).stat().st_size < 150_000
