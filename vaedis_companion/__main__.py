"""``python -m vaedis_companion`` is the command ``vaedis``."""

import sys

from vaedis_companion.cli import main

sys.exit(main())
