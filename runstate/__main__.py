"""``python -m runstate``."""

import sys

from runstate.cli.main import main

sys.exit(main())
