"""The example of the page "How to run it" runs, and prints what the page says."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "book" / "how_to_run.md"


def test_the_example_of_ones_own_data_runs_and_prints_what_it_says(capsys):
    text = PAGE.read_text(encoding="utf-8")
    distances, training = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    names: dict = {"__name__": "example"}
    exec(compile(distances, PAGE.name, "exec"), names)
    assert capsys.readouterr().out == printed
    exec(compile(training, PAGE.name, "exec"), names)
    assert set(eval(capsys.readouterr().out)) == {"mig", "dci"}
