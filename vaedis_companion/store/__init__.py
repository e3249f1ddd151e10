"""The store: rows and small arrays of trained runs, kept beside the code.

``results/<experiment>-<profile>.csv`` holds one row for each run, sorted by key;
``results/<experiment>-<profile>/<key>.npz`` holds the arrays that figures are drawn from.
"""

from vaedis._files import DamagedFile
from vaedis_companion.store.folder import Store, default_root
from vaedis_companion.store.rows import COLUMNS, Row, is_number, make_row, spec_of
from vaedis_companion.store.tables import RunTable

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
