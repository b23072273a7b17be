"""Route netlink (rtnetlink(7)) in any network namespace, by pyroute2.

Importing this costs 150 ms and more, so only who has interfaces to make or to move does.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from pyroute2 import IPRoute, NetlinkError

from runstate.errors import OperationFailed, explain_errno
from runstate.init import kernel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_T = TypeVar("_T")


def inside(namespace: int, work: Callable[[Any], _T]) -> _T:
    """What ``work`` returns for a netlink socket of a network namespace.

    In a thread of its own: a socket belongs to the namespace that its thread was in when it
    was made (network_namespaces(7)), only a thread's own namespace can be changed, and
    pyroute2 cannot be called where an event loop runs.

    Args:
        namespace: A descriptor of the namespace; -1 is the caller's.
        work: Called with an ``IPRoute``.

    Raises:
        OperationFailed: The namespace cannot be entered; or whatever ``work`` raises.
    """
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            if namespace >= 0:
                kernel.setns(namespace, kernel.CLONE_NEWNET)
            with IPRoute(ext_ack=True, strict_check=True, groups=0) as route:
                results.append(work(route))
        except NetlinkError as error:
            errors.append(_failure("ask for network interfaces", error, None))
        except BaseException as error:  # noqa: BLE001 - it is the caller's, and raised there
            errors.append(error)

    thread = threading.Thread(target=run, name="runstate-netlink")
    thread.start()
    try:
        thread.join()
    except BaseException:
        thread.join()  # an interrupt does not undo what is under way
        raise
    try:
        if errors:
            raise errors[0]
        return results[0]
    finally:
        errors.clear()  # the traceback leads to this frame, and a cycle holds descriptors
        del thread


@contextmanager
def doing(what: str, remedies: Mapping[int, str] | None = None) -> Iterator[None]:
    """Turn what netlink or the system refuses into an OperationFailed.

    Args:
        what: What is being done, and to which interface of which namespace.
        remedies: What to add for some error numbers.
    """
    try:
        yield
    except (NetlinkError, OSError) as error:
        raise _failure(what, error, remedies) from error


def _failure(
    what: str, error: NetlinkError | OSError, remedies: Mapping[int, str] | None
) -> OperationFailed:
    number = error.errno if isinstance(error, OSError) else error.code
    reason = explain_errno(number)
    # With extended acknowledgements the kernel may say more than a number can.
    said = "" if isinstance(error, OSError) else str(error.args[1])
    if said and said.lower() not in reason.lower():
        reason += f": {said}"
    remedy = (remedies or {}).get(number or 0)
    return OperationFailed(what, f"{reason}; {remedy}" if remedy else reason, number)
