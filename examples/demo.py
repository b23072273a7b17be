"""A container's whole life, transition by transition: ``make demo``.

Nothing is downloaded. The container's root file system is the host's own, read-only, below a
layer that takes all writes and is thrown away in the end.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import runstate
from runstate.cli.inspection import print_history
from runstate.errors import NotSupported, RuntimeStateError, TransitionVetoed

if TYPE_CHECKING:
    from collections.abc import Callable

_TICKER = "trap 'exit 7' TERM; while :; do echo tick; sleep 0.05; done"
_LOOK_AROUND = """
echo "host name   $(uname -n)"
echo "user        $(id -un), uid $(id -u)"
echo "processes   $(cd /proc && ls -d [0-9]* | wc -l) in sight"
echo "network     $(sed -n 's/^ *\\([^ :]*\\):.*/\\1/p' /proc/net/dev | xargs)"
echo written inside > /etc/runstate-demo && echo "a new file  /etc/runstate-demo"
"""

_COLOURS = sys.stdout.isatty() and "NO_COLOR" not in os.environ


def main() -> None:
    """Show it."""
    factory = runstate.Factory()
    name = f"demo-{os.getpid()}"
    print_transitions(factory)

    title("create: everything is prepared, and init waits")
    config = runstate.Config.default(["sh", "-c", _TICKER], rootfs="host", hostname="demo")
    with factory.create(name, config, stdout=runstate.PIPE) as container:
        say(f"init is process {container.pid} of the host, in namespaces of its own:")
        say(", ".join(n.type for n in config.linux.namespaces) if config.linux else "none")
        for notice in container.notices:
            say(*textwrap.wrap(f"left out: {notice}", 84))
        title("start: init becomes the program, which says `tick` twenty times a second")
        container.start()
        say(f"ticks in half a second: {ticks(container)}")
        title("exec: a further process looks around inside")
        found = container.exec(["sh", "-c", _LOOK_AROUND], capture_output=True, text=True)
        say(*(found.stdout + found.stderr).splitlines())
        on_host = "is there too" if os.path.exists("/etc/runstate-demo") else "does not exist"
        say(f"on the host, that file {on_host}")
        title("start, once more: refused, and nothing has happened")
        refused(container.start)
        title("pause and resume")
        if not refused(container.pause, NotSupported):
            say(f"ticks in half a second: {ticks(container)}")
            refused(lambda: container.exec(["true"]))
            container.resume()
            say(f"ticks in half a second: {ticks(container)}")
        title("a hook may veto: no destroy before the exit code is known")
        container.before("destroy")(insist_on_exit_code)
        refused(lambda: container.destroy(force=True), TransitionVetoed)
        title("signal: SIGTERM, and the program ends with the code that it chose")
        container.signal(signal.SIGTERM)
        code = container.wait(timeout=10)
        exited = container.history()[-1]
        transition(exited.trigger, exited.source, exited.dest, "  (so says the kernel)")
        say(f"exit code {code}")
        title("destroy: nothing is left on the host but the journal")
        container.destroy()

    title("the journal")
    print_history(factory.history(name))
    command = os.path.relpath(os.path.join(os.path.dirname(sys.executable), "runstate"))
    print(f"\nthe same, with each step:  {command} history --steps {name}")


def print_transitions(factory: runstate.Factory) -> None:
    """Have each transition printed as it happens."""

    @factory.after("*")
    def show(event: runstate.TransitionEvent) -> None:
        transition(event.trigger, event.source, event.dest)


def insist_on_exit_code(event: runstate.TransitionEvent) -> None:
    """A hook that raises vetoes its transition."""
    if event.container is not None and event.container.state.exit is None:
        raise LookupError("its exit code is not known yet")


def ticks(container: runstate.Container) -> int:
    """How many lines the program writes in half a second from now."""
    assert container.stdout is not None  # noqa: S101 - it was asked for
    pipe, heard = container.stdout.fileno(), 0
    while select.select([pipe], [], [], 0)[0]:
        os.read(pipe, 65536)
    deadline = time.monotonic() + 0.5
    while (left := deadline - time.monotonic()) > 0:
        if select.select([pipe], [], [], left)[0]:
            heard += os.read(pipe, 65536).count(b"\n")
    return heard


def refused(
    attempt: Callable[[], object], kind: type[RuntimeStateError] = RuntimeStateError
) -> bool:
    """Try what may be refused, and show the refusal; False if it went through."""
    try:
        attempt()
    except kind as error:
        text = f"{type(error).__name__}: {error}"
        lines = textwrap.wrap(text, 84, break_on_hyphens=False)
        print(f"  {colour('31', 'refused')}  {lines[0]}")
        say(*lines[1:])
        return True
    return False


def transition(trigger: str, source: str, dest: str, remark: str = "") -> None:
    """One transition."""
    print(f"  {colour('32', f'{trigger:8}')} {source} → {colour('1', dest)}{remark}", flush=True)


def title(text: str) -> None:
    """What comes next."""
    print(f"\n{colour('1;36', text)}", flush=True)


def say(*lines: str) -> None:
    """What is to be seen."""
    for line in lines:
        print(f"  {' ':8} {line}", flush=True)


def colour(code: str, text: str) -> str:
    """The text in an ANSI colour, on a terminal."""
    return f"\033[{code}m{text}\033[0m" if _COLOURS else text


if __name__ == "__main__":
    try:
        main()
    except RuntimeStateError as error:
        sys.exit(f"demo: {error.detail()}")
