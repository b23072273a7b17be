"""What is saved of the host's part in a container's network, and how it goes.

::

    attach    read the interfaces that shall move; put on record what will be done;
              pin both namespaces; move in; make pairs; set routes
    detach    move back, and make them what they were; remove pairs and routes; unpin
    leave     the same at the end of a container's life, but for a namespace that it had joined

Interfaces without hardware die with their namespace, and a namespace dies with its last
process, whenever that may be. So while the container has some of the host's, its network
namespace is pinned by a name in the container's directory, and so is the host's, for whoever
destroys the container from another one.

A namespace that is joined is somebody else's, and so is what is in it: the specification
forbids to take interfaces out of it (config-linux.md, Namespace Lifecycle and Container
Termination). Only a `create` that fails takes back what it had put there.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

from runstate.linux.links import Interface  # noqa: TC001 - cattrs reads the annotations

if TYPE_CHECKING:
    from cattrs import Converter

    from runstate.handlers.contract import HandlerContext


@frozen
class Device:
    """An interface of the host's that the container has.

    Attributes:
        was: What it was on the host.
        name: Its name in the container, or the template of it.
        index: Its number there.
    """

    was: Interface
    name: str
    index: int


@frozen
class HostEnd:
    """A pair's end on the host.

    Attributes:
        name: Its name.
        mac: Its link layer address, by which it is told from another's of that name.
    """

    name: str
    mac: str


@frozen
class Attachment:
    """What is saved, and on record before it is done.

    Attributes:
        boot_id: The boot in which it is so.
        joined: Whether the network namespace is another's.
        devices: The interfaces that have moved in.
        host_ends: The pairs' ends on the host.
    """

    boot_id: str
    joined: bool
    devices: tuple[Device, ...] = ()
    host_ends: tuple[HostEnd, ...] = ()

    @property
    def pinned(self) -> bool:
        """Whether the namespaces are kept: for what would be lost with them."""
        return bool(self.devices) or self.joined


@cache
def _converter() -> Converter:
    from cattrs import Converter  # noqa: PLC0415 - a reader of the options may not need it

    return Converter()


def to_json(attachment: Attachment) -> Any:
    """As state.json and the journal have it."""
    return _converter().unstructure(attachment)


def saved(context: HandlerContext) -> Attachment:
    """What `attach` has noted."""
    return _converter().structure(context.substates["network"].options, Attachment)


def pin_paths(context: HandlerContext) -> tuple[str, str]:
    """The names that the container's and the host's namespace are pinned by."""
    return f"{context.directory}/netns", f"{context.directory}/netns-host"
