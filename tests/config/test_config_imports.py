"""What importing the room costs is part of its design."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from runstate.config import Config


def modules_after(code: str) -> set[str]:
    """The modules that a new interpreter has imported once it has run ``code``."""
    code += "\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "code",
    [
        "import runstate.config",
        "from runstate.config import Config; Config.default().to_dict()",
        """
from runstate.config import Config
from runstate.config.validation import validate
from runstate.config.support import unsupported
validate(Config.default()) + unsupported(Config.default())
""",
    ],
)
def test_only_structuring_imports_cattrs(code):
    assert "cattrs" not in modules_after(code)


def test_a_plain_configuration_imports_neither_the_rare_sections_nor_logging():
    code = "from runstate.config import Config; Config.from_json(Config_text)"
    text = json.dumps({"ociVersion": "1.3.0", "process": {"cwd": "/"}, "linux": {}})
    modules = modules_after(f"Config_text = {text!r}\n{code}")
    assert "cattrs" in modules
    assert "runstate.config.process" in modules
    assert modules.isdisjoint(
        {
            "logging",
            "runstate.config.controllers",
            "runstate.config.hooks",
            "runstate.config.resources",
            "runstate.config.seccomp",
            "runstate.config.tuning",
        }
    )


def test_what_is_valid_imports_nothing_that_only_errors_and_rare_sections_need():
    code = """
from runstate.config import Config
from runstate.config.validation import validate
from runstate.config.support import unsupported
config = Config.from_json(text)
assert validate(config) + unsupported(config) == []
"""
    text = json.dumps(Config.default(rootless=False).to_dict())
    assert modules_after(f"text = {text!r}\n{code}").isdisjoint(
        {
            "runstate.config.duplicates",
            "runstate.config.reporting",
            "runstate.config.unknown",
            "runstate.config.validation_hooks",
            "runstate.config.validation_net_devices",
            "runstate.config.validation_networks",
            "runstate.config.validation_tuning",
        }
    )
