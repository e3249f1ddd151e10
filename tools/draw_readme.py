"""Draw the README's picture, the figure of the first page: python tools/draw_readme.py

Its numbers come from the stored runs, as on the page.
"""

from __future__ import annotations

from pathlib import Path

import jupytext
import matplotlib

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "book" / "assets" / "argument.png"


def main() -> None:
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    page = jupytext.read(ROOT / "book" / "intro.md")
    code = next(c.source for c in page.cells if "figures.argument(" in c.source)
    exec(compile(code, "intro.md", "exec"), {"__name__": "intro"})
    plt.gcf().savefig(PICTURE, dpi=90, bbox_inches="tight")
    print(f"{PICTURE.relative_to(ROOT)}, {PICTURE.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
