"""Write the generated parts of docs/design.md anew, from the table of transitions.

``make docs`` writes them; ``--check`` only says whether they are current.
"""

# ruff: noqa: INP001, T201 - a script, beside the text that it writes

from __future__ import annotations

import inspect
import os
import sys

from runstate.states.status import Status
from runstate.transitions.table import TABLE, Transition

_PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "design.md")


def main() -> int:
    """0 when the page is current, or has been made so."""
    with open(_PAGE, encoding="utf-8") as file:
        before = file.read()
    after = before
    for name, text in (
        ("table", transition_table()),
        ("guards", guard_list()),
        ("diagram", mermaid()),
    ):
        after = replaced(after, name, text)
    if after == before:
        return 0
    if "--check" in sys.argv[1:]:
        print("docs/design.md is not current; run `make docs`", file=sys.stderr)
        return 1
    with open(_PAGE, "w", encoding="utf-8") as file:
        file.write(after)
    return 0


def replaced(page: str, name: str, text: str) -> str:
    """The page with this text between the markers of this name.

    Raises:
        ValueError: The page lacks a marker.
    """
    begin, end = f"<!-- begin {name}: written by `make docs` -->", f"<!-- end {name} -->"
    head, found, rest = page.partition(begin)
    _old, found_end, tail = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"docs/design.md has no markers for {name!r}")
    return f"{head}{begin}\n{text}\n{end}{tail}"


def transition_table() -> str:
    """One line for each row of the table."""
    lines = ["| trigger | from | to | guards |", "|---|---|---|---|"]
    for row in TABLE:
        sources = ", ".join(_word(status) for status in row.sources)
        dest = "as it was" if row.dest is None else _word(row.dest)
        guards = ", ".join(f"`{guard.__name__}`" for guard in row.guards)
        lines.append(f"| `{row.trigger}` | {sources} | {dest} | {guards} |")
    return "\n".join(lines)


def guard_list() -> str:
    """What each guard checks, in the words of its docstring."""
    found = {guard.__name__: guard for row in TABLE for guard in row.guards}
    return "\n".join(
        f"- `{name}`: {(inspect.getdoc(guard) or '').splitlines()[0]}"
        for name, guard in found.items()
    )


def mermaid() -> str:
    """The machine as a Mermaid diagram; what leads back to where it was is left out."""
    arrows: dict[tuple[Status, Status], list[str]] = {}
    for row in TABLE:
        for source in row.sources:
            if row.dest is not None:
                arrows.setdefault((source, row.dest), []).append(_label(row))
    lines = ["```mermaid", "stateDiagram-v2"]
    for (source, dest), triggers in arrows.items():
        lines.append(f"    {_node(source)} --> {_node(dest)}: {', '.join(triggers)}")
    return "\n".join([*lines, "```"])


def _label(row: Transition) -> str:
    forced = any(guard.__name__ == "forced" for guard in row.guards)
    return f"{row.trigger} (forced)" if forced else row.trigger


def _word(status: Status) -> str:
    return "(absent)" if status is Status.ABSENT else f"`{status.value}`"


def _node(status: Status) -> str:
    return "[*]" if status is Status.ABSENT else status.value


if __name__ == "__main__":
    sys.exit(main())
