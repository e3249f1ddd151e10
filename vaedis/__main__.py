"""``python -m vaedis`` has the commands of the library."""

import sys

from vaedis.cli import main

sys.exit(main())
