"""The store: rows and small arrays of trained runs, kept beside the code.

``results/<experiment>-<profile>.csv`` holds one row for each run, sorted by key;
``results/<experiment>-<profile>/<key>.npz`` holds the arrays that figures are drawn from.
"""

from vaedis._files import DamagedFile
from vaedis_companion.store.folder import Store, default_root
from vaedis_companion.store.rows import COLUMNS, Row, RunTable, is_number, make_row, spec_of

__all__ = [
    "COLUMNS",
    "DamagedFile",
    "Row",
    "RunTable",
    "Store",
    "default_root",
    "is_number",
    "make_row",
    "spec_of",
]
