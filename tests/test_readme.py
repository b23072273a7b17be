"""What the README and the other pages show is true: their Python runs, their tables are current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_PROJECT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# The examples use the default root directory, where a user's own containers may be.
_PRELUDE = """
import functools, runstate
runstate.Factory = functools.partial(runstate.Factory, {root!r}{backend})
"""


def _blocks(page: str) -> list[str]:
    return _BLOCK.findall((_PROJECT / page).read_text(encoding="utf-8"))


def _run(block: str, root: str, backend: str | None = None) -> str:
    option = f", backend={backend!r}" if backend else ""
    script = _PRELUDE.format(root=root, backend=option) + block
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert os.listdir(root) in ([], [".history"])
    return done.stdout


def test_the_readme_shows_an_example_of_ten_lines() -> None:
    lines = [line for line in _blocks("README.md")[0].splitlines() if line]

    assert len(lines) <= 10


@pytest.mark.root
def test_the_first_example_runs_a_real_container(root: str) -> None:
    said = _run(_blocks("README.md")[0], root)

    assert "uid=0(root)" in said
    assert "\nrunstate\n" in said  # the host name
    assert re.search(r"^create +absent → created: [\d.]+ ms$", said, re.MULTILINE)
    assert re.search(r"^destroy +running → absent: [\d.]+ ms$", said, re.MULTILINE)


def test_the_first_example_runs_without_root_on_the_process_backend(root: str) -> None:
    said = _run(_blocks("README.md")[0], root, "process")

    assert f"uid={os.geteuid()}" in said
    assert re.search(r"^start +created → running: [\d.]+ ms$", said, re.MULTILINE)


@pytest.mark.parametrize("backend", ["process", pytest.param("linux", marks=pytest.mark.root)])
def test_the_example_of_hooks_vetoes_the_start_and_tells_the_rest(root: str, backend: str) -> None:
    said = _run(_blocks("README.md")[1], root, backend).splitlines()

    assert said[0] == "job: absent → created"
    assert "vetoed by the hook curfew" in said[1]
    assert "job may not start at this hour" in said[1]
    assert said[2:] == ["job: created → absent"]


@pytest.mark.root
def test_the_example_of_limits_tells_what_is_used(root: str) -> None:
    processes, memory, received = _run(_blocks("README.md")[2], root).split()
    assert (processes, received) == ("1", "0")
    assert 0 < int(memory) < 64 * 1024 * 1024


def test_no_python_of_the_readme_goes_untested() -> None:
    assert len(_blocks("README.md")) == 3


def test_the_example_of_a_handler_works_as_it_stands(root: str) -> None:
    (example,) = _blocks("docs/handlers.md")

    _run(example, root)


def test_the_table_and_the_diagram_in_the_design_are_the_codes_own() -> None:
    done = subprocess.run(
        [sys.executable, _PROJECT / "docs" / "generate.py", "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")


def test_every_link_between_the_pages_leads_somewhere() -> None:
    pages = [_PROJECT / "README.md", _PROJECT / "CHANGELOG.md", *(_PROJECT / "docs").glob("*.md")]
    links = [
        page.parent / target
        for page in pages
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    ]

    assert links
    assert [link for link in links if not link.exists()] == []


def test_the_readme_shows_the_commands_that_there_are() -> None:
    text = (_PROJECT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## On the command line")[2].partition("\n## ")[0]
    shown = set(re.findall(r"(?:^    |, )runstate ([a-z]+)", section, re.MULTILINE))

    done = subprocess.run(
        [sys.executable, "-m", "runstate", "--help"], capture_output=True, text=True, check=True
    )
    commands = done.stdout.partition("\ncommands")[2].partition("\noptions")[0]
    assert shown == set(re.findall(r"^  ([a-z]+) ", commands, re.MULTILINE))
