"""The tests: one directory for each room of the package. Helpers are imported as ``tests.…``."""

import pytest

# Before anything imports them.
pytest.register_assert_rewrite("tests.host", "tests.legality")
