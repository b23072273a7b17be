"""The commands that explain: plan, history, diagram."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import asdict

from runstate.cli.output import print_table
from runstate.engine.factory import Factory

if TYPE_CHECKING:
    import argparse

    from runstate.persistence.history import TransitionRecord


def plan(options: argparse.Namespace) -> int:
    """Print the steps on the host, the operations inside, and what would be left out."""
    planned, operations, notices = Factory(options.root, options.backend).plan(options.bundle)
    print("on the host:")
    for number, step in enumerate(planned, 1):
        print(f"{number:4}  {step.describe()}")
    print("inside the new process:")
    for number, operation in enumerate(operations, 1):
        print(f"{number:4}  {operation.describe()}")
    if notices:
        print("left out:")
        for notice in notices:
            print(f"      {notice}")
    return 0


def history(options: argparse.Namespace) -> int:
    """Print a container's journal; of one that is gone, its last."""
    transitions = Factory(options.root, options.backend).history(options.id)
    if options.format == "json":
        print(json.dumps([asdict(t) for t in transitions], indent=2, default=str))
    else:
        print_history(transitions, steps=options.steps)
    return 0


def print_history(transitions: tuple[TransitionRecord, ...], *, steps: bool = False) -> None:
    """A journal as a table: what was asked, where it led, how long it took, how it ended."""
    rows = []
    for t in transitions:
        when = datetime.fromtimestamp(t.started).astimezone().strftime("%H:%M:%S.%f")[:-3]
        rows.append((str(t.seq), when, t.trigger, f"{t.source} → {t.dest}", _ms(t.ms), _outcome(t)))
        if steps:
            rows += [("", "", f"  {s.name}", "", _ms(s.ms), s.error or s.outcome) for s in t.steps]
    print_table(("SEQ", "TIME", "TRANSITION", "STATUS", "MS", "OUTCOME"), rows)


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:8.2f}"


def _outcome(transition: TransitionRecord) -> str:
    if transition.error:
        return f"{transition.outcome}: {transition.error}"
    return transition.outcome


def diagram(options: argparse.Namespace) -> int:
    """Print the machine, by the exporters of the library that it is built on."""
    from runstate.engine.machine import diagram as draw  # noqa: PLC0415

    print(draw(options.format))
    return 0
