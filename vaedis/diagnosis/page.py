"""A diagnosis as one HTML page that loads nothing from outside; `page.html` is its template."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Sequence
from importlib import resources

from vaedis import plots
from vaedis.diagnosis.loss_report import COLUMNS, FactorReport
from vaedis.diagnosis.report import Diagnosis
from vaedis.distances import ground_truth_matrix


def page(diagnosis: Diagnosis) -> str:
    """Return the text of a diagnosis's page, with names as in `Diagnosis.displayed`."""
    try:
        import jinja2
    except ImportError as error:
        raise ImportError(
            "a page needs jinja2, which is not installed: pip install vaedis[plots]"
        ) from error
    environment = jinja2.Environment(
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    source = resources.files("vaedis.diagnosis").joinpath("page.html").read_text("utf-8")
    return environment.from_string(source).render(
        diagnosis=diagnosis.displayed(), columns=COLUMNS, picture=_picture
    )


def _picture(factors: Sequence[FactorReport]) -> str:
    """Return the factors' matrices as a PNG picture in an address of its own."""
    import matplotlib.pyplot as plt

    truth = {f.factor: ground_truth_matrix(f.values) for f in factors}
    file = io.BytesIO()
    with (
        # Names are text, even those that look like a formula.
        plt.rc_context({"text.parse_math": False, "text.usetex": False}),
        warnings.catch_warnings(),
    ):
        # A letter that no font has is drawn as a box.
        warnings.filterwarnings("ignore", message=".*missing from font", category=UserWarning)
        figure = plots.distance_matrices(truth, {f.factor: f.matrix for f in factors})
        figure.savefig(file, format="png", dpi=130)
        plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
