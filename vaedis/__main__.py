"""``python -m vaedis`` is the command ``vaedis``."""

import sys

from vaedis.cli import main

sys.exit(main())
