from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module", ["cattrs", "datetime", "hashlib", "shutil", "tempfile", "pathlib", "logging",
               "asyncio", "pyroute2", "subprocess", "runstate.persistence.migrations"]
)  # fmt: skip
def test_the_store_does_not_cost_the_import_of(module):
    code = (
        "import sys, attrs, json\n"
        "before = set(sys.modules)\n"
        "import runstate.persistence.store\n"
        f"print({module!r} in set(sys.modules) - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
