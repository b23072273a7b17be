"""The commands that look and change nothing: state, list, plan, history, diagram."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from runstate.cli.lifecycle import factory
from runstate.cli.output import print_table
from runstate.errors import ContainerNotExists, RuntimeStateError
from runstate.states.oci import oci_state

if TYPE_CHECKING:
    import argparse
    import builtins

    from runstate.engine.factory import Factory
    from runstate.persistence.history import StepRecord, TransitionRecord
    from runstate.states.state import State


def state(options: argparse.Namespace) -> int:
    """Print the OCI state (runtime.md, State), with runc's further fields."""
    print(json.dumps(_describe(factory(options).load(options.id).state), indent=2))
    return 0


def _describe(state: State, owner: str = "") -> dict[str, Any]:
    root = state.config.get("root", {}).get("path", "")
    alive = state.status.alive
    pid = state.init.pid if alive and state.init is not None else 0
    described = {
        **oci_state(state.id, state.status, pid, state.bundle, state.config),
        "rootfs": os.path.join(state.bundle, root) if root else "",
        "created": _rfc3339(state.created),
        "owner": owner,
    }
    if state.exit is not None:
        described["exitStatus"] = state.exit.shell
    return described


def _rfc3339(seconds: float) -> str:
    from datetime import UTC, datetime  # noqa: PLC0415 - not for plan and diagram

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def list(options: argparse.Namespace) -> int:  # noqa: A001 - the command's name
    """List all containers; one that cannot be read is an error after the others."""
    made_by = factory(options)
    described, errors = [], []
    for container in made_by.list():
        try:
            described.append(_describe(container.state, _owner(made_by, container.id)))
        except ContainerNotExists:
            continue
        except RuntimeStateError as error:
            errors.append(error)
    if options.quiet:
        for item in described:
            print(item["id"])
    elif options.format == "json":
        print(json.dumps(described))
    else:
        names = ("id", "pid", "status", "bundle", "created", "owner")
        rows = [[str(item[name]) for name in names] for item in described]
        print_table([name.upper() for name in names], rows)
    for second in errors[1:]:
        errors[0].add_cleanup_error(second)
    if errors:
        raise errors[0]
    return 0


def _owner(made_by: Factory, container_id: str) -> str:
    import pwd  # noqa: PLC0415 - only the list tells it

    from runstate.persistence.names import directory_name  # noqa: PLC0415

    try:
        uid = os.stat(f"{made_by.root}/{directory_name(container_id)}").st_uid
    except FileNotFoundError:
        return ""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def plan(options: argparse.Namespace) -> int:
    """Print the steps on the host, the operations inside, and what would be left out."""
    from runstate.config import load  # noqa: PLC0415 - only here
    from runstate.config.unknown import unknown_properties  # noqa: PLC0415

    config = load(options.bundle, rules=True)
    planned, operations, notices = factory(options).plan(config, bundle=options.bundle)
    print("on the host:")
    for number, step in enumerate(planned, 1):
        print(f"{number:4}  {step.describe()}")
    print("inside the new process:")
    for number, operation in enumerate(operations, 1):
        print(f"{number:4}  {operation.describe()}")
    _print_later_hooks(options.bundle)
    if notices:
        print("left out:")
        for notice in notices:
            print(f"      {notice}")
    unknown = unknown_properties(config)
    if unknown:
        print("ignored, for the specification does not define it:")
        for path in unknown:
            print(f"      {path}")
    return 0


def _print_later_hooks(bundle: str) -> None:
    from runstate.config import load  # noqa: PLC0415 - only plan reads one

    config = load(bundle)
    if config.hooks is None:
        return
    from runstate.handlers import hooks  # noqa: PLC0415 - few have them

    for moment, point in (
        ("on the host, when the program has started:", hooks.POSTSTART),
        ("on the host, when the container is destroyed:", hooks.POSTSTOP),
    ):
        commands = hooks.commands(config, point)
        if commands:
            print(moment)
        for number, command in enumerate(commands, 1):
            print(f"{number:4}  {command.describe()}")


def history(options: argparse.Namespace) -> int:
    """Print a container's journal; of one that is gone, its last."""
    transitions = factory(options).history(options.id)
    if options.format == "json":
        from attrs import asdict  # noqa: PLC0415 - the table does without

        print(json.dumps([asdict(t) for t in transitions], indent=2, default=str))
    else:
        print_history(transitions, steps=options.steps)
    return 0


def print_history(transitions: tuple[TransitionRecord, ...], *, steps: bool = False) -> None:
    """A journal as a table: what was asked, where it led, how long it took, how it ended."""
    rows: builtins.list[tuple[str, ...]] = []
    for t in transitions:
        status = f"{t.source} → {t.dest}"
        rows.append((str(t.seq), _local(t.started), t.trigger, status, _ms(t.ms), _outcome(t)))
        if steps:
            for s in t.steps:
                rows.append(("", "", f"  {s.name}", "", _ms(s.ms), _end(s)))
                ran = s.result.get("hooks", ())
                rows += (("", "", f"    the hook {name}", "", _ms(ms), "done") for name, ms in ran)
    print_table(("SEQ", "TIME", "TRANSITION", "STATUS", "MS", "OUTCOME"), rows)


def _local(seconds: float) -> str:
    from datetime import datetime  # noqa: PLC0415 - see _rfc3339

    return datetime.fromtimestamp(seconds).astimezone().strftime("%F %T.%f")[:-3]


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:8.2f}"


def _end(step: StepRecord) -> str:
    """How a step ended; that of a poststop hook may be a failure which counts as none."""
    warning = step.result.get("warning")
    return step.error or (f"{step.outcome}, but {warning}" if warning else step.outcome)


def _outcome(transition: TransitionRecord) -> str:
    if transition.error:
        return f"{transition.outcome}: {transition.error}"
    return transition.outcome


def diagram(options: argparse.Namespace) -> int:
    """Print the machine, by the exporters of the library that it is built on."""
    from runstate.engine.machine import diagram as draw  # noqa: PLC0415

    print(draw(options.format))
    return 0
