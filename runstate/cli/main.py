"""``runstate``: from the words on the command line to an exit status.

Exit statuses: 0; 1 for any error, wrong usage too, with one line on stderr, and one more for
each problem where a configuration has several; of ``run`` and
``exec`` in the foreground the program's own, which is 128 plus the signal's number if a signal
ended it, or 255 where nobody could learn it; 128 plus the number for a command that a signal
ended.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
import threading
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, NoReturn

from runstate.cli.advice import lines
from runstate.cli.arguments import Usage, parse
from runstate.errors import AfterHookFailed, RuntimeStateError, explain_errno

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

_FAILED = 1
_INTERRUPTED = 128 + signal.SIGINT
_NEED_A_PROCESS = frozenset(("create", "run", "exec"))


def main() -> NoReturn:
    """The console script: run the command of this process's arguments, and end the process."""
    # A command lives for milliseconds: no garbage of it is worth looking for.
    gc.disable()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr's are; better than none
    try:
        status = run(sys.argv[1:])
    except KeyboardInterrupt:
        status = _INTERRUPTED  # in the moment before or after the command itself
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done; a traceback would be no news
    sys.stderr.flush()
    if threading.active_count() > 1:
        sys.exit(status)
    # Taking an interpreter apart takes a tenth of a command's time, and changes nothing.
    atexit._run_exitfuncs()  # noqa: SLF001 - the part of it that does
    os._exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command.

    Args:
        arguments: The words after ``runstate``.

    Returns:
        The exit status.
    """
    try:
        options = parse(arguments)
    except Usage as error:
        return _say(str(error))
    try:
        if isinstance(options, str):
            print(options)
            status = 0
        else:
            status = _run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        status = _FAILED  # whoever read our output has gone, and knows
    except OSError as error:
        status = _say(f"write to standard output: {explain_errno(error.errno, error.strerror)}")
    else:
        return status
    # What could not be written shall not be tried again when the interpreter ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return status


def _run(options: argparse.Namespace) -> int:
    import warnings  # noqa: PLC0415 - not for --version

    warnings.showwarning = lambda message, *_where: _warn(message)
    try:
        with _debugging() if options.debug else nullcontext():
            return _command(options)(options)
    except RuntimeStateError as error:
        return _report(error, options)
    except KeyboardInterrupt:
        return _INTERRUPTED


def _command(options: argparse.Namespace) -> Callable[[argparse.Namespace], int]:
    if options.command in _NEED_A_PROCESS and "runstate.linux.launcher" not in sys.modules:
        from runstate.linux import zygote_process  # noqa: PLC0415 - not every command has use

        zygote_process.start_early()
    from importlib import import_module  # noqa: PLC0415 - not for --version

    function: Callable[[argparse.Namespace], int] = getattr(
        import_module(f"runstate.cli.{options.module}"), options.command
    )
    return function


@contextmanager
def _debugging() -> Iterator[None]:
    """Tell what is reported at the debug level, such as unknown properties of a config."""
    import logging  # noqa: PLC0415 - only for --debug

    logger = logging.getLogger("runstate")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("runstate: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def _report(error: RuntimeStateError, options: argparse.Namespace) -> int:
    if options.debug:
        print(f"runstate: {error.detail()}", file=sys.stderr)
    else:
        first, *more = lines(error, options)
        _say(first)
        for line in more:
            print(f"  {line}", file=sys.stderr)
        # A full disk, say, is met again by every step of the clean-up: it is told once.
        for told in dict.fromkeys(map(str, error.cleanup_errors)):
            if told != str(error):
                _say(f"while cleaning up: {told}")
    return 0 if isinstance(error, AfterHookFailed) else _FAILED


def _warn(message: Warning | str) -> None:
    _say(f"warning: {message}")


def _say(text: str) -> int:
    # One error is one line, whatever a file name or a program's output in it holds.
    print("runstate:", text.replace("\n", " "), file=sys.stderr)
    return _FAILED


if __name__ == "__main__":
    main()
