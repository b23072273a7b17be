"""``python -m runstate``."""

from runstate.cli.main import main

main()
